"""A python-socketio client driven by lines of JSON, as sio.mjs is.

    python sio.py URL '{"transports": ["websocket"]}'
"""

import base64
import json
import sys

import socketio

url, options = sys.argv[1], json.loads(sys.argv[2] if len(sys.argv) > 2 else "{}")
client = socketio.Client(reconnection_delay=0.1, reconnection_delay_max=0.2)


def plain(value):
    if isinstance(value, (bytes, bytearray)):
        return {"$binary": base64.b64encode(value).decode()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return value


def tell(event, *args):
    sys.stdout.write(json.dumps({"event": event, "args": plain(args)}, separators=(",", ":")) + "\n")
    sys.stdout.flush()


client.on("connect", lambda: tell("#connect", {"id": client.sid, "transport": client.transport()}))
client.on("disconnect", lambda *reason: tell("#disconnect", *reason))
client.on("connect_error", lambda error: tell("#error", str(error)))
client.on("*", tell)

client.connect(url, wait=False, **options)
for line in sys.stdin:
    command = json.loads(line)
    if command.get("close"):
        break
    callback = (lambda *args: tell("#ack", *args)) if command.get("ack") else None
    name, *args = command["emit"]
    client.emit(name, args[0] if args else None, callback=callback)
client.disconnect()
