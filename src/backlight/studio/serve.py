"""Runs the studio's server on this machine and opens its page.

`serve` blocks until Ctrl-C; `Running` runs the same server in a thread, for programs and tests.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from backlight.errors import BacklightError, UsageError
from backlight.studio.guard import Guard
from backlight.studio.session import MESSAGE_LIMIT, Session

if TYPE_CHECKING:
    import uvicorn

ADDRESS = "127.0.0.1"
PORT = 8377
TRIED = 20
"""Ports after the usual one that are tried when none is asked for."""
START_SECONDS = 15.0


class MissingExtraError(BacklightError, ImportError):
    """A part of Backlight whose optional packages are not installed."""


def check_extra() -> None:
    """Raise unless the packages of the extra ``studio`` are installed.

    Raises
    ------
    MissingExtraError
    """
    try:
        import starlette
        import uvicorn
        import websockets
    except ImportError as error:
        raise MissingExtraError(
            "The studio needs the extra 'studio': pip install 'backlight[studio]'."
        ) from error
    del starlette, uvicorn, websockets


def open_socket(port: int | None) -> socket.socket:
    """Take a port on this machine: the one asked for, or the first free one from 8377 on.

    Raises
    ------
    UsageError
        When the port is in use.
    """
    wanted = [port] if port is not None else [*range(PORT, PORT + TRIED), 0]
    for each in wanted:
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if os.name == "posix":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((ADDRESS, each))
            made.listen(64)
        except OSError:
            made.close()
            continue
        return made
    raise UsageError(f"The port {port} is in use already; choose another with --port.")


class Running:
    """A server that runs in a thread, until the ``with`` block ends.

    Parameters
    ----------
    session : Session
    port : int, optional
    token : str, optional
        Random by default.

    Attributes
    ----------
    url : str
        The page's address, with its token.
    """

    def __init__(
        self, session: Session, *, port: int | None = None, token: str | None = None
    ) -> None:
        check_extra()
        self.session = session
        self._socket = open_socket(port)
        self.port: int = self._socket.getsockname()[1]
        self.token = secrets.token_urlsafe(24) if token is None else token
        self.url = f"http://{ADDRESS}:{self.port}/?token={self.token}"
        self.server = make_server(session, Guard(self.token, self.port))
        self._thread = threading.Thread(
            target=self.server.run, args=([self._socket],), name="backlight-studio", daemon=True
        )

    def __enter__(self) -> Running:
        self._thread.start()
        end = time.monotonic() + START_SECONDS
        while not self.server.started:
            if not self._thread.is_alive() or time.monotonic() > end:
                raise UsageError("The studio's server did not start; try another --port.")
            time.sleep(0.005)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        place: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server."""
        self.server.should_exit = True
        self._thread.join(timeout=10)
        if self._thread.is_alive():
            self.server.force_exit = True
            self._thread.join(timeout=5)
        self._socket.close()

    def wait(self) -> None:
        """Wait until the server has ended."""
        while self._thread.is_alive():
            self._thread.join(timeout=0.2)


def make_server(session: Session, guard: Guard) -> uvicorn.Server:
    """Make the server of a session, not running yet."""
    import uvicorn

    from backlight.studio.server import make_app

    return uvicorn.Server(
        uvicorn.Config(
            make_app(session, guard),
            log_level="error",
            access_log=False,
            server_header=False,
            ws="websockets-sansio",
            ws_max_size=MESSAGE_LIMIT,
            timeout_graceful_shutdown=2,
        )
    )


def serve(
    session: Session,
    *,
    port: int | None = None,
    browser: bool = True,
    announce: Callable[[str], None] = print,
) -> None:
    """Serve a session until Ctrl-C.

    Parameters
    ----------
    session : Session
    port : int, optional
        The first free one from 8377 on by default.
    browser : bool
        Open the page in a browser, where there is one.
    announce : callable
        Told the address.

    Raises
    ------
    MissingExtraError
        Without the extra ``studio``.
    UsageError
        When the port is in use.
    """
    with Running(session, port=port) as running:
        announce(running.url)
        if browser and has_display():
            webbrowser.open(running.url)
        with suppress(KeyboardInterrupt):
            running.wait()


def has_display() -> bool:
    """Tell whether a browser with windows could be opened here."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return "SSH_CONNECTION" not in os.environ
