#!/usr/bin/env python3
"""Makes the Markdown tables of RESULTS.md from JSON lines.

usage: report.py FILE.jsonl

Where a server was measured several times with the same clients, the tables show the median of the rounds, figure by
figure, and how far the rounds were apart.
"""

import collections
import json
import os
import platform
import statistics
import sys

from servers import TITLES

# More than this of one core for somebody else, and a round is not to be trusted.
BUSY_PCT = 10


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(sys.argv[1]) as lines:
        results = [json.loads(line) for line in lines]
    state = [result for result in results if result.get("kind") == "state"]
    runs = [result for result in results if result["label"] != "start" and result.get("kind") != "state"]
    print(machine(runs, state), end="\n\n")
    print_fan_out([run for run in runs if run["slow_clients"] == 0])
    print_slow([run for run in runs if run["slow_clients"] > 0])
    print_start([result for result in results if result["label"] == "start"])
    print_state(state)


def machine(runs, state):
    """One sentence about where and when."""
    model = "unknown processor"
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo") as lines:
        memory_gb = int(lines.readline().split()[1]) / 1024 / 1024
    text = f"{model}, {os.cpu_count()} cores, {memory_gb:.0f} GB, Linux {platform.release()}"
    everything = [*runs, *state]
    if everything:
        text += f", {everything[0]['when']}."
    if runs:
        text += f" A picture has {runs[0]['size']:,} bytes, {runs[0]['fps']} a second are sent."
    busy = sum(run["others_cpu_pct"] > BUSY_PCT for run in everything)
    if busy:
        text += f" **In {busy} of {len(everything)} rounds other programs took more than {BUSY_PCT} % of a core.**"
    return text


def by_server(runs):
    """The rounds of each server."""
    groups = collections.OrderedDict()
    for run in runs:
        groups.setdefault(run["label"], []).append(run)
    return groups


def figure(rounds, *keys):
    """The median of a figure over the rounds; None where it was not measured."""
    values = []
    for value in rounds:
        for key in keys:
            value = value[key]
        if value is not None:
            values.append(value)
    return statistics.median(values) if values else None


def shown(value, digits=0):
    return "-" if value is None else f"{value:.{digits}f}"


def print_fan_out(runs):
    """Cost, latency and memory by server and number of clients."""
    for clients in sorted({run["clients"] for run in runs}):
        groups = by_server(run for run in runs if run["clients"] == clients)
        print(f"### {clients} viewers\n")
        print(
            "| server | CPU µs/frame/client (rounds) | frames/s/client | slowest client | p50 ms | p99 ms | max ms "
            "| memory MB | peak MB |"
        )
        print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
        cheapest = sorted(groups.items(), key=lambda item: figure(item[1], "server", "cpu_us_per_frame_client"))
        for label, rounds in cheapest:
            slowest = min(run["frames_min_client"] / run["seconds"] for run in rounds)
            cells = [
                TITLES.get(label, label),
                spread(rounds, "server", "cpu_us_per_frame_client"),
                shown(figure(rounds, "frames_per_s_per_client"), 1),
                shown(slowest, 1),
                shown(figure(rounds, "latency_ms", "p50"), 1),
                shown(figure(rounds, "latency_ms", "p99"), 1),
                shown(figure(rounds, "latency_ms", "max"), 1),
                shown(figure(rounds, "server", "rss_end_mb")),
                shown(figure(rounds, "server", "rss_peak_mb")),
            ]
            print_row(cells, errors(rounds))
        print()


def print_slow(runs):
    """What slow viewers cost."""
    if not runs:
        return
    first = runs[0]
    print(f"### {first['clients']} viewers, {first['slow_clients']} of them read 20 kB/s\n")
    print("| server | memory MB at start | at end | grows MB/s | frames/s of the others | their p99 ms |")
    print("| --- | --- | --- | --- | --- | --- |")
    for run in runs:
        server = run["server"]
        growth = (server["rss_end_mb"] - server["rss_start_mb"]) / run["seconds"]
        cells = [
            TITLES.get(run["label"], run["label"]),
            shown(server["rss_start_mb"]),
            shown(server["rss_end_mb"]),
            shown(growth, 1),
            shown(run["frames_per_s_per_client"], 1),
            shown(run["latency_ms"]["p99"], 1),
        ]
        print_row(cells, errors([run]))
    print()


def print_start(results):
    """Gantry alone."""
    if not results:
        return
    print("### Gantry with robocar alone on `demo:`\n")
    print("| start to first picture s (median) | each | memory MB without a viewer | with one |")
    print("| --- | --- | --- | --- |")
    for result in results:
        each = ", ".join(f"{seconds:.2f}" for seconds in result["first_picture_s"])
        cells = [f"{result['first_picture_median_s']:.2f}", each]
        cells += [shown(result["rss_no_viewer_mb"], 1), shown(result["rss_one_viewer_mb"], 1)]
        print_row(cells, "")
    print()


def print_state(runs):
    """Cost and latency of shared state by server, readers and rate."""
    for readers, writes in sorted({(run["readers"], run["writes"]) for run in runs}):
        groups = by_server(run for run in runs if (run["readers"], run["writes"]) == (readers, writes))
        print(f"### Shared state: {readers} readers, {writes} writes/s\n")
        print(
            "| server | CPU µs/update (rounds) | µs/update/reader | updates/s | lost | p50 ms | p99 ms (rounds) | max ms "
            "| confirmed p99 ms | memory MB | peak MB |"
        )
        print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
        cheapest = sorted(groups.items(), key=lambda item: figure(item[1], "server", "cpu_us_per_update"))
        for label, rounds in cheapest:
            cells = [
                TITLES.get(label, label),
                spread(rounds, "server", "cpu_us_per_update"),
                shown(figure(rounds, "server", "cpu_us_per_update_reader"), 1),
                shown(figure(rounds, "updates_per_s"), 1),
                str(sum(run["lost"] for run in rounds)),
                shown(figure(rounds, "latency_ms", "p50"), 1),
                spread(rounds, "latency_ms", "p99", digits=1),
                shown(figure(rounds, "latency_ms", "max"), 1),
                shown(figure(rounds, "confirm_ms", "p99"), 1),
                shown(figure(rounds, "server", "rss_end_mb")),
                shown(figure(rounds, "server", "rss_peak_mb")),
            ]
            print_row(cells, errors(rounds, "clients") + refusals(rounds))
        print()


def spread(rounds, *keys, digits=0):
    """The median of a figure over the rounds, and the least and the most."""
    values = [figure([run], *keys) for run in rounds]
    values = [value for value in values if value is not None]
    if not values:
        return "-"
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def refusals(rounds):
    """Writes that a server did not take, for behind its name."""
    count = sum(run["refused"] for run in rounds)
    return f" ({count} writes refused)" if count else ""


def errors(rounds, what="viewers"):
    """What went wrong with clients, for behind the name of the server."""
    count = sum(run["errors"] for run in rounds)
    return f" ({count} {what} lost)" if count else ""


def print_row(cells, remark):
    print(f"| {cells[0]}{remark} | " + " | ".join(cells[1:]) + " |")


if __name__ == "__main__":
    main()
