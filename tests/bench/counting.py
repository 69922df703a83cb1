#!/usr/bin/env python3
"""Measures what looking for people costs: Gantry on `demo:` with nobody who watches, with and without an analysis at 10 fps,
and `gantry count` on the recordings of the test assets with each detector, on one core.

usage: counting.py [--seconds 60] [--gantry PROGRAM] [--assets FOLDER]

Prints the tables of RESULTS.md.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time
import urllib.request

from harness import HERE, ROOT

CLIPS = ["one-by-one", "gate", "uturn", "empty", "bottles"]
LINES = {"x80": "0.8,0,0.8,1", "x20": "0.2,0,0.2,1", "y75": "0,0.75,1,0.75"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="how long a running gateway is measured")
    parser.add_argument("--gantry", type=pathlib.Path, default=ROOT / "target" / "release" / "gantry")
    assets = os.environ.get("GANTRY_TEST_ASSETS", ROOT.parent / "shared")
    parser.add_argument("--assets", type=pathlib.Path, default=assets)
    arguments = parser.parse_args()
    print_running(arguments)
    print_accuracy(arguments)


def print_running(arguments):
    print("### A running gateway on `demo:` (640x480, 30 fps), nobody watches\n")
    print("| analysis | CPU of one core | looked at | ms a picture |")
    print("| --- | --- | --- | --- |")
    before = None
    for analysed in (False, True):
        share, status = running(arguments, analysed)
        if analysed:
            cost = share - before
            looked = f"{status['frames']} pictures"
            print(f"| motion, 10 fps | {share:.1%} | {looked} | {status['average_ms']:.2f} |")
            print(f"| the difference | {cost:.1%} | | |\n")
        else:
            before = share
            print(f"| none | {share:.1%} | | |")


def running(arguments, analysed):
    """The part of a core that a gateway takes."""
    config = (HERE / "counting.toml").read_text()
    if not analysed:
        config = config.split("[analysis.main]")[0]
    with tempfile.TemporaryDirectory(prefix="gantry-bench-") as folder:
        path = pathlib.Path(folder) / "gantry.toml"
        path.write_text(config)
        environment = {
            **os.environ,
            "GANTRY_STATE_DIR": folder + "/state",
            "GANTRY_ADMIN__BIND": "127.0.0.1:0",
            "GANTRY_SCRIPT_DIR": str(ROOT / "scripts"),
            "GANTRY_PIPELINE_DIR": str(ROOT / "pipelines"),
        }
        command = ["taskset", "-c", "0", arguments.gantry, "run", "--config", path]
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                time.sleep(5)
                begin, used = time.monotonic(), cpu_seconds(server.pid)
                time.sleep(arguments.seconds)
                share = (cpu_seconds(server.pid) - used) / (time.monotonic() - begin)
                note = json.loads((pathlib.Path(folder) / "state" / "run.json").read_text())
                with urllib.request.urlopen(f"http://{note['admin']}/cameras") as answer:
                    status = json.load(answer)["cameras"][0].get("analysis")
            finally:
                server.terminate()
    return share, status


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def print_accuracy(arguments):
    truth = json.loads((arguments.assets / "video" / "ground_truth.json").read_text())
    models = arguments.assets / "models"
    detectors = {
        "motion": ["--detector", "motion"],
        "FastestDet": ["--detector", "onnx", "--model", models / "fastestdet-352.onnx", "--family", "fastestdet"],
    }
    print("### Crossings found, within 1 s, on lines x=0.8, x=0.2 and y=0.75\n")
    print("| recording | detector | found | false | largest difference s | ms a picture |")
    print("| --- | --- | --- | --- | --- | --- |")
    for clip in CLIPS:
        for name, options in detectors.items():
            lines = [f"--line={line}={ends}" for line, ends in LINES.items()]
            film = arguments.assets / "video" / f"{clip}.mp4"
            command = ["taskset", "-c", "0", arguments.gantry, "count", film, *lines, *options, "--json"]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            took = re.search(r"([\d.]+) ms each", done.stderr)
            found, wanted, false, apart = score(done.stdout, truth[f"{clip}.mp4"])
            ms = took.group(1) if took else "-"
            print(f"| {clip} | {name} | {found} of {wanted} | {false} | {apart:.2f} | {ms} |")
    print()


def score(output, truth):
    """How many crossings were found, how many there are, how many are false, and the largest difference in time."""
    ways = {"left_to_right": "in", "bottom_to_top": "in", "right_to_left": "out", "top_to_bottom": "out"}
    counted = [json.loads(line) for line in output.splitlines()]
    found = wanted = false = 0
    apart = 0.0
    for line in LINES:
        events = truth.get("lines", {}).get(line, {}).get("events", [])
        ours = [c for c in counted if c["line"] == line]
        used = set()
        wanted += len(events)
        for event in events:
            near = [
                (abs(c["t_s"] - event["t_s"]), n)
                for n, c in enumerate(ours)
                if n not in used and c["direction"] == ways[event["dir"]] and abs(c["t_s"] - event["t_s"]) <= 1
            ]
            if near:
                difference, n = min(near)
                used.add(n)
                found, apart = found + 1, max(apart, difference)
        false += len(ours) - len(used)
    return found, wanted, false, apart


if __name__ == "__main__":
    main()
