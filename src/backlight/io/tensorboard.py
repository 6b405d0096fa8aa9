"""Writes a run of the store as an event file of TensorBoard.

The file is a row of TFRecords (length, masked CRC-32C of the length, content, masked CRC-32C of
the content), each of which holds an ``Event`` message in the protocol-buffer encoding.  Only
scalars are written.  Formats: TensorFlow's ``tfrecord`` tutorial and ``event.proto``; CRC-32C:
RFC 3720, appendix B.4.
"""

from __future__ import annotations

import datetime
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from backlight.data.messages import reason
from backlight.errors import RunError
from backlight.train.durable import write_durably
from backlight.train.store import Record, RunStore

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, bits reversed
_MASK = 0xA282EAD8


def _table() -> tuple[int, ...]:
    found = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        found.append(value)
    return tuple(found)


_TABLE = _table()


def crc32c(content: bytes) -> int:
    """Return the CRC-32C of bytes.

    Examples
    --------
    >>> hex(crc32c(b"123456789"))  # the check value of the RFC
    '0xe3069283'
    """
    value = 0xFFFFFFFF
    for byte in content:
        value = _TABLE[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


def record_of(content: bytes) -> bytes:
    """Wrap a message as a TFRecord."""
    length = struct.pack("<Q", len(content))
    return length + _masked(length) + content + _masked(content)


def _masked(content: bytes) -> bytes:
    crc = crc32c(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF)


# ── messages: a field is a key (its number and its kind) and a value ─────────────────────────────


def _varint(value: int) -> bytes:
    value &= 0xFFFF_FFFF_FFFF_FFFF
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _bytes_field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def version_event(wall_time: float) -> bytes:
    """Encode the event that a file begins with."""
    return b"\x09" + struct.pack("<d", wall_time) + _bytes_field(3, b"brain.Event:2")


def scalar_event(wall_time: float, step: int, values: dict[str, float]) -> bytes:
    """Encode an event with one scalar for each tag."""
    summary = b"".join(
        _bytes_field(1, _bytes_field(1, tag.encode()) + b"\x15" + _float(value))
        for tag, value in values.items()
    )
    return (
        b"\x09" + struct.pack("<d", wall_time) + b"\x10" + _varint(step) + _bytes_field(5, summary)
    )


def _float(value: float) -> bytes:
    """Encode a float32; what is too large for one becomes infinite, as in arithmetic."""
    try:
        return struct.pack("<f", value)
    except OverflowError:
        return struct.pack("<f", float("inf") if value > 0 else float("-inf"))


def write_events(store: RunStore, run: Record, folder: Path) -> Path:
    """Write a run as an event file.

    Parameters
    ----------
    store : RunStore
    run : Record
    folder : Path
        It is made; TensorBoard shows each folder as a run.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    RunError
        When it cannot be written.
    """
    begun = _seconds(str(run.values["started"]))
    content = record_of(version_event(begun)) + b"".join(
        record_of(scalar_event(time, step, values))
        for time, step, values in _events(store, run, begun)
    )
    path = folder / f"events.out.tfevents.{int(begun):010d}.backlight"
    try:
        os.makedirs(folder, exist_ok=True)
        write_durably(path, content)
    except OSError as error:
        raise RunError(f"{path} cannot be written ({reason(error)}); choose another.") from error
    return path


def _events(
    store: RunStore, run: Record, begun: float
) -> Iterator[tuple[float, int, dict[str, float]]]:
    """Yield time, epoch or step, and values; tags begin with the scope, which groups the plots."""
    for scope in ("epoch", "step", "health"):
        by_number: dict[int, dict[str, float]] = {}
        for name, values in store.metrics(run, scope).items():
            for number, value in values:
                by_number.setdefault(number, {})[f"{scope}/{name}"] = value
        time = begun
        for number in sorted(by_number):
            found = by_number[number]
            time += max(found.get("epoch/seconds", 0.0), 0.0)
            yield time, number, found


def _seconds(text: str) -> float:
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
