"""The studio's server: the page and its files, the WebSocket, uploads and downloads.

`make_app` gives a Starlette application for a session; `backlight.studio.serve` runs it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from backlight.data import Dataset, read_csv
from backlight.errors import BacklightError, DataError
from backlight.report.bundle import INDEX, has_page, page_folder
from backlight.studio.asking import Json
from backlight.studio.exports import export
from backlight.studio.guard import HEADERS, Guard
from backlight.studio.session import UPLOAD_LIMIT, Session
from backlight.studio.sockets import Page, failure_sentence, report_defect

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
    ".map": "application/json",
}
MOST_PAGES = 16
CLOSED_REFUSED, CLOSED_FULL = 4403, 4429
_NAME = re.compile(r"(?=.{1,200}\Z)[\w.-]+(/[\w.-]+)*", re.ASCII)


@dataclass
class Studio:
    """A session with everything that serves it.

    Attributes
    ----------
    session : Session
    guard : Guard
    pages : set of Page
    """

    session: Session
    guard: Guard
    pages: set[Page] = field(default_factory=set)
    heavy: Executor = field(default_factory=lambda: ThreadPoolExecutor(1, "backlight-compute"))
    light: Executor = field(default_factory=lambda: ThreadPoolExecutor(1, "backlight-answer"))

    def changed(self) -> None:
        """Tell all pages that there is something new; from any thread."""
        for page in tuple(self.pages):
            try:
                page.notify()
            except RuntimeError:  # its loop has ended
                self.pages.discard(page)

    # ── routes ───────────────────────────────────────────────────────────────────────────────

    def refused(self, request: Request, *, needs_token: bool) -> Response | None:
        """Return the answer for somebody who may not ask, or None."""
        refusal = self.guard.refuses(
            request.headers, request.query_params.get("token"), needs_token=needs_token
        )
        if refusal is None:
            return None
        if request.url.path == "/":
            text = f"<!doctype html><title>Backlight</title><p>{refusal.message}</p>"
            return HTMLResponse(text, refusal.status, dict(HEADERS))
        return problem(refusal.message, refusal.status)

    async def index(self, request: Request) -> Response:
        """The page."""
        refused = self.refused(request, needs_token=True)
        if refused is not None:
            return refused
        if not has_page():
            return problem("The page's files are missing; install Backlight again.", 500)
        text = page_folder().joinpath(INDEX).read_bytes()
        return Response(text, 200, dict(HEADERS), MEDIA_TYPES[".html"])

    async def static(self, request: Request) -> Response:
        """A file of the page."""
        refused = self.refused(request, needs_token=False)
        if refused is not None:
            return refused
        name = request.path_params["name"]
        kind = MEDIA_TYPES.get(Path(name).suffix.lower())
        hidden = any(part.startswith(".") for part in name.split("/"))
        if kind is None or hidden or not _NAME.fullmatch(name):
            return problem(f"There is no file {name[:60]!r}.", 404)
        file = page_folder().joinpath(*name.split("/"))
        if not file.is_file():
            return problem(f"There is no file {name[:60]!r}.", 404)
        return Response(file.read_bytes(), 200, dict(HEADERS), kind)

    async def export(self, request: Request) -> Response:
        """A download."""
        refused = self.refused(request, needs_token=True)
        if refused is not None:
            return refused
        query = request.query_params
        try:
            at = json.loads(query.get("at") or "null")
        except (ValueError, RecursionError):
            return problem("at must be JSON, as in the requests.", 400)
        kind, target = request.path_params["kind"], query.get("target") or None

        def make() -> Any:
            return export(self.session, kind, at, target)

        try:
            made = await asyncio.get_running_loop().run_in_executor(self.heavy, make)
        except Exception as error:  # noqa: BLE001 (a page gets a sentence, and the server lives)
            return self._failed(error)
        headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{made.name}"'}
        return Response(made.text, 200, headers, made.kind)

    async def upload(self, request: Request) -> Response:
        """A CSV file from the page."""
        refused = self.refused(request, needs_token=True)
        if refused is not None:
            return refused
        try:
            body = await read_body(request, UPLOAD_LIMIT)
        except ClientDisconnect:
            return problem("The upload broke off.", 400)
        if body is None:
            size = f"{UPLOAD_LIMIT >> 20} MiB"
            return problem(
                f"The file is larger than {size}; train on it with backlight train.", 413
            )
        query = request.query_params
        name, target = query.get("name") or "data.csv", query.get("target") or None
        loop = asyncio.get_running_loop()
        try:
            answer = await loop.run_in_executor(
                self.light, lambda: take_csv(self.session, body, name, target)
            )
        except Exception as error:  # noqa: BLE001 (a page gets a sentence, and the server lives)
            return self._failed(error)
        return JSONResponse(answer, 200, dict(HEADERS))

    def _failed(self, error: Exception) -> Response:
        if isinstance(error, BacklightError):
            return problem(str(error), 400)
        report_defect(error)
        return problem(failure_sentence(error), 500)

    async def socket(self, socket: WebSocket) -> None:
        """The WebSocket of a page."""
        refusal = self.guard.refuses(
            socket.headers, socket.query_params.get("token"), needs_token=True
        )
        await socket.accept()  # so that the page learns the reason
        if refusal is not None:
            await socket.close(CLOSED_REFUSED, refusal.message)
            return
        if len(self.pages) >= MOST_PAGES:
            await socket.close(CLOSED_FULL, f"The studio has {MOST_PAGES} pages open already.")
            return
        page = Page(socket, self.session, self.heavy, self.light)
        self.pages.add(page)
        try:
            await page.run()
        finally:
            self.pages.discard(page)


def problem(message: str, status: int) -> Response:
    """Answer with one sentence."""
    return JSONResponse({"message": message}, status, dict(HEADERS))


async def read_body(request: Request, limit: int) -> bytes | None:
    """Read a body of bounded size; None when it is larger."""
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > limit:
        return None
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            return None
        parts.append(part)
    return b"".join(parts)


def take_csv(session: Session, body: bytes, name: str, target: str | None) -> Json:
    """Read an uploaded table and keep it for live trainings.

    Raises
    ------
    DataError
        Naming the line and the column of what is wrong.
    """
    shown = Path(name.replace("\\", "/")).name[:80] or "data.csv"
    stem = re.sub(r"[^\w-]+", "-", Path(shown).stem)[:40] or "data"
    with tempfile.TemporaryDirectory(prefix="backlight-") as folder:
        place = Path(folder, f"{stem}.csv")
        place.write_bytes(body)
        try:
            found = read_csv(place, target)
        except DataError as error:
            raise DataError(str(error).replace(folder + os.sep, "")) from error
    dataset: Dataset = replace(found, name=stem)
    number = session.add_upload(dataset)
    return {
        "id": number,
        "name": shown,
        "rows": len(dataset),
        "features": list(dataset.feature_names),
        "target": dataset.target_name,
        "task": dataset.task,
        "classes": None if dataset.class_names is None else list(dataset.class_names),
    }


def make_app(session: Session, guard: Guard) -> Starlette:
    """Make the application that serves a session.

    Parameters
    ----------
    session : Session
    guard : Guard

    Returns
    -------
    starlette.applications.Starlette
        ``app.state.studio`` is its `Studio`.
    """
    studio = Studio(session, guard)
    session.changed = studio.changed

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        session.close()
        studio.heavy.shutdown(wait=False, cancel_futures=True)
        studio.light.shutdown(wait=False, cancel_futures=True)

    app = Starlette(
        routes=[
            Route("/", studio.index, methods=["GET"]),
            Route("/export/{kind:str}", studio.export, methods=["GET"]),
            Route("/upload", studio.upload, methods=["POST"]),
            WebSocketRoute("/socket", studio.socket),
            Route("/{name:path}", studio.static, methods=["GET"]),
        ],
        lifespan=lifespan,
    )
    app.state.studio = studio
    return app
