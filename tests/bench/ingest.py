#!/usr/bin/env python3
"""Measures ingest: how many messages of plate-reading cameras a second are answered after they are on the disk.

usage: ingest.py [SERVER ...] [--seconds 5] [--rounds 3]     gantry, rest_py
       ingest.py --soak 300 [--rate 300]                      Gantry's memory at a fixed rate

The server has one core and camload another. Every message is another one: time and picture have a number in them, or a server
that knows a message again would store nothing. Prints the tables of RESULTS.md and appends JSON lines.
"""

import argparse
import base64
import ctypes
import json
import os
import pathlib
import random
import statistics
import sys
import tempfile
import threading
import time

import harness
from harness import HERE, ROOT, BenchError, core

PYTHON = HERE / ".venv" / "bin" / "python"
CLIENTS = 8
# From the first answer of a server to the first client.
SETTLE_S = 1
SERIAL = "SERIAL0000000000"
# Bytes of the JPEG: as base64 in JSON it is a body of 150 KB.
PICTURE = 112_128


def main():
    arguments = parse_arguments()
    harness.end_on_signals()
    try:
        disk = disk_of(arguments.disk)
        # Nothing is deleted before the end: ext4 without a journal looks long for a free inode when many were freed lately.
        with tempfile.TemporaryDirectory(prefix="ingest-", dir=arguments.disk) as folder:
            arguments.folder = pathlib.Path(folder)
            print(f"Disk: {disk}; {CLIENTS} connections; {os.cpu_count()} cores.\n")
            if arguments.soak:
                return print_soak(arguments)
            print_floor(arguments)
            print_rates(arguments)
    except BenchError as error:
        sys.exit(f"ingest: {error}")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", nargs="*", choices=[[], *SERVERS], help="gantry and rest_py by default")
    parser.add_argument("--seconds", type=float, default=5, help="how long a round is measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--soak", type=float, help="seconds of a run at a fixed rate")
    parser.add_argument("--rate", type=float, default=300, help="messages a second of --soak")
    parser.add_argument("--size", choices=SIZES, default="150 KB", help="messages of --soak")
    parser.add_argument("--disk", type=pathlib.Path, default=HERE / "results", help="a folder on the disk to measure")
    parser.add_argument("--out", default=HERE / "results" / "ingest.jsonl", help="the file that gets the JSON lines")
    parser.add_argument("--server-core", type=core, default=0, help="a number or `any`")
    parser.add_argument("--client-core", type=core, default=1, help="a number or `any`")
    parser.add_argument("--gantry", type=pathlib.Path, default=ROOT / "target" / "release" / "gantry")
    return parser.parse_args()


def gantry(arguments, port, folder):
    environment = {
        "GANTRY_STATE_DIR": str(folder),
        "GANTRY_PIPELINE_DIR": str(ROOT / "pipelines"),
        "GANTRY_SCRIPT_DIR": str(ROOT / "scripts"),
        "GANTRY_ADMIN__BIND": "127.0.0.1:0",
        "GANTRY_PLUGINS__LPR__BIND": f"127.0.0.1:{port}",
    }
    return [arguments.gantry, "run", "--config", HERE / "ingest.toml"], environment


def rest_py(_, port, folder):
    return [PYTHON, HERE / "peers" / "python" / "rest_py.py", port, folder], {}


SERVERS = {"gantry": gantry, "rest_py": rest_py}
TITLES = {"gantry": "**gantry**", "rest_py": "aiohttp, SQLite (WAL, FULL)"}


def body(picture):
    """A message with a picture of so many bytes, in which each SERIAL becomes another number for every request."""
    # Not compressible, and the same in every run.
    text = base64.b64encode(random.Random(1).randbytes(picture)).decode()
    found = [{"bbox": [1, 2, 3, 4], "confidence": 0.9}]
    return json.dumps(
        {
            "type": "detection_result",
            "camera_id": "1",
            "checkpoint_id": "1",
            "timestamp": SERIAL,
            "vehicles_count": 1,
            "plates_count": 1,
            "ocr_results": ["ABC1234"],
            "vehicle_detections": found,
            "plate_detections": found,
            "processing_time_ms": 150,
            "annotated_image": SERIAL + text[len(SERIAL) :] if text else "",
        }
    )


SIZES = {"150 KB": body(PICTURE), "small": body(0)}


def run(arguments, server, size, seconds, rate, watch=None):
    """One run; what camload found."""
    port = harness.free_port()
    folder = pathlib.Path(tempfile.mkdtemp(dir=arguments.folder))
    message = folder / "body.json"
    message.write_text(SIZES[size])
    command, environment = SERVERS[server](arguments, port, folder)
    with harness.Server(command, environment, arguments.server_core) as process:
        process.wait_for_port(port)
        time.sleep(SETTLE_S)
        options = ["--protocol", "httpget", "--method", "POST", "--path", "/api/detection", "--body", message]
        options += ["--port", port, "--pid", process.pid, "--clients", CLIENTS, "--rate", rate / CLIENTS]
        options += ["--seconds", seconds, "--label", server]
        if watch is not None:
            watch(process.pid)
        report = harness.run_load("camload", options, arguments.client_core, seconds + 60)
        process.check_running()
    result = {
        "kind": "ingest",
        "size": size,
        "body_bytes": len(SIZES[size]),
        "per_s": report["frames"] / report["seconds"],
        **report,
        "when": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    harness.append_line(arguments.out, json.dumps(result))
    return result


def print_rates(arguments):
    servers = arguments.servers or list(SERVERS)
    for size, message in SIZES.items():
        runs = {server: [] for server in servers}
        # Round by round, so that what disturbs the machine for a while disturbs every server.
        for _ in range(arguments.rounds):
            for server in servers:
                try:
                    runs[server].append(run(arguments, server, size, arguments.seconds, 1e6))
                except BenchError as error:
                    print(f"  left out: {server}: {error}", file=sys.stderr)
        print(f"### Bodies of {len(message):,} bytes\n")
        print("| server | requests/s (rounds) | p50 ms | p99 ms | max ms | CPU µs/request | memory MB | errors | load tool's CPU |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
        for server, results in runs.items():
            if results:
                print(row(server, results))
        print(flush=True)


def row(server, results):
    middle = lambda of: statistics.median(of(result) for result in results)
    rates = [result["per_s"] for result in results]
    latency = [middle(lambda r, at=at: r["latency_ms"][at]) for at in ("p50", "p99")]
    worst = max(result["latency_ms"]["max"] for result in results)
    start, end = (middle(lambda r, at=at: r["server"][f"rss_{at}_mb"]) for at in ("start", "end"))
    return (
        f"| {TITLES[server]} | {middle(lambda r: r['per_s']):.0f} ({min(rates):.0f}-{max(rates):.0f}) "
        f"| {latency[0]:.1f} | {latency[1]:.1f} | {worst:.0f} "
        f"| {middle(lambda r: r['server']['cpu_us_per_frame_client']):.0f} "
        f"| {start:.0f} -> {end:.0f} | {sum(r['errors'] for r in results)} "
        f"| {middle(lambda r: r['client_cpu_pct']):.0f}% |"
    )


def print_soak(arguments):
    """Memory at a fixed rate, every thirty seconds."""
    seen, over = [], threading.Event()

    def watch(pid):
        def look():
            begun = time.monotonic()
            while True:
                seen.append((round(time.monotonic() - begun), harness.memory_mb(pid)))
                if over.wait(30):
                    return

        threading.Thread(target=look, daemon=True).start()

    try:
        result = run(arguments, "gantry", arguments.size, arguments.soak, arguments.rate, watch)
    finally:
        over.set()
    latency = result["latency_ms"]
    print(
        f"{result['per_s']:.0f} messages/s of {result['body_bytes']:,} bytes for {result['seconds']:.0f} s: "
        f"p50 {latency['p50']:.1f}, p99 {latency['p99']:.1f}, max {latency['max']:.0f} ms; {result['errors']} errors\n"
    )
    print("| after s | memory MB |\n| --- | --- |")
    for seconds, memory in seen:
        print(f"| {seconds} | {memory:.0f} |")


def print_floor(arguments):
    """What the disk gives to one thread that does nothing else."""
    print("### The disk alone, one thread\n")
    print("| work | times/s | p50 ms | p99 ms |\n| --- | --- | --- | --- |")
    for title, work in floor_works(arguments.folder):
        times = []
        begun = time.monotonic()
        while time.monotonic() - begun < 2:
            start = time.monotonic()
            work(len(times))
            times.append((time.monotonic() - start) * 1e3)
        times.sort()
        p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
        print(f"| {title} | {len(times) / (time.monotonic() - begun):.0f} | {p50:.2f} | {p99:.2f} |")
    print(flush=True)


def floor_works(folder):
    libc = ctypes.CDLL(None, use_errno=True)
    log = os.open(folder / "log", os.O_CREAT | os.O_RDWR)
    page, picture = os.urandom(4096), os.urandom(PICTURE)

    def append(n):
        os.pwrite(log, page, n * 4096)
        os.fdatasync(log)

    def pictures(n):
        for i in range(CLIENTS):
            (folder / f"{n}-{i}").write_bytes(picture)
        if libc.syncfs(log) != 0:
            raise BenchError("syncfs failed")
        # As much as eight records take in the database's log.
        os.pwrite(log, page * 16, (n % 64) * 65536)
        os.fdatasync(log)

    return [
        ("append 4 KiB, fdatasync", append),
        (f"{CLIENTS} new files of {PICTURE:,} bytes, syncfs; 64 KiB of a log, fdatasync", pictures),
    ]


def disk_of(folder):
    """The file system that a folder is on."""
    folder.mkdir(parents=True, exist_ok=True)
    at = os.stat(folder).st_dev
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        major, minor = map(int, fields[2].split(":"))
        if os.makedev(major, minor) == at:
            kind = fields[fields.index("-") + 1]
            if kind == "tmpfs":
                raise BenchError(f"{folder} is in memory: say `--disk` and a folder on a disk")
            return kind
    return "unknown"


if __name__ == "__main__":
    main()
