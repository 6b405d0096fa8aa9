"""The WebSocket of one page: its requests answered, and what is new pushed to it.

Pushes are made from what the session knows at that moment, so a page that is slow or was away
gets the newest frame, every number of every step, and the true state.
"""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import Executor
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from backlight import __version__
from backlight.errors import BacklightError
from backlight.report.build import PROTOCOL
from backlight.report.payload import plain
from backlight.studio.asking import Json
from backlight.studio.catalogue import catalogue
from backlight.studio.requests import CONTROL
from backlight.studio.session import MESSAGE_LIMIT, Session
from backlight.studio.subjects import LiveSubject

PUSH_SECONDS = 1 / 30
MOST_WAITING = 32
MOST_SCALARS = 20_000
"""Steps in one push."""


def failure_sentence(error: BaseException) -> str:
    """Return what a page is told of an error: its sentence, or that it is a defect."""
    if isinstance(error, BacklightError):
        return str(error)
    if isinstance(error, MemoryError):
        return "The memory of this machine does not suffice for that; choose something smaller."
    return (
        f"Backlight has met a defect of its own ({type(error).__name__}); nothing is lost, and "
        f"the terminal in which the studio runs says more."
    )


class Page:
    """One connected page.

    Parameters
    ----------
    socket : WebSocket
        Accepted already.
    session : Session
    heavy, light : Executor
        Where requests that compute, and requests that only ask or steer, are answered.
    """

    def __init__(
        self, socket: WebSocket, session: Session, heavy: Executor, light: Executor
    ) -> None:
        self.socket = socket
        self.session = session
        self.heavy = heavy
        self.light = light
        self.loop = asyncio.get_running_loop()
        self.wake = asyncio.Event()
        self._sending = asyncio.Lock()
        self._waiting: set[asyncio.Task[None]] = set()
        self._number = self._states = self._frames = self._scalars = -1
        self._notice = session.notices[-1][0] if session.notices else 0

    def notify(self) -> None:
        """Say from any thread that there is something new."""
        self.loop.call_soon_threadsafe(self.wake.set)

    async def run(self) -> None:
        """Talk until the page goes away."""
        await self._hello()
        pushing = asyncio.create_task(self._push())
        try:
            await self._listen()
        except WebSocketDisconnect:
            pass
        finally:
            pushing.cancel()
            for task in self._waiting:
                task.cancel()
            await asyncio.gather(pushing, *self._waiting, return_exceptions=True)

    # ── requests ─────────────────────────────────────────────────────────────────────────────

    async def _listen(self) -> None:
        while True:
            message = await self.socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if text is None:
                await self._send({"id": None, "error": {"message": "Messages are JSON texts."}})
                continue
            if len(text.encode("utf-8", "replace")) > MESSAGE_LIMIT:
                await self.socket.close(1009, "The message is too large.")
                return
            await self._take(text)

    async def _take(self, text: str) -> None:
        try:
            request = json.loads(text)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict) or not isinstance(request.get("do"), str):
            sentence = "A message must be a JSON object with do and id."
            await self._send({"id": None, "error": {"message": sentence}})
            return
        number = request.get("id")
        if not isinstance(number, (int, str)) or len(str(number)) > 100:
            sentence = "A request needs an id, a number."
            await self._send({"id": None, "error": {"message": sentence}})
            return
        if len(self._waiting) >= MOST_WAITING:
            sentence = "Too many requests are on their way already; wait for an answer."
            await self._send({"id": number, "error": {"message": sentence}})
            return
        task = asyncio.create_task(self._answer(number, request))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _answer(self, number: int | str, request: Json) -> None:
        executor = self.light if request["do"] in CONTROL else self.heavy
        answer: Json
        try:
            text = await self.loop.run_in_executor(executor, self._handled, number, request)
        except Exception as error:  # noqa: BLE001 (a page gets a sentence, and the server lives)
            if not isinstance(error, BacklightError):
                report_defect(error)
            answer = {"id": number, "error": {"message": failure_sentence(error)}}
            text = _text(answer)
        await self._send_text(text)

    def _handled(self, number: int | str, request: Json) -> str:
        return _text({"id": number, "ok": self.session.handle(request)})

    # ── pushes ───────────────────────────────────────────────────────────────────────────────

    async def _hello(self) -> None:
        self._mark()
        made = await self.loop.run_in_executor(self.light, self._greeting)
        await self._send_text(made)

    def _greeting(self) -> str:
        session = self.session
        return _text(
            {
                "push": "hello",
                "ok": {
                    "protocol": PROTOCOL,
                    "version": __version__,
                    "catalogue": catalogue(session),
                    "state": session.state(),
                    "scalars": session.scalars(),
                },
            }
        )

    def _mark(self) -> None:
        self._states = self.session.states
        subject, self._number = self.session.now()
        self._scalars = self._frames = 0
        if isinstance(subject, LiveSubject):
            self._scalars = len(subject.trainer.history)
            self._frames = subject.worker.frames - 1

    async def _push(self) -> None:
        self.wake.set()
        while True:
            await self.wake.wait()
            self.wake.clear()
            for message in self._news():
                await self._send(message)
            await asyncio.sleep(PUSH_SECONDS)

    def _news(self) -> list[Json]:
        session = self.session
        subject, number = session.now()
        found: list[Json] = []
        if number != self._number:
            self._number, self._scalars, self._frames = number, 0, 0
            self._states = -1
        if session.states != self._states:
            self._states = session.states
            found.append({"push": "state", "ok": session.state()})
        if isinstance(subject, LiveSubject):
            found += self._steps(number, subject)
        for place, notice in list(session.notices):
            if place > self._notice:
                self._notice = place
                found.append({"push": "notice", "ok": notice})
        return found

    def _steps(self, number: int, subject: LiveSubject) -> list[Json]:
        found: list[Json] = []
        history = subject.trainer.history
        if len(history) > self._scalars:
            end = min(len(history), self._scalars + MOST_SCALARS)
            numbers = history.between(self._scalars, end)
            ok = {"session": number, "from": self._scalars, **numbers}
            found.append({"push": "scalars", "ok": ok})
            self._scalars = end
            if len(history) > end:
                self.wake.set()
        worker = subject.worker
        if worker.frame is not None and worker.frames > self._frames:
            self._frames = worker.frames
            found.append({"push": "frame", "ok": {"session": number, **worker.frame}})
        return found

    # ── sending ──────────────────────────────────────────────────────────────────────────────

    async def _send(self, message: Json) -> None:
        await self._send_text(_text(message))

    async def _send_text(self, text: str) -> None:
        async with self._sending:
            if self.socket.client_state is WebSocketState.CONNECTED:
                try:
                    await self.socket.send_text(text)
                except (RuntimeError, WebSocketDisconnect):  # it went away meanwhile
                    self.wake.clear()


def _text(message: Any) -> str:
    try:
        return json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(
            plain(message), ensure_ascii=False, allow_nan=False, separators=(",", ":")
        )


def report_defect(error: BaseException) -> None:
    """Print a defect's traceback in the terminal, where its author can see it."""
    import traceback  # only defects need it

    traceback.print_exception(error)
