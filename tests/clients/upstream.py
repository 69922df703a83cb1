"""An upstream server of the plate-reading cameras' protocol, on python-socketio, with the weather of a test.

    python upstream.py [PORT]

It tells what happens in lines of JSON: `#listening {port}`, `#connect`, `record {way, event, body}` for each message that it
keeps (the same message again is told again), `register {way, camera_id}`, `#mode {mode}`. Lines of JSON say how it is:

    {"mode": "well"}    Socket.IO and REST
    {"mode": "rest"}    Socket.IO is not there
    {"mode": "socket"}  REST is not there
    {"mode": "errors"}  500 to everything
    {"mode": "down"}    nobody listens
    {"mode": "resets"}  each other message is kept, and in place of its answer the connection is reset; of the others each
                        third is not even kept
    {"mode": "slow", "seconds": 2}   messages are kept, and answered so late; each third at once
    {"refuse": "BAD"}   messages with this text are refused in every mode
    {"acks": true}      answers are the acknowledgements of events, without events
"""

import json
import socket
import struct
import sys
import threading
import time
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import socketio

lock = threading.RLock()
state = {"mode": "well", "seconds": 0, "refuse": None, "acks": False, "count": 0}
connections = set()
server = None


def tell(event, *args):
    with lock:
        sys.stdout.write(json.dumps({"event": event, "args": args}, separators=(",", ":")) + "\n")
        sys.stdout.flush()


def reset(connection):
    """Ends a connection in the middle, as a router that forgets it."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def keep(way, event, body, connection):
    """Keeps a message as the mode has it. Whether it is to be answered, and how."""
    text = json.dumps(body)
    with lock:
        mode, refuse, seconds = state["mode"], state["refuse"], state["seconds"]
        state["count"] += 1
        count = state["count"]
    if refuse and refuse in text:
        return "refused"
    if mode == "errors":
        return "error"
    if mode == "resets" and count % 3 == 0:
        reset(connection)
        return None
    tell("record", {"way": way, "event": event, "body": body})
    if mode == "resets" and count % 2 == 0:
        reset(connection)
        return None
    if mode == "slow" and count % 3:
        time.sleep(seconds)
    return "ok"


io = socketio.Server(async_mode="threading", cors_allowed_origins="*", allow_upgrades=True)


@io.event
def connect(sid, environ, auth=None):
    tell("#connect", {"auth": auth, "header": environ.get("HTTP_X_API_KEY")})


def connection_of(sid):
    return io.get_environ(sid)["werkzeug.socket"]


@io.event
def camera_register(sid, data):
    tell("register", {"way": "socketio", "camera_id": data.get("camera_id"), "checkpoint_id": data.get("checkpoint_id")})
    answer = {"success": True, "message": "registered", "camera_id": data.get("camera_id")}
    if state["acks"]:
        return answer
    io.emit("camera_register", answer, to=sid)


def message(sid, data, event, answer_event):
    kept = keep("socketio", event, data, connection_of(sid))
    if kept is None:
        return None
    if kept != "ok":
        why = {"success": False, "message": "Missing required field: good manners"}
        if state["acks"]:
            return why
        return io.emit("error", {"message": why["message"]}, to=sid)
    answer = {
        "success": True,
        "message": "received",
        "camera_id": data.get("camera_id"),
        "checkpoint_id": data.get("checkpoint_id"),
    }
    if state["acks"]:
        return answer
    return io.emit(answer_event, answer, to=sid)


@io.event
def lpr_data(sid, data):
    return message(sid, data, "lpr_data", "lpr_response")


@io.event
def health_status(sid, data):
    return message(sid, data, "health_status", "health_response")


def rest(environ, start_response):
    def answer(status, value):
        body = json.dumps(value).encode()
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    path, mode = environ["PATH_INFO"], state["mode"]
    if mode == "errors":
        return answer("500 Internal Server Error", {"success": False, "message": "no database"})
    if mode == "socket":
        return answer("404 Not Found", {"success": False, "message": "not here"})
    if path == "/api/test":
        return answer("200 OK", {"success": True, "message": "Server is running"})
    body = json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
    if path == "/api/cameras/register":
        tell("register", {"way": "rest", "camera_id": body["camera_id"], "checkpoint_id": body["checkpoint_id"]})
        return answer("200 OK", {"success": True, "message": "Camera registered successfully"})
    event = {"/api/detection": "lpr_data", "/api/health": "health_status"}[path]
    kept = keep("rest", event, body, environ["werkzeug.socket"])
    if kept == "refused":
        return answer("400 Bad Request", {"success": False, "message": "Missing required field: good manners"})
    if kept != "ok":
        return answer("500 Internal Server Error", {"success": False, "message": "no database"})
    return answer("200 OK", {"success": True, "message": "received"})


engine = socketio.WSGIApp(io, rest)


def application(environ, start_response):
    is_socket = environ["PATH_INFO"].startswith("/socket.io/")
    if is_socket and state["mode"] in ("rest", "errors"):
        status = "404 Not Found" if state["mode"] == "rest" else "500 Internal Server Error"
        start_response(status, [("Content-Length", "0")])
        return [b""]
    return engine(environ, start_response)


class Handler(WSGIRequestHandler):
    def setup(self):
        super().setup()
        with lock:
            connections.add(self.connection)

    def finish(self):
        with lock:
            connections.discard(self.connection)
        try:
            super().finish()
        except OSError:
            pass

    def get_environ(self):
        environ = super().get_environ()
        # Where simple_websocket looks for the socket.
        environ["werkzeug.socket"] = self.connection
        return environ

    def log_message(self, *_):
        pass


class Listener(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        # Connections that a test ends in the middle.
        pass


def listen(port):
    global server
    server = Listener(("127.0.0.1", port), Handler)
    server.set_app(application)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server.server_address[1]


def hang_up():
    with lock:
        everybody = list(connections)
    for connection in everybody:
        reset(connection)


def main():
    global server
    port = listen(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    tell("#listening", {"port": port})
    sys.stderr = open("/dev/null", "w")
    for line in sys.stdin:
        command = json.loads(line)
        if "mode" in command:
            mode = command["mode"]
            with lock:
                state["mode"], state["count"] = mode, 0
                state["seconds"] = command.get("seconds", 0)
            if mode == "down" and server:
                server.shutdown()
                server.server_close()
                server = None
            if mode in ("down", "errors", "rest"):
                hang_up()
            if mode != "down" and server is None:
                listen(port)
            tell("#mode", {"mode": mode})
        for key in ("refuse", "acks"):
            if key in command:
                with lock:
                    state[key] = command[key]


main()
