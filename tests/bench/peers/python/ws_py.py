"""Python `websockets`, with its own broadcast. Arguments: PORT FPS SIZE"""

import asyncio
import json

from websockets.asyncio.server import broadcast, serve

from camera import PORT, frames, sensor_data

viewers = set()


async def view(viewer):
    viewers.add(viewer)
    try:
        await viewer.wait_closed()
    finally:
        viewers.discard(viewer)


async def main():
    async with serve(view, "127.0.0.1", PORT, compression=None, max_queue=4):
        async for _ in frames():
            broadcast(viewers, json.dumps(sensor_data()))


asyncio.run(main())
