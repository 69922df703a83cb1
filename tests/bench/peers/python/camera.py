"""What the peers in Python share: the picture, the message and the rate."""

import asyncio
import base64
import os
import sys
import time

PORT, FPS, SIZE = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])

# The first bytes of a JPEG, then noise, which is as hard to compress as one.
PICTURE = b"\xff\xd8\xff\xfe" + os.urandom(SIZE - 4)


def sensor_data():
    """A message made now. The picture is encoded anew for each one, as it would be for a camera."""
    frame = base64.b64encode(PICTURE).decode()
    return {"timestamp": time.time(), "camera": {"frame": frame, "width": 640, "height": 480, "format": "jpeg"}}


async def frames():
    """Yields at every frame. After a pause the rate goes on; frames are not made up for."""
    next_frame = time.monotonic()
    while True:
        yield
        now = time.monotonic()
        next_frame = max(next_frame + 1 / FPS, now)
        await asyncio.sleep(next_frame - now)
