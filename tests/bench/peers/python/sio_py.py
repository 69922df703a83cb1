"""python-socketio as an ASGI application under uvicorn with uvloop. Arguments: PORT FPS SIZE"""

import socketio
import uvicorn

from camera import PORT, frames, sensor_data

server = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*")
camera = None


async def stream():
    async for _ in frames():
        await server.emit("sensor_data", sensor_data())


@server.event
async def connect(sid, environ):
    # The event loop exists only once uvicorn runs: the first viewer starts the camera.
    global camera
    if camera is None:
        camera = server.start_background_task(stream)


uvicorn.run(socketio.ASGIApp(server), host="127.0.0.1", port=PORT, log_level="error", access_log=False)
