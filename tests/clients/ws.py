"""A WebSocket (PyPI `websockets`) driven by lines of JSON, as ws.mjs is.

    python ws.py URL '{"additional_headers": {…}, "ca": "FILE"}'
"""

import base64
import json
import ssl
import sys
import threading

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect


def tell(what):
    sys.stdout.write(json.dumps(what, ensure_ascii=False, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def listen(socket):
    try:
        while True:
            message = socket.recv()
            text = isinstance(message, str)
            tell({"text": message} if text else {"binary": base64.b64encode(message).decode()})
    except ConnectionClosed as closed:
        frame = closed.rcvd
        tell({"close": frame.code if frame else 1006, "reason": frame.reason if frame else ""})


options = json.loads(sys.argv[2] if len(sys.argv) > 2 else "{}")
if "ca" in options:
    options["ssl"] = ssl.create_default_context(cafile=options.pop("ca"))
try:
    socket = connect(sys.argv[1], **options)
except InvalidStatus as refused:
    tell({"refused": refused.response.status_code})
    sys.exit()
except Exception as error:
    tell({"error": str(error)})
    sys.exit()
tell({"open": True})
threading.Thread(target=listen, args=[socket], daemon=True).start()
for line in sys.stdin:
    command = json.loads(line)
    try:
        if "text" in command:
            socket.send(command["text"])
        elif "binary" in command:
            socket.send(base64.b64decode(command["binary"]))
        else:
            socket.close(command["close"])
    except ConnectionClosed:
        pass  # It is told by the listener.
