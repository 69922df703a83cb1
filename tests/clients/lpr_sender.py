"""The sender of the LPR document (its chapters 1 to 3, 7 and 8), driven by lines of JSON.

    python lpr_sender.py SERVER_URL '{"socketio_path": "socket.io", "retry_interval": 0.2, "max_retries": 5}'

In:  {"camera_register"|"lpr_data"|"health_status"|"ping": PAYLOAD}, one at a time; {"disconnect": true}.
Out: {"via": "socketio", "event": NAME, "answer": …}, {"via": "rest", "status": N, "answer": …}, or {"failed": REASON};
     {"log": …} for each attempt and failure to connect.
"""

import json
import queue
import sys
import time

import requests
import socketio

# Event, the events that answer it, and the way over REST.
WAYS = {
    "camera_register": ("camera_register", "POST", "/api/cameras/register"),
    "lpr_data": ("lpr_response", "POST", "/api/detection"),
    "health_status": ("health_response", "POST", "/api/health"),
    "ping": ("pong", "GET", "/api/test"),
}


def tell(what):
    sys.stdout.write(json.dumps(what, ensure_ascii=False, separators=(",", ":")) + "\n")
    sys.stdout.flush()


class WebSocketSender:
    def __init__(self, server_url, socketio_path="socket.io", connection_timeout=30, retry_interval=60, max_retries=5):
        self.server_url = server_url
        self.socketio_path = socketio_path
        self.connection_timeout = connection_timeout
        self.retry_interval = retry_interval
        self.max_retries = max_retries
        self.answers = queue.Queue()
        self.sio = None

    def connect(self):
        """Socket.IO first: the HTTP URL becomes a WebSocket one."""
        if self.sio and self.sio.connected:
            return True
        self.sio = socketio.Client(reconnection=False)
        for event in ["camera_register", "lpr_response", "health_response", "pong", "error"]:
            self.sio.on(event, lambda data, event=event: self.answers.put((event, data)))
        url = self.server_url.replace("http://", "ws://").replace("https://", "wss://")
        try:
            self.sio.connect(
                url, socketio_path=self.socketio_path, transports=["websocket"], wait_timeout=self.connection_timeout
            )
            tell({"log": "connected with Socket.IO"})
            return True
        except socketio.exceptions.ConnectionError as error:
            tell({"log": f"Socket.IO failed: {error}"})
            return False

    def send_socketio(self, event, payload):
        while not self.answers.empty():
            self.answers.get()
        self.sio.emit(event, payload)
        name, answer = self.answers.get(timeout=self.connection_timeout)
        return {"via": "socketio", "event": name, "answer": answer}

    def send_rest(self, event, payload):
        _, method, path = WAYS[event]
        body = payload if method == "POST" else None
        response = requests.request(method, self.server_url + path, json=body, timeout=self.connection_timeout)
        return {"via": "rest", "status": response.status_code, "answer": response.json()}

    def send(self, event, payload):
        """Falls back to REST; when both fail, retries after a delay."""
        for attempt in range(self.max_retries):
            try:
                if self.connect():
                    return self.send_socketio(event, payload)
                return self.send_rest(event, payload)
            except (requests.RequestException, socketio.exceptions.SocketIOError, queue.Empty) as error:
                tell({"log": f"attempt {attempt + 1} failed: {type(error).__name__}"})
                time.sleep(self.retry_interval)
        return {"failed": f"{self.max_retries} attempts"}


sender = WebSocketSender(sys.argv[1], **json.loads(sys.argv[2] if len(sys.argv) > 2 else "{}"))
for line in sys.stdin:
    command = json.loads(line)
    if "disconnect" in command:
        sender.sio.disconnect()
        continue
    [(event, payload)] = command.items()
    tell(sender.send(event, payload))
if sender.sio:
    sender.sio.disconnect()
