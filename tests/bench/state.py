#!/usr/bin/env python3
"""Measures shared state on one server, which has one core and stateload another; prints a line, appends a JSON line.

usage: state.py SERVER [--readers 50] [--writes 200] [--seconds 5] ...     SERVER: see --help

One client writes `brightness`, the readers are to get each value. With Gantry the writer has logged in and the readers
are anonymous. The JSON line is stateload's (see load/src/state/report.rs) with what the machine was doing.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile
import time

import harness
from harness import HERE, ROOT, BenchError, core
from servers import STATE_SERVERS, State, is_installed

# From the first answer of a server to the first client, so that what it does once at its start is not counted.
SETTLE_S = 1


def main():
    arguments = parse_arguments()
    harness.end_on_signals()
    if not is_installed(arguments.server, arguments.gantry):
        sys.exit(f"state: {arguments.server} is not installed: run `tests/bench/run.sh setup`, or build gantry")
    try:
        with tempfile.TemporaryDirectory(prefix="gantry-bench-") as state_dir:
            result = measure(arguments, pathlib.Path(state_dir))
    except BenchError as error:
        sys.exit(f"state: {arguments.server}: {error}")
    harness.append_line(arguments.out, json.dumps(result))
    print(summary(result))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", choices=STATE_SERVERS)
    parser.add_argument("--readers", type=int, default=50)
    parser.add_argument("--writes", type=int, default=200, help="per second")
    parser.add_argument("--seconds", type=float, default=5, help="how long is measured")
    parser.add_argument("--label", help="the name in the results; the server's by default")
    parser.add_argument("--out", default=HERE / "results" / "results.jsonl", help="the file that gets the JSON line")
    parser.add_argument("--server-core", type=core, default=0, help="a number or `any`")
    parser.add_argument("--client-core", type=core, default=1, help="a number or `any`")
    parser.add_argument("--gantry", type=pathlib.Path, default=ROOT / "target" / "release" / "gantry")
    parser.add_argument("--config", type=pathlib.Path, default=HERE / "state.toml", help="Gantry's configuration")
    return parser.parse_args()


def measure(arguments, state_dir):
    """One run; what stateload found and what the machine was doing."""
    port = harness.free_port()
    launch = STATE_SERVERS[arguments.server](State(port, state_dir, arguments.gantry, arguments.config))
    with harness.Server(launch.command, launch.environment, arguments.server_core) as server:
        server.wait_for_port(port)
        options = ["--port", port, "--path", launch.path, "--pid", server.pid]
        options += ["--readers", arguments.readers, "--writes", arguments.writes, "--seconds", arguments.seconds]
        options += ["--label", arguments.label or arguments.server]
        if launch.login is not None:
            options += ["--login", launch.login()]
        time.sleep(SETTLE_S)
        server.check_running()
        idle_mb = harness.memory_mb(server.pid)
        report = harness.run_load("stateload", options, arguments.client_core, arguments.seconds + 60)
        server.check_running()
    return {
        "kind": "state",
        **report,
        "server_name": arguments.server,
        "rss_idle_mb": round(idle_mb, 1),
        "load_average": os.getloadavg()[0],
        "when": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def summary(result):
    """One line for the terminal."""
    server, latency = result["server"], result["latency_ms"]
    parts = [
        f"{result['label']:18} {result['readers']:4} readers, {result['updates_per_s']:5.1f} updates/s",
        f"{server['cpu_us_per_update']:6.0f} us/update, {server['cpu_us_per_update_reader']:5.1f} us/update/reader "
        f"({server['cpu_pct']:.0f} %)",
        f"latency p50 {latency['p50']} p99 {latency['p99']} max {latency['max']} ms",
        f"confirmed p50 {result['confirm_ms']['p50']} p99 {result['confirm_ms']['p99']} ms",
        f"memory {server['rss_start_mb']:.0f} -> {server['rss_end_mb']:.0f} MB, peak {server['rss_peak_mb']:.0f}",
        f"stateload {result['client_cpu_pct']:.0f} %, others {result['others_cpu_pct']:.0f} %",
        f"{result['lost']} LOST" if result["lost"] else None,
        f"{result['strange']} strange" if result["strange"] else None,
        f"{result['refused']} refused {result['refused_text']}" if result["refused"] else None,
        f"{result['errors']} errors {result['error_text']}" if result["errors"] else None,
    ]
    return " | ".join(part for part in parts if part)


if __name__ == "__main__":
    main()
