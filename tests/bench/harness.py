"""Starting servers for a measurement, and ending exactly those.

A server runs on one core and the load on another, so that the one does not take the other's time. Whatever happens,
every process that was started here is ended: by its own id, after an exception, after SIGTERM, and by the kernel if
this program is killed.
"""

import ctypes
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LOAD = HERE / "load" / "target" / "release"

START_LIMIT_S = 15
STOP_LIMIT_S = 6
PR_SET_PDEATHSIG = 1


class BenchError(Exception):
    """A measurement that could not be made, and why."""


def end_on_signals():
    """Makes SIGTERM and SIGHUP unwind like an exception, so that servers are ended."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: sys.exit(128 + received))


def free_port():
    """A TCP port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def memory_mb(pid, field="VmRSS"):
    """`VmRSS` or `VmHWM` of a process in MB (of 1024 * 1024 bytes)."""
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
    raise BenchError(f"process {pid} has no {field}: it has ended")


def pinned(core):
    """What a child does before it becomes the program: move to `core` and agree to end with its parent."""
    prctl = ctypes.CDLL(None).prctl

    def prepare():
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if core is not None:
            os.sched_setaffinity(0, {core})

    return prepare


class Server:
    """A server process while the `with` block runs.

    `command` is its argument list, `environment` what is added to ours, `core` the core it is kept on (None: any).
    Its output is in `log`; a log of a server that failed is kept.
    """

    def __init__(self, command, environment=None, core=0):
        self.command = [str(part) for part in command]
        self.environment = {**os.environ, **(environment or {})}
        self.core = core
        self.process = None
        self.log = None
        self.started = None

    @property
    def pid(self):
        return self.process.pid

    def __enter__(self):
        handle, name = tempfile.mkstemp(prefix="gantry-bench-", suffix=".log")
        self.log = pathlib.Path(name)
        try:
            self.started = time.monotonic()
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=handle,
                stderr=handle,
                preexec_fn=pinned(self.core),
            )
        except OSError as error:
            self.log.unlink()
            raise BenchError(f"{self.command[0]} does not start: {error}") from error
        finally:
            os.close(handle)
        return self

    def __exit__(self, kind, *_):
        self.process.terminate()
        try:
            self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if kind is None:
            self.log.unlink()

    def check_running(self):
        """Raises when the server has ended, with the end of what it said."""
        if self.process.poll() is not None:
            last = "\n".join(self.log.read_text(errors="replace").splitlines()[-5:])
            raise BenchError(f"the server ended with {self.process.returncode}; see {self.log}\n{last}")

    def wait_for_port(self, port):
        """Seconds from the start until `port` takes connections."""
        while time.monotonic() - self.started < START_LIMIT_S:
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                return time.monotonic() - self.started
            except OSError:
                self.check_running()
                time.sleep(0.01)
        raise BenchError(f"the server does not listen on {port} after {START_LIMIT_S} s; see {self.log}")


def core(text):
    """The argument of --server-core and --client-core."""
    return None if text == "any" else int(text)


def run_load(program, options, core, limit_s):
    """Runs a load tool on a core; what it found."""
    try:
        finished = subprocess.run(
            [str(part) for part in [LOAD / program, *options]],
            capture_output=True,
            text=True,
            timeout=limit_s,
            preexec_fn=pinned(core),
        )
    except FileNotFoundError as error:
        raise BenchError(f"{program} is missing: run `tests/bench/run.sh setup`") from error
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{program} did not end") from error
    if finished.returncode != 0:
        raise BenchError(finished.stderr.strip())
    return json.loads(finished.stdout)


def append_line(path, line):
    """Appends a line to a file in a folder that may not exist yet."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        file.write(line + "\n")
