"""Machine code kept on disk between processes, found again only by exactly what it was made from.

`CodeCache` holds entries (machine code, and plain data that belongs to it) under keys that are
texts of any length: whatever the code depends on, written out.  `code_cache` gives the one of this
process.  An entry is written beside its place and renamed, so that any number of processes may
read and write at once; it is checked before it is used, and a damaged one counts as missing.

BACKLIGHT_CACHE_DIR names another folder, BACKLIGHT_CACHE=off keeps everything in memory.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import struct
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import platformdirs

from backlight.errors import BacklightWarning

LIMIT = 256 * 1024 * 1024
"""Bytes of entries that are kept; those not used for the longest time go first."""

IN_MEMORY = 16 * 1024 * 1024
"""Bytes of entries that are kept where there is no folder to keep them in."""

LARGEST = 64 * 1024 * 1024
"""Bytes of the largest entry."""

_MAGIC = b"backlight code 1"
_HEAD = struct.Struct("<16s3Q32s")
_SUFFIX = ".code"
_ABANDONED = 3600.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept.

    Attributes
    ----------
    code : bytes
        An object file.
    notes : mapping
        What belongs to it, as JSON can hold it.
    """

    code: bytes
    notes: Mapping[str, Any] = field(default_factory=dict)


class CodeCache:
    """Entries by key, in a folder that only this user can write, or in memory.

    Parameters
    ----------
    folder : Path or None
        Made when the first entry is kept; None keeps entries in memory.
    limit : int
        Bytes to keep.

    Examples
    --------
    >>> held = CodeCache(None)
    >>> held.save("twice(x)", Entry(b"...", {"names": ["twice"]}))
    >>> held.load("twice(x)")
    Entry(code=b'...', notes={'names': ['twice']})
    >>> held.load("thrice(x)") is None
    True
    """

    def __init__(self, folder: Path | None, *, limit: int = LIMIT) -> None:
        self.folder = folder
        self.limit = limit
        # No lock, so that a fork cannot leave one held: each use of the mapping is one step, and
        # what two threads do at once is at worst done twice.
        self._memory: dict[str, Entry] = {}
        self._trouble = False

    def load(self, key: str) -> Entry | None:
        """Return what is kept under a key, or None."""
        found = self._memory.get(key)
        if found is not None or self.folder is None:
            return found
        path = self.folder / _file_name(key)
        try:
            data = _read(path)
        except FileNotFoundError:
            return None
        except (OSError, _DamagedError) as error:
            _LOG.info("%s is not used: %s", path, error)
            return None
        try:
            entry = _unpack(data, key)
        except _DamagedError as error:
            _LOG.info("%s is made again: %s", path, error)
            return None
        with suppress(OSError):
            os.utime(path)  # what is used stays
        return entry

    def save(self, key: str, entry: Entry) -> None:
        """Keep an entry; when the folder cannot be written, say so once and keep it in memory."""
        data = _pack(key, entry)
        if len(data) > LARGEST:
            return
        if self.folder is not None:
            try:
                _private(self.folder)
                _write(self.folder / _file_name(key), data)
                self._trim(self.folder)
                return
            except OSError as error:
                self._warn(error)
        self._memory[key] = entry
        excess = sum(len(each.code) for each in list(self._memory.values())) - IN_MEMORY
        for oldest, each in list(self._memory.items()):
            if excess <= 0:
                break
            self._memory.pop(oldest, None)
            excess -= len(each.code)

    def size(self) -> int:
        """Return how many bytes the entries in the folder take."""
        return sum(info.st_size for _, info in self._files())

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        if self.folder is None:
            return
        with suppress(OSError), os.scandir(self.folder) as entries:
            for each in entries:
                with suppress(OSError):
                    info = each.stat(follow_symlinks=False)
                    if stat.S_ISREG(info.st_mode):
                        yield Path(each.path), info

    def _trim(self, folder: Path) -> None:
        """Remove the oldest entries above the limit, and what a killed process left unfinished."""
        found = sorted(self._files(), key=lambda each: each[1].st_mtime, reverse=True)
        total = 0
        for path, info in found:
            unfinished = path.suffix != _SUFFIX
            total += 0 if unfinished else info.st_size
            if total > self.limit or (unfinished and info.st_mtime < time.time() - _ABANDONED):
                with suppress(OSError):
                    path.unlink()

    def _warn(self, error: OSError) -> None:
        first, self._trouble = not self._trouble, True
        if first:
            warnings.warn(
                f"Compiled code cannot be kept in {self.folder} ({error.strerror or error}), so "
                "every process compiles anew; set BACKLIGHT_CACHE_DIR to a folder of your own, or "
                "BACKLIGHT_CACHE=off.",
                BacklightWarning,
                stacklevel=4,
            )


def code_cache() -> CodeCache:
    """Return this process's cache, as the environment variables say.

    Examples
    --------
    >>> code_cache() is code_cache()
    True
    """
    return _cache_in(cache_folder())


def cache_folder() -> Path | None:
    """Return the folder that machine code is kept in; None when that is switched off."""
    if os.environ.get("BACKLIGHT_CACHE", "").strip().lower() in ("off", "0", "no", "false"):
        return None
    chosen = os.environ.get("BACKLIGHT_CACHE_DIR", "").strip()
    base = Path(chosen) if chosen else Path(platformdirs.user_cache_dir("backlight"))
    return base.absolute() / "native"


@cache
def _cache_in(folder: Path | None) -> CodeCache:
    return CodeCache(folder)


class _DamagedError(Exception):
    """A file that is not, or not wholly, what was once written."""


def _file_name(key: str) -> str:
    return hashlib.blake2b(key.encode(), digest_size=20).hexdigest() + _SUFFIX


def _checksum(key: bytes, notes: bytes, code: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=32, person=_MAGIC)
    for part in (key, notes, code):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def _pack(key: str, entry: Entry) -> bytes:
    parts = (key.encode(), json.dumps(dict(entry.notes)).encode(), entry.code)
    return _HEAD.pack(_MAGIC, *map(len, parts), _checksum(*parts)) + b"".join(parts)


def _unpack(data: bytes, key: str) -> Entry:
    """Return the entry in a file's bytes, if every one of them is as it was written."""
    if len(data) < _HEAD.size:
        raise _DamagedError("it is cut off")
    magic, *sizes, checksum = _HEAD.unpack_from(data)
    if magic != _MAGIC or len(data) != _HEAD.size + sum(sizes):
        raise _DamagedError("its length or its kind is wrong")
    start = _HEAD.size
    parts = []
    for size in sizes:
        parts.append(data[start : start + size])
        start += size
    if _checksum(*parts) != checksum:
        raise _DamagedError("its checksum is wrong")
    if parts[0] != key.encode():
        raise _DamagedError("it was made for something else")
    return Entry(parts[2], json.loads(parts[1]))


def _read(path: Path) -> bytes:
    """Read a file that only this user can have written."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    with os.fdopen(descriptor, "rb") as stream:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode) or info.st_size > LARGEST:
            raise _DamagedError("it is no file of machine code")
        if not _own(info) or info.st_mode & 0o022 & _SHARED:
            raise _DamagedError("others may have written it")
        return stream.read()


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, for this user only."""
    descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)  # of mode 0600
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


_SHARED = 0o077 if os.name == "posix" else 0
"""The permissions that say something about other users."""


def _own(info: os.stat_result) -> bool:
    return os.name != "posix" or info.st_uid == os.geteuid()


def _private(folder: Path) -> None:
    """Make a folder that only this user can use, or make sure that it is one."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    info = folder.lstat()
    if not stat.S_ISDIR(info.st_mode) or not _own(info):
        raise PermissionError(None, "it is not a folder of this user")
    if info.st_mode & _SHARED:
        folder.chmod(0o700)
