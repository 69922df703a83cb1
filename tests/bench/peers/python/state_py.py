"""Shared state on Python `websockets`: a write is kept, confirmed, and told to all others. Argument: PORT"""

import asyncio
import json
import sys

from websockets.asyncio.server import broadcast, serve

state, clients = {}, set()


async def serve_client(client):
    clients.add(client)
    try:
        async for text in client:
            values = json.loads(text)
            if "get" in values:
                await client.send(json.dumps({key: state.get(key) for key in values["get"]}))
                continue
            state.update(values)
            await client.send(json.dumps({**values, "info": list(values)}))
            broadcast(clients - {client}, json.dumps(values))
    finally:
        clients.discard(client)


async def main():
    async with serve(serve_client, "127.0.0.1", int(sys.argv[1]), compression=None):
        await asyncio.Future()


asyncio.run(main())
