"""The Python client of the C Pro document (document/python.py), used as it is written there, as example.mjs does.

    python example.py URL USERNAME PASSWORD
"""

import asyncio
import json
import pathlib
import sys


def tell(what):
    sys.stdout.write(json.dumps(what, ensure_ascii=False, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def notice(text):
    # What the document prints is how one sees where it is.
    if text.startswith("Connected"):
        tell({"open": True})
    elif text == "Connection closed":
        tell({"close": True})


document = {"__name__": "document", "print": notice}
exec((pathlib.Path(__file__).parent / "document/python.py").read_text(), document)


class Client(document["RotoclearWebSocketClient"]):
    async def handle_message(self, data):
        tell({"text": json.dumps(data, ensure_ascii=False, separators=(",", ":"))})


async def main():
    client = Client(*sys.argv[1:])
    # Its connect() returns when the connection ends.
    listening = asyncio.ensure_future(client.connect())
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = json.loads(line)
        await getattr(client, command["call"])(*command["args"])
    listening.cancel()


asyncio.run(main())
