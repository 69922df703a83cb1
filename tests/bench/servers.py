"""The servers that are compared, and how each is started."""

import dataclasses
import json
import os
import pathlib
import re
import secrets
import subprocess
import typing
import urllib.error
import urllib.request

from harness import HERE, LOAD, ROOT, BenchError

PYTHON = HERE / ".venv" / "bin" / "python"
PEERS = HERE / "peers"
BUN = PEERS / "node" / "node_modules" / ".bin" / "bun"
FAKE_CAMERA = HERE / "fakev4l2"


@dataclasses.dataclass
class Launch:
    """A command with what it adds to the environment, and how its clients talk to it."""

    command: list
    protocol: str
    environment: dict = dataclasses.field(default_factory=dict)
    # Where a message says when it was made, if it does so in another way than most.
    stamp: str | None = None


@dataclasses.dataclass
class Stream:
    """What every server is asked to send."""

    port: int
    fps: int
    size: int
    resolution: str
    state_dir: pathlib.Path
    gantry: pathlib.Path
    config: pathlib.Path

    def arguments(self):
        """The arguments of a peer."""
        return [self.port, self.fps, self.size]


def fake_camera(stream):
    """The environment in which /dev/fakevideo0 is a camera that gives the stream's pictures."""
    library = FAKE_CAMERA / "fakev4l2.so"
    frames = FAKE_CAMERA / "frames"
    for needed in (library, pathlib.Path(f"{frames}_{stream.size}")):
        if not needed.exists():
            raise BenchError(f"{needed} is missing: run `tests/bench/run.sh setup`")
    return {
        "LD_PRELOAD": str(library),
        "FAKEV4L2_DIR": str(frames),
        "FAKEV4L2_SIZE": str(stream.size),
        "FAKEV4L2_RES": stream.resolution,
        "FAKEV4L2_FPS": str(stream.fps),
    }


def runtime_environment(state_dir):
    """What keeps the state of a run apart, and its admin listener off a port that may be taken."""
    return {
        "GANTRY_STATE_DIR": str(state_dir),
        "GANTRY_PIPELINE_DIR": str(ROOT / "pipelines"),
        "GANTRY_SCRIPT_DIR": str(ROOT / "scripts"),
        "GANTRY_ADMIN__BIND": "127.0.0.1:0",
    }


def gantry_environment(stream):
    """What takes the configuration to this run's port and keeps its state apart."""
    bind = f"127.0.0.1:{stream.port}"
    return {**runtime_environment(stream.state_dir), "GANTRY_PLUGINS__ROBOCAR__BIND": bind}


def gantry(stream):
    """Gantry with a camera whose JPEGs are passed through, publishing each of them."""
    width, height = stream.resolution.split("x")
    environment = {
        **gantry_environment(stream),
        **fake_camera(stream),
        "GANTRY_PLUGINS__ROBOCAR__PUBLISH_RATE": str(stream.fps),
        "GANTRY_CAMERAS__MAIN__WIDTH": width,
        "GANTRY_CAMERAS__MAIN__HEIGHT": height,
        "GANTRY_CAMERAS__MAIN__FPS": str(stream.fps),
    }
    camera = ["--camera", "v4l2:///dev/fakevideo0?format=mjpeg"]
    return Launch([stream.gantry, "run", "--config", stream.config, *camera], "sio", environment)


def gantry_people(stream):
    """Gantry with the same camera and the people counter, sending its pictures as they are."""
    width, height = stream.resolution.split("x")
    environment = {
        **runtime_environment(stream.state_dir),
        **fake_camera(stream),
        "GANTRY_PLUGINS__PEOPLE_COUNTER__BIND": f"127.0.0.1:{stream.port}",
        "GANTRY_CAMERAS__MAIN__WIDTH": width,
        "GANTRY_CAMERAS__MAIN__HEIGHT": height,
        "GANTRY_CAMERAS__MAIN__FPS": str(stream.fps),
    }
    camera = ["--camera", "v4l2:///dev/fakevideo0?format=mjpeg"]
    command = [stream.gantry, "run", "--config", HERE / "people.toml", *camera]
    return Launch(command, "ws", environment, "datetime")


def ustreamer(stream):
    """ustreamer (Debian package) with the same camera, passing its JPEGs through."""
    camera = ["-d", "/dev/fakevideo0", "-r", stream.resolution, "-m", "JPEG", "-c", "HW", "-f", stream.fps]
    server = ["-s", "127.0.0.1", "-p", stream.port, "--tcp-nodelay", "--log-level", "0"]
    return Launch(["ustreamer", *camera, *server], "mjpeg", fake_camera(stream))


def program(path, protocol, *extra):
    """A peer that takes PORT FPS SIZE."""
    interpreter = {".py": [PYTHON], ".mjs": ["node"]}.get(path.suffix, [])
    return lambda stream: Launch([*interpreter, path, *stream.arguments(), *extra], protocol)


def bun(stream):
    """The peer for Bun."""
    return Launch([BUN, PEERS / "node" / "ws_bun.mjs", *stream.arguments()], "ws")


SERVERS = {
    "floor": program(LOAD / "floor_ws", "ws"),
    "gantry": gantry,
    "gantry_people": gantry_people,
    "sio_node": program(PEERS / "node" / "sio_node.mjs", "sio"),
    "sio_node_volatile": program(PEERS / "node" / "sio_node.mjs", "sio", "volatile"),
    "sio_py": program(PEERS / "python" / "sio_py.py", "sio"),
    "sioxide": program(LOAD / "sioxide", "sio"),
    "ws_axum": program(LOAD / "axum_ws", "ws"),
    "ws_bun": bun,
    "ws_node": program(PEERS / "node" / "ws_node.mjs", "ws"),
    "ws_py": program(PEERS / "python" / "ws_py.py", "ws"),
    "ustreamer": ustreamer,
}


@dataclasses.dataclass
class StateLaunch:
    """How a server of shared state is started."""

    command: list
    path: str = "/"
    environment: dict = dataclasses.field(default_factory=dict)
    # Once the server listens: the first message of the writer.
    login: typing.Callable[[], str] | None = None


@dataclasses.dataclass
class State:
    """What every server of shared state is given."""

    port: int
    state_dir: pathlib.Path
    gantry: pathlib.Path
    config: pathlib.Path


def gantry_state(state):
    """Gantry with the state of its default configuration, and a user of this run who may write."""
    default = (ROOT / "config" / "gantry.toml").read_text()
    table = re.search(r"^\[state\]\n.*?(?=^\[|\Z)", default, re.MULTILINE | re.DOTALL)
    if table is None:
        raise BenchError("config/gantry.toml has no [state]")
    config = state.state_dir / "gantry.toml"
    config.write_text(state.config.read_text() + "\n" + table[0])
    environment = {
        **runtime_environment(state.state_dir / "var"),
        "GANTRY_PLUGINS__CPRO__BIND": f"127.0.0.1:{state.port}",
    }
    password = secrets.token_urlsafe(24)
    add = [state.gantry, "user", "add", "bench", "--role", "operator", "--password-stdin", "--config", config]
    added = subprocess.run(
        add, env={**os.environ, **environment}, input=password + "\n", capture_output=True, text=True, timeout=60
    )
    if added.returncode != 0:
        raise BenchError(f"no user could be added: {added.stderr.strip()}")
    return StateLaunch(
        [state.gantry, "run", "--config", config],
        "/api/v1",
        environment,
        lambda: json.dumps({"token": token(state.port, "bench", password)}),
    )


def token(port, username, password):
    """The token of a login over HTTP."""
    body = json.dumps({"username": username, "password": password}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/login", body, {"Content-Type": "application/json"}
    )
    # Whatever proxy the environment names, this is the same machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            return json.load(answer)["token"]
    except urllib.error.HTTPError as error:
        raise BenchError(f"the login failed: {error.code} {error.read()[:200]!r}") from error
    except OSError as error:
        raise BenchError(f"the login failed: {error}") from error


# Servers of shared state.
STATE_SERVERS = {
    "gantry": gantry_state,
    "state_node": lambda state: StateLaunch(["node", PEERS / "node" / "state_node.mjs", state.port]),
    "state_py": lambda state: StateLaunch([PYTHON, PEERS / "python" / "state_py.py", state.port]),
}

# How the tables call them.
TITLES = {
    "floor": "floor (kernel writes only)",
    "gantry": "**gantry**",
    "gantry_people": "**gantry** people counter",
    "gantry_capture": "gantry, from capture",
    "sio_node": "node socket.io",
    "sio_node_volatile": "node socket.io, volatile",
    "sio_py": "python-socketio",
    "sioxide": "socketioxide as it comes",
    "ws_axum": "axum WebSocket (tungstenite)",
    "ws_bun": "Bun (uWebSockets)",
    "ws_node": "node `ws`",
    "ws_py": "python `websockets`",
    "ustreamer": "ustreamer (MJPEG)",
    "state_node": "node `ws`",
    "state_py": "python `websockets`",
}


def is_installed(name, gantry_path):
    """Whether a server's program is there."""
    programs = {
        "gantry": gantry_path,
        "gantry_people": gantry_path,
        "ws_bun": BUN,
        "sio_py": PYTHON,
        "state_py": PYTHON,
        "ws_py": PYTHON,
        "floor": LOAD / "floor_ws",
        "sioxide": LOAD / "sioxide",
        "ws_axum": LOAD / "axum_ws",
    }
    if name in programs:
        return os.access(programs[name], os.X_OK)
    command = "ustreamer" if name == "ustreamer" else "node"
    folders = os.environ.get("PATH", "").split(os.pathsep)
    return any(os.access(pathlib.Path(folder) / command, os.X_OK) for folder in folders)
