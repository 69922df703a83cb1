#!/usr/bin/env python3
"""Measures ESP32-CAMs: many devices that send pictures to a gateway at once, over loopback, with the real store behind it.

usage: espcam.py [--devices 200] [--seconds 10] [--rounds 3]     pictures a second, CPU per datagram, what is lost
       espcam.py --soak 300 [--every 2]                          memory at a fixed rate, every thirty seconds
       espcam.py --bursts                                        255 packets of each of several devices at the same time

The gateway has one core and the devices another. Every picture is another one. What is lost without anybody losing it on
purpose is what the system had no room for: the drops of the socket, as /proc tells them. Prints the tables of RESULTS.md and
appends JSON lines.
"""

import argparse
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import harness
from harness import HERE, ROOT, BenchError, core

# What a system allows when nobody has changed it.
USUAL_BUFFER = 212992
# The most that a few bursts may take.
BURSTS_S = 60


def main():
    arguments = parse_arguments()
    harness.end_on_signals()
    try:
        with tempfile.TemporaryDirectory(prefix="espcam-", dir=arguments.disk) as folder:
            arguments.folder = pathlib.Path(folder)
            if arguments.soak:
                print_soak(arguments)
            elif arguments.bursts:
                print_bursts(arguments)
            else:
                print_rates(arguments)
    except BenchError as error:
        sys.exit(f"espcam: {error}")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--bytes", type=int, default=60_000, help="of a picture")
    parser.add_argument("--seconds", type=float, default=10, help="how long a round is measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--soak", type=float, help="seconds of a run at a fixed rate")
    parser.add_argument("--every", type=float, default=2, help="seconds from picture to picture of a device in --soak")
    parser.add_argument("--bursts", action="store_true")
    parser.add_argument("--sockets", type=int, default=0, help="of the usual size; 0: as the system has it")
    parser.add_argument("--disk", type=pathlib.Path, default=HERE / "results", help="a folder on the disk to measure")
    parser.add_argument("--out", default=HERE / "results" / "espcam.jsonl", help="the file that gets the JSON lines")
    parser.add_argument("--server-core", type=core, default=0, help="a number or `any`")
    parser.add_argument("--client-core", type=core, default=1, help="a number or `any`")
    parser.add_argument("--gantry", type=pathlib.Path, default=ROOT / "target" / "release" / "gantry")
    arguments = parser.parse_args()
    arguments.disk.mkdir(parents=True, exist_ok=True)
    return arguments


def free_udp_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_s(pid):
    """Processor time of all threads, in seconds."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def drops(port):
    """Datagrams that the system had no room for."""
    lines = pathlib.Path("/proc/net/udp").read_text().splitlines()[1:]
    found = [line.split() for line in lines if int(line.split()[1].split(":")[1], 16) == port]
    if not found:
        raise BenchError("the gateway does not listen")
    return sum(int(fields[-1]) for fields in found)


class Gateway:
    """A gateway with the plugin, while the `with` block runs."""

    def __init__(self, arguments):
        self.port = free_udp_port()
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=arguments.folder))
        self.environment = {
            "GANTRY_STATE_DIR": str(self.folder),
            "GANTRY_PIPELINE_DIR": str(ROOT / "pipelines"),
            "GANTRY_SCRIPT_DIR": str(ROOT / "scripts"),
            "GANTRY_ADMIN__BIND": "127.0.0.1:0",
            "GANTRY_PLUGINS__ESPCAM__BIND": f"127.0.0.1:{self.port}",
        }
        if arguments.sockets:
            buffer = str(arguments.sockets * USUAL_BUFFER)
            self.environment["GANTRY_PLUGINS__ESPCAM__RECEIVE_SOCKETS"] = str(arguments.sockets)
            self.environment["GANTRY_PLUGINS__ESPCAM__RECEIVE_BUFFER"] = buffer
        self.gantry = arguments.gantry
        command = [arguments.gantry, "run", "--config", HERE / "espcam.toml"]
        self.server = harness.Server(command, self.environment, arguments.server_core)

    def __enter__(self):
        self.server.__enter__()
        try:
            end = time.monotonic() + harness.START_LIMIT_S
            while not self.is_ready():
                self.server.check_running()
                if time.monotonic() > end:
                    raise BenchError(f"the gateway is not ready; see {self.server.log}")
                time.sleep(0.05)
        except BaseException:
            self.server.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *error):
        self.server.__exit__(*error)

    def is_ready(self):
        try:
            self.admin = json.loads((self.folder / "run.json").read_text())["admin"]
            with urllib.request.urlopen(f"http://{self.admin}/readyz", timeout=2) as answer:
                return answer.status == 200
        except (OSError, ValueError, KeyError):
            return False

    def metric(self, name):
        with urllib.request.urlopen(f"http://{self.admin}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"gantry_plugin_{name}"))

    def stored(self):
        ask = [self.gantry, "call", "records.count", '{"collection": "pictures"}', "--config", HERE / "espcam.toml"]
        environment = {**os.environ, **self.environment}
        done = subprocess.run([str(a) for a in ask], env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchError(done.stderr.strip())
        return json.loads(done.stdout)["count"]


def run(arguments, kind, options, seconds, watch=None):
    """One run of at most so many seconds; what the devices and the gateway tell."""
    with Gateway(arguments) as gateway:
        pid = gateway.server.pid
        time.sleep(1)
        before, memory = cpu_s(pid), harness.memory_mb(pid)
        if watch is not None:
            watch(pid)
        options = ["--port", gateway.port, *options, "--seconds", seconds]
        report = harness.run_load("udpload", options, arguments.client_core, seconds + 60)
        spent = cpu_s(pid) - before
        # The figures are there a second later.
        time.sleep(1.5)
        gateway.server.check_running()
        report.update(
            kind=f"espcam-{kind}",
            sockets=arguments.sockets,
            stored=gateway.stored(),
            completed=gateway.metric("completed_pictures_total"),
            datagrams=gateway.metric("datagrams_total"),
            dropped=gateway.metric("dropped_datagrams_total"),
            lost=drops(gateway.port),
            cpu_s=spent,
            cpu_us_per_datagram=spent * 1e6 / max(gateway.metric("datagrams_total"), 1),
            memory_mb=[memory, harness.memory_mb(pid), harness.memory_mb(pid, "VmHWM")],
            when=time.strftime("%Y-%m-%d %H:%M:%S"),
        )
    harness.append_line(arguments.out, json.dumps(report))
    return report


def print_rates(arguments):
    print(f"### {arguments.devices} devices at once, pictures of {arguments.bytes:,} bytes, the real store\n")
    print(
        "| firmware | pictures/s (rounds) | datagrams/s | CPU µs/datagram | begun, acknowledged, stored | lost by the system "
        "| sent again | p50, p99, max ms a picture | memory, peak MB |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for firmware in ("old", "newer", "mixed"):
        rounds = []
        for _ in range(arguments.rounds):
            options = ["--devices", arguments.devices, "--bytes", arguments.bytes, "--firmware", firmware]
            rounds.append(run(arguments, "rate", options, arguments.seconds))
        print(row(firmware, rounds), flush=True)
    print()


def row(firmware, rounds):
    middle = lambda of: statistics.median(of(one) for one in rounds)
    total = lambda key: sum(int(one[key]) for one in rounds)
    rates = [one["pictures"] / one["seconds"] for one in rounds]
    took = [middle(lambda one, at=at: one["took_ms"][at]) for at in ("p50", "p99", "max")]
    return (
        f"| {firmware} | {statistics.median(rates):.0f} ({min(rates):.0f}-{max(rates):.0f}) "
        f"| {middle(lambda one: one['datagrams'] / one['seconds']):.0f} "
        f"| {middle(lambda one: one['cpu_us_per_datagram']):.1f} "
        f"| {total('begun')}, {total('pictures')}, {total('completed')} | {total('lost') + total('dropped')} | {total('again')} "
        f"| {took[0]:.0f}, {took[1]:.0f}, {took[2]:.0f} "
        f"| {middle(lambda one: one['memory_mb'][1]):.0f}, {max(one['memory_mb'][2] for one in rounds):.0f} |"
    )


def print_bursts(arguments):
    kind = f"{arguments.sockets or 1} socket(s) of {USUAL_BUFFER:,} bytes"
    print(f"### Bursts of 255 packets of 1460 bytes, {kind}\n")
    arguments.sockets = arguments.sockets or 1
    print("| devices at once | pictures | datagrams | lost by the system | dropped by the plugin | sent again |")
    print("| --- | --- | --- | --- | --- | --- |")
    for devices in (1, 4, 8, 16):
        rounds = []
        for _ in range(arguments.rounds):
            options = ["--devices", devices, "--bytes", 255 * 1452, "--firmware", "newer", "--pictures", 5]
            rounds.append(run(arguments, "burst", options, BURSTS_S))
        total = lambda key: sum(int(one[key]) for one in rounds)
        print(
            f"| {devices} | {total('completed')} of {total('begun')} | {total('datagrams')} | {total('lost')} "
            f"| {total('dropped')} | {total('again')} |",
            flush=True,
        )
    print()


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

    options = ["--devices", arguments.devices, "--bytes", arguments.bytes, "--every", arguments.every]
    try:
        result = run(arguments, "soak", options, arguments.soak, watch)
    finally:
        over.set()
    took = result["took_ms"]
    print(
        f"{arguments.devices} devices, both generations, a picture of {arguments.bytes:,} bytes every {arguments.every:g} s "
        f"for {result['seconds']:.0f} s: {result['pictures'] / result['seconds']:.0f} pictures/s, "
        f"{result['datagrams'] / result['seconds']:.0f} datagrams/s, {result['cpu_us_per_datagram']:.1f} µs CPU each; "
        f"{result['begun']} begun, {result['pictures']} acknowledged, {result['completed']:.0f} stored, "
        f"{result['lost']} datagrams lost by the system, {result['again']} sent again; "
        f"p50 {took['p50']:.0f}, p99 {took['p99']:.0f}, max {took['max']:.0f} ms a picture\n"
    )
    print("| after s | memory MB |\n| --- | --- |")
    for seconds, memory in seen:
        print(f"| {seconds} | {memory:.1f} |")
    print()


if __name__ == "__main__":
    main()
