#!/bin/bash
# Measures Gantry beside what people use today, and prints the tables of RESULTS.md. Takes about twenty minutes.
#
#   run.sh setup            makes the tools, the peers and the pictures
#   run.sh matrix [PEERS]   measures camera streams: those of servers.py that are named, or the usual ones
#   run.sh state [PEERS]    measures shared state: gantry, state_node, state_py
#   run.sh people [PEERS]   measures the people counter's stream beside plain WebSocket servers
#   run.sh counting         measures what looking for people costs, and how exact it is
#   run.sh ingest [PEERS]   measures REST ingest of plate-reading cameras beside a careful server in Python; gantry, rest_py
#   run.sh espcam           measures ESP32-CAMs: 200 at once, and bursts
#   run.sh soak [KIND]      sends for SOAK (300) seconds and looks at the memory: ingest, espcam, or both
#   run.sh                  setup and then matrix, state, counting, espcam and ingest
#
# Needs Rust, gcc, node with npm, python3 with venv, and gst-launch-1.0 with the plugins base and good; Gantry is
# measured when target/release/gantry is built. What is missing is left out, and said.
set -euo pipefail
cd "$(dirname "$0")"
trap 'exit 130' INT

rounds=${ROUNDS:-3}
seconds=${SECONDS_PER_ROUND:-4}
results=results/$(date +%Y%m%d-%H%M%S).jsonl
servers=(floor gantry sio_node sio_py sioxide ws_node ws_bun)
slow_servers=(gantry sio_node sio_py)

say() {
    echo "$*" >&2
}

setup() {
    say "load tools and Rust peers"
    cargo build --release --quiet --locked --features peers --manifest-path load/Cargo.toml

    say "fake camera"
    gcc -O2 -Wall -Wextra -fPIC -shared -o fakev4l2/fakev4l2.so fakev4l2/fakev4l2.c -ldl -lpthread
    video=${GANTRY_TEST_ASSETS:-../../../shared}/video/one-by-one.mp4
    python3 fakev4l2/make_frames.py --size 50000 --resolution 1280x720 --video "$video" ||
        say "  without pictures, gantry is left out"

    say "node and bun peers"
    (cd peers/node && npm ci --no-progress --loglevel=error) || say "  left out: npm ci failed"

    say "python peers"
    { python3 -m venv .venv && .venv/bin/pip install --quiet -r peers/python/requirements.txt; } ||
        say "  left out: pip failed"
}

# One run that must not stop the others: a program and what it is to measure.
measure() {
    timeout --foreground 120 python3 "$@" --out "$results" >&2 || say "  left out: $*"
}

# The same of a program that prints its tables itself.
attempt() {
    python3 "$@" || say "  left out: $*"
}

matrix() {
    local asked=("$@") server
    if [ ${#asked[@]} -gt 0 ]; then
        servers=("${asked[@]}")
        slow_servers=("${asked[@]}")
    fi
    # Round by round, so that what disturbs the machine for a while disturbs every server.
    for clients in 50 200; do
        for _ in $(seq "$rounds"); do
            for server in "${servers[@]}"; do
                measure bench.py "$server" --clients "$clients" --seconds "$seconds"
            done
        done
    done
    for server in "${slow_servers[@]}"; do
        measure bench.py "$server" --clients 55 --slow 5 --seconds 20
    done
    if [[ " ${servers[*]} " == *" gantry "* ]]; then
        measure bench.py gantry --label gantry_capture --stamp comment-base64 --clients 50 --seconds "$seconds"
        measure start.py
    fi
}

people() {
    local asked=("$@") server
    [ ${#asked[@]} -gt 0 ] || asked=(floor gantry_people ws_node ws_py ws_bun)
    for clients in 50 200; do
        for _ in $(seq "$rounds"); do
            for server in "${asked[@]}"; do
                measure bench.py "$server" --clients "$clients" --seconds "$seconds"
            done
        done
    done
    for server in gantry_people ws_node ws_py; do
        measure bench.py "$server" --clients 55 --slow 5 --seconds 20
    done
}

counting() {
    attempt counting.py
}

ingest() {
    attempt ingest.py "$@" --rounds "$rounds"
}

espcam() {
    attempt espcam.py --rounds "$rounds"
    attempt espcam.py --rounds "$rounds" --bursts
    attempt espcam.py --rounds "$rounds" --bursts --sockets 20
}

soak() {
    local kinds=("$@") kind
    [ ${#kinds[@]} -gt 0 ] || kinds=(ingest espcam)
    for kind in "${kinds[@]}"; do
        attempt "$kind.py" --soak "${SOAK:-300}"
    done
}

state() {
    local asked=("$@") server load
    [ ${#asked[@]} -gt 0 ] || asked=(gantry state_node state_py)
    for load in "--readers 50 --writes 200" "--readers 500 --writes 20"; do
        for _ in $(seq "$rounds"); do
            for server in "${asked[@]}"; do
                # shellcheck disable=SC2086  # several words
                measure state.py "$server" $load --seconds "$seconds"
            done
        done
    done
}

tables() {
    [ -e "$results" ] || { say "nothing could be measured" && exit 1; }
    python3 report.py "$results"
    say "the figures are in tests/bench/$results"
}

case ${1:-all} in
setup) setup ;;
matrix | state | people)
    "$@"
    tables
    ;;
counting) counting ;;
espcam | ingest | soak) "$@" ;;
all)
    setup
    matrix
    state
    tables
    counting
    espcam
    ingest
    ;;
*) sed -n '2,16s/^# \{0,1\}//p' run.sh >&2 && exit 2 ;;
esac
