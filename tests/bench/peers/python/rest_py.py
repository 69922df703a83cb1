"""A peer of LPR ingest: aiohttp, and SQLite with a commit for each message (WAL, synchronous=FULL), as a careful author in
Python would write it.

usage: rest_py.py PORT FOLDER
"""

import json
import pathlib
import sqlite3
import sys
import uuid

from aiohttp import web


def main():
    port, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
    database = sqlite3.connect(folder / "records.db", isolation_level=None)
    database.execute("pragma journal_mode=wal")
    database.execute("pragma synchronous=full")
    database.execute("create table records (id text primary key, body text, sent int default 0)")

    async def detection(request):
        raw = await request.read()
        try:
            message = json.loads(raw)
        except ValueError:
            return web.json_response({"success": False, "message": "Invalid JSON"}, status=400)
        if not isinstance(message.get("camera_id"), str):
            return web.json_response({"success": False, "message": "camera_id"}, status=400)
        its_id = str(uuid.uuid4())
        database.execute("insert into records (id, body) values (?, ?)", (its_id, raw.decode()))
        told = {"success": True, "message": "Detection data received", "detection_id": its_id}
        return web.json_response(told)

    app = web.Application(client_max_size=16 << 20)
    app.router.add_post("/api/detection", detection)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


if __name__ == "__main__":
    main()
