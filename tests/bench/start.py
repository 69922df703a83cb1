#!/usr/bin/env python3
"""Measures Gantry with nothing but robocar on `demo:`: start to first picture, and memory with no viewer and with one.

usage: start.py [--starts 5] [--gantry FILE] [--config FILE] [--out FILE]

The first picture is the first `sensor_data` whose `camera` is not null, at a viewer that knocks from the start on and
speaks Socket.IO over a WebSocket of its own, so that no client library's start counts. Its rate is the default one.
"""

import argparse
import json
import os
import pathlib
import socket
import statistics
import struct
import sys
import tempfile
import time

import harness
from harness import HERE, ROOT, BenchError
from servers import Stream, gantry_environment

# After this much, memory has settled.
SETTLE_S = 3
LIMIT_S = 15
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--gantry", type=pathlib.Path, default=ROOT / "target" / "release" / "gantry")
    parser.add_argument("--config", type=pathlib.Path, default=HERE / "gantry.toml")
    parser.add_argument("--out", default=HERE / "results" / "results.jsonl")
    arguments = parser.parse_args()
    harness.end_on_signals()
    if not os.access(arguments.gantry, os.X_OK):
        sys.exit(f"start: {arguments.gantry} is missing: build it with `cargo build --release`, or name it with --gantry")
    try:
        result = measure(arguments)
    except BenchError as error:
        sys.exit(f"start: {error}")
    harness.append_line(arguments.out, json.dumps(result))
    print(
        f"first picture {result['first_picture_s']} s (median {result['first_picture_median_s']} s) | "
        f"memory without a viewer {result['rss_no_viewer_mb']} MB, with one {result['rss_one_viewer_mb']} MB"
    )


def measure(arguments):
    """Every figure, from servers that are started afresh."""
    with start(arguments) as (server, port):
        server.wait_for_port(port)
        time.sleep(SETTLE_S)
        alone_mb = harness.memory_mb(server.pid)
    times, viewed_mb = [], None
    for _ in range(arguments.starts):
        with start(arguments) as (server, port), Viewer(server, port) as viewer:
            viewer.first_picture()
            times.append(round(time.monotonic() - server.started, 3))
            if viewed_mb is None:
                viewer.watch(SETTLE_S)
                viewed_mb = harness.memory_mb(server.pid)
    return {
        "label": "start",
        "first_picture_s": times,
        "first_picture_median_s": round(statistics.median(times), 3),
        "rss_no_viewer_mb": round(alone_mb, 1),
        "rss_one_viewer_mb": round(viewed_mb, 1),
        "when": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


class start:
    """A fresh Gantry with a state of its own: `with start(arguments) as (server, port)`."""

    def __init__(self, arguments):
        self.state_dir = tempfile.TemporaryDirectory(prefix="gantry-bench-")
        self.port = harness.free_port()
        stream = Stream(
            port=self.port,
            fps=30,
            size=0,
            resolution="640x480",
            state_dir=pathlib.Path(self.state_dir.name),
            gantry=arguments.gantry,
            config=arguments.config,
        )
        command = [arguments.gantry, "run", "--config", arguments.config, "--camera", "demo:"]
        self.server = harness.Server(command, gantry_environment(stream), core=None)

    def __enter__(self):
        return self.server.__enter__(), self.port

    def __exit__(self, *exception):
        self.server.__exit__(*exception)
        self.state_dir.cleanup()


class Viewer:
    """A Socket.IO viewer over a plain socket."""

    def __init__(self, server, port):
        self.server = server
        self.port = port
        self.stream = None
        self.received = b""

    def __enter__(self):
        self.stream = self._connect()
        request = (
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{self.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        self.stream.sendall(request.encode())
        head = self._take_until(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise BenchError(f"no WebSocket: {head[:200]!r}")
        return self

    def __exit__(self, *_):
        self.stream.close()

    def _connect(self):
        while time.monotonic() - self.server.started < LIMIT_S:
            try:
                return socket.create_connection(("127.0.0.1", self.port), LIMIT_S)
            except ConnectionRefusedError:
                self.server.check_running()
                time.sleep(0.001)
        raise BenchError(f"nothing listens on {self.port} after {LIMIT_S} s; see {self.server.log}")

    def first_picture(self):
        """Returns once a picture has arrived."""
        while time.monotonic() - self.server.started < LIMIT_S:
            if self._next_event_has_picture():
                return
        raise BenchError(f"no picture after {LIMIT_S} s; see {self.server.log}")

    def watch(self, seconds):
        """Goes on receiving."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._next_event_has_picture()

    def _next_event_has_picture(self):
        opcode, payload = self._frame()
        if opcode == PING:
            self._send(PONG, payload)
        elif opcode == CLOSE:
            raise BenchError("the server closed the connection")
        elif opcode == TEXT and payload.startswith(b"0"):
            self._send(TEXT, b"40")
        elif opcode == TEXT and payload == b"2":
            self._send(TEXT, b"3")
        elif opcode == TEXT and payload.startswith(b"42"):
            name, *data = json.loads(payload[2:])
            return name == "sensor_data" and data[0]["camera"] is not None
        return False

    def _frame(self):
        """The next WebSocket frame; robocar does not send messages in several."""
        first, length = self._take(2)
        if length == 126:
            (length,) = struct.unpack(">H", self._take(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self._take(8))
        return first & 15, self._take(length)

    def _send(self, opcode, payload):
        # Masked with zeros; everything sent here is shorter than 126 bytes.
        self.stream.sendall(bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload)

    def _take(self, length):
        while len(self.received) < length:
            self._receive()
        taken, self.received = self.received[:length], self.received[length:]
        return taken

    def _take_until(self, end):
        while end not in self.received:
            self._receive()
        return self._take(self.received.index(end) + len(end))

    def _receive(self):
        try:
            piece = self.stream.recv(1 << 18)
        except TimeoutError as error:
            raise BenchError(f"nothing arrives; see {self.server.log}") from error
        if not piece:
            self.server.check_running()
            raise BenchError("the server closed the connection")
        self.received += piece


if __name__ == "__main__":
    main()
