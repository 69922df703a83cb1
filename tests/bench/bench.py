#!/usr/bin/env python3
"""Measures one server: starts it on one core, puts camload on another, prints a line, appends a JSON line.

usage: bench.py SERVER [--clients 50] [--slow 0] [--seconds 10] ...     SERVER: see --help
       bench.py other --command 'PROGRAM {port} {fps} {size}' --protocol ws ...

The JSON line is camload's (see load/src/report.rs) with what was asked for and what the machine was doing.
"""

import argparse
import json
import os
import pathlib
import shlex
import sys
import tempfile
import time

import harness
from harness import HERE, ROOT, BenchError, core
from servers import SERVERS, Launch, Stream, is_installed

# From the first answer of a server to the first client, so that what it does once at its start is not counted.
SETTLE_S = 0.5


def main():
    arguments = parse_arguments()
    harness.end_on_signals()
    if arguments.command is None and not is_installed(arguments.server, arguments.gantry):
        sys.exit(f"bench: {arguments.server} is not installed: run `tests/bench/run.sh setup`, or build gantry")
    try:
        with tempfile.TemporaryDirectory(prefix="gantry-bench-") as state_dir:
            result = measure(arguments, pathlib.Path(state_dir))
    except BenchError as error:
        sys.exit(f"bench: {arguments.server}: {error}")
    harness.append_line(arguments.out, json.dumps(result))
    print(summary(result))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", choices=[*SERVERS, "other"])
    parser.add_argument("--clients", type=int, default=50, help="viewers, the slow ones included")
    parser.add_argument("--slow", type=int, default=0, help="viewers that read 20 kB/s")
    parser.add_argument("--seconds", type=float, default=10, help="how long is measured")
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--size", type=int, default=50_000, help="bytes of a picture, before base64")
    parser.add_argument("--resolution", default="1280x720", help="of the fake camera")
    parser.add_argument("--label", help="the name in the results; the server's by default")
    parser.add_argument("--out", default=HERE / "results" / "results.jsonl", help="the file that gets the JSON line")
    parser.add_argument("--server-core", type=core, default=0, help="a number or `any`")
    parser.add_argument("--client-core", type=core, default=1, help="a number or `any`")
    parser.add_argument("--gantry", type=pathlib.Path, default=ROOT / "target" / "release" / "gantry")
    parser.add_argument("--config", type=pathlib.Path, default=HERE / "gantry.toml", help="Gantry's configuration")
    parser.add_argument("--command", help="another server; {port}, {fps} and {size} are filled in")
    parser.add_argument("--protocol", help="ws, sio, mjpeg or httpget, for --command")
    parser.add_argument("--stamp", help="where a message says when it was made; see camload --help")
    parser.add_argument("--load-options", default="", help="further options of camload, in one string")
    return parser.parse_args()


def measure(arguments, state_dir):
    """One run; what camload found and what was asked for."""
    stream = Stream(
        port=harness.free_port(),
        fps=arguments.fps,
        size=arguments.size,
        resolution=arguments.resolution,
        state_dir=state_dir,
        gantry=arguments.gantry,
        config=arguments.config,
    )
    launch = launch_of(arguments, stream)
    with harness.Server(launch.command, launch.environment, arguments.server_core) as server:
        listen_s = server.wait_for_port(stream.port)
        time.sleep(SETTLE_S)
        server.check_running()
        idle_mb = harness.memory_mb(server.pid)
        report = run_camload(arguments, launch, stream.port, server.pid)
        server.check_running()
    return {
        **report,
        "server_name": arguments.server,
        "fps": arguments.fps,
        "size": arguments.size,
        "listen_s": round(listen_s, 3),
        "rss_idle_mb": round(idle_mb, 1),
        "load_average": os.getloadavg()[0],
        "when": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def launch_of(arguments, stream):
    """How the server is started: from the table, or as --command says."""
    if arguments.command is None:
        return SERVERS[arguments.server](stream)
    command = arguments.command.format(port=stream.port, fps=stream.fps, size=stream.size)
    return Launch(shlex.split(command), arguments.protocol or "ws")


def run_camload(arguments, launch, port, pid):
    """Runs the clients; their report."""
    options = ["--protocol", launch.protocol, "--port", port, "--pid", pid]
    options += ["--clients", arguments.clients, "--slow", arguments.slow, "--seconds", arguments.seconds]
    options += ["--label", arguments.label or arguments.server]
    # ustreamer says when a picture was taken in no other place than the picture.
    stamp = arguments.stamp or launch.stamp or ("comment" if launch.protocol == "mjpeg" else "epoch")
    options += ["--stamp", stamp, *shlex.split(arguments.load_options)]
    return harness.run_load("camload", options, arguments.client_core, arguments.seconds + 60)


def summary(result):
    """One line for the terminal."""
    server, latency = result["server"], result["latency_ms"]
    parts = [
        f"{result['label']:18} {result['clients']:4} clients",
        f"{result['slow_clients']} slow" if result["slow_clients"] else None,
        f"{result['frames_per_s_per_client']:5.2f} frames/s",
        f"{server['cpu_us_per_frame_client']:6.1f} us/frame/client ({server['cpu_pct']:.0f} %)",
        f"latency p50 {latency['p50']} p99 {latency['p99']} max {latency['max']} ms",
        f"memory {server['rss_start_mb']:.0f} -> {server['rss_end_mb']:.0f} MB, peak {server['rss_peak_mb']:.0f}",
        f"camload {result['client_cpu_pct']:.0f} %, others {result['others_cpu_pct']:.0f} %",
        f"{result['errors']} errors {result['error_text']}" if result["errors"] else None,
    ]
    return " | ".join(part for part in parts if part)


if __name__ == "__main__":
    main()
