"""What the submit benchmark is held against: a bare Starlette endpoint that saves the file and inserts one row."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import aiosqlite
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

FOLDER = Path(os.environ.get("BASELINE_DIR", "."))
_connections: list[aiosqlite.Connection] = []


async def upload(request: Request) -> JSONResponse:
    async with request.form() as form:
        image = form["image"]
        assert not isinstance(image, str)
        name = str(uuid4())
        (FOLDER / name).write_bytes(await image.read())
        (database,) = _connections
        await database.execute("INSERT INTO uploads VALUES (?, ?)", (name, image.filename))
        await database.commit()
    return JSONResponse({"id": name}, status_code=202)


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    async with aiosqlite.connect(FOLDER / "baseline.sqlite3") as database:
        # As durable as the site's own accepting transaction.
        await database.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE IF NOT EXISTS uploads (id TEXT, name TEXT);"
        )
        _connections.append(database)
        yield


app = Starlette(routes=[Route("/upload", upload, methods=["POST"])], lifespan=lifespan)
