"""Files that survive: written beside their place, forced to the disk, and then moved there.

It takes bytes and a path and leaves either the whole new file or what was there before, whatever
ends the program in between.  `Lock` keeps a second process out of a folder.
"""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from backlight.data.messages import reason
from backlight.errors import RunError


def write_durably(path: Path, content: bytes) -> None:
    """Write a file so that it is whole on the disk, or not there at all.

    Raises
    ------
    OSError
        When the disk refuses; what was at the path is still there then.
    """
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}.new")
    try:
        write_and_sync(temporary, content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_and_sync(path: Path, content: bytes) -> None:
    """Write a file and wait until the disk has it."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make names lasting; where folders cannot be opened (Windows) there is nothing to do."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folders(folder: Path) -> list[Path]:
    """Make a folder and those around it; return the new ones, the innermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def remove_folders(made: list[Path]) -> None:
    """Remove folders that `make_folders` made, as far as they are empty."""
    for folder in made:
        try:
            folder.rmdir()
        except OSError:  # something is in it
            return


class Lock:
    """A folder for one process at a time; the system lifts it however that process ends.

    Parameters
    ----------
    folder : Path
        It must exist.
    what : str
        What is locked, for messages.
    """

    def __init__(self, folder: Path, what: str) -> None:
        self._path = folder / "lock"
        self._what = what
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        """Take the lock.

        Raises
        ------
        RunError
            When another process has it, or the folder cannot be written to.
        """
        try:
            file = open(self._path, "a+", encoding="utf-8")
        except OSError as error:
            raise RunError(
                f"{self._what} cannot be written to ({reason(error)}); choose another place."
            ) from error
        try:
            _lock(file)
        except OSError as error:
            file.seek(0)
            owner = file.read(200).strip()
            file.close()
            by = f" ({owner})" if owner else ""
            raise RunError(
                f"{self._what} is in use by another process{by}; wait for it to end, or choose "
                f"another place."
            ) from error
        self._file = file
        try:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
        except OSError:  # a full disk: the lock holds without the name of its owner
            return self
        return self

    def remove(self) -> None:
        """Remove the file of the lock, which is held, because the folder is given up."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError:  # it does no harm
            return

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            try:
                self._file.close()
            except OSError:  # what was buffered did not fit on the disk; the lock is gone anyway
                return
            finally:
                self._file = None


def _lock(file: IO[str]) -> None:
    if os.name == "posix":
        import fcntl

        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
