"""Machine code on disk: found by exactly what it was made from, checked, shared, bounded."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import backlight as bl
from backlight.errors import BacklightWarning
from backlight.execute.native import key
from backlight.execute.native.build import Origin
from backlight.execute.native.cache import CodeCache, Entry, cache_folder, code_cache
from backlight.execute.native.key import environment, program_key
from backlight.execute.native.program import NativeProgram
from backlight.graph.graph import Graph

posix = pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give this test a cache of its own, and return where it is."""
    monkeypatch.setenv("BACKLIGHT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "native"


def graph(factor: float = 2.0, size: int = 3) -> Graph:
    return bl.trace(lambda x: bl.sum(bl.exp(x) * factor), np.ones(size))


def run(traced: Graph) -> tuple[float, Origin]:
    program = NativeProgram(traced)
    value = program.run([np.zeros(traced.nodes[traced.inputs[0]].shape)])[0]
    return float(value), program.built.origin


def only_file(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


# ── programs ─────────────────────────────────────────────────────────────────────────────────


def test_a_program_in_use_is_shared_and_then_comes_from_disk(folder: Path) -> None:
    first = NativeProgram(graph())
    second = NativeProgram(graph())
    assert first.built.origin is Origin.COMPILED
    assert second.library is first.library
    assert second._arena is not first._arena
    del first, second
    gc.collect()
    assert run(graph()) == (6.0, Origin.DISK)
    assert run(graph(3.0)) == (9.0, Origin.COMPILED)


def test_products_come_from_disk_in_another_process(folder: Path) -> None:
    script = (
        "import numpy as np, backlight as bl\n"
        "from backlight.execute.native.program import NativeProgram\n"
        "rng = np.random.default_rng(0)\n"
        "a, b = rng.standard_normal((33, 70)), rng.standard_normal((50, 70))\n"
        "program = NativeProgram(bl.trace(lambda a, b: bl.relu(a @ b.T), a, b))\n"
        "print(program.built.origin, program.run([a, b])[0].tobytes().hex())\n"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(2)
    ]
    assert [each[0] for each in outputs] == ["compiled", "disk"]
    assert outputs[0][1] == outputs[1][1]
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((33, 70)), rng.standard_normal((50, 70))
    value = np.frombuffer(bytes.fromhex(outputs[0][1])).reshape(33, 50)
    np.testing.assert_allclose(value, np.maximum(a @ b.T, 0), rtol=1e-12, atol=1e-12)


def test_eight_processes_at_once(folder: Path) -> None:
    script = (
        "import sys, time, numpy as np, backlight as bl\n"
        "from backlight.execute.native.program import NativeProgram\n"
        "time.sleep(max(float(sys.argv[1]) - time.time(), 0))\n"
        "for k in range(2):\n"
        "    x = np.ones((40, 50 + k))\n"
        "    program = NativeProgram(bl.trace(lambda x: bl.sum(x @ x.T), x))\n"
        "    assert program.run([x])[0] == 1600 * (50 + k)\n"
    )
    start = str(time.time() + 2)
    running = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", script, start], text=True)
        for _ in range(8)
    ]
    assert [each.wait(timeout=120) for each in running] == [0] * 8
    names = [each.name for each in folder.iterdir()]
    # Two programs and the inner functions of their products, all of them whole.
    assert len([each for each in names if each.endswith(".code")]) == len(names) > 3
    assert all(each.stat().st_size > 500 for each in folder.iterdir())


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data[:20],
        lambda data: data + b"\0",
        lambda data: b"x" + data[1:],
        lambda data: data[:-40] + bytes([data[-40] ^ 1]) + data[-39:],
        lambda data: data[:25] + b"\xff" * 8 + data[33:],
    ],
)
def test_a_damaged_entry_is_made_again(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    assert run(graph()) == (6.0, Origin.COMPILED)
    path = only_file(folder)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert run(graph()) == (6.0, Origin.COMPILED)
    assert len(path.read_bytes()) == len(whole)
    assert run(graph()) == (6.0, Origin.DISK)


def test_an_entry_for_something_else_is_not_used(folder: Path) -> None:
    run(graph(2.0))
    path = only_file(folder)
    other = path.read_bytes()
    path.unlink()
    run(graph(5.0))
    only_file(folder).write_bytes(other)  # whole, but under another name
    assert run(graph(5.0)) == (15.0, Origin.COMPILED)


def test_switched_off_nothing_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKLIGHT_CACHE", "off")
    assert cache_folder() is None
    assert run(graph())[0] == 6.0
    assert not folder.exists()


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_programs_that_are_dropped_give_their_memory_back(folder: Path) -> None:
    def use(factor: float) -> None:
        traced = bl.trace(lambda x: bl.sum(x * factor), np.ones(20_000))
        assert NativeProgram(traced).run([np.ones(20_000)])[0] == 20_000 * factor

    for k in range(20):
        use(float(k))
    gc.collect()
    before = resident()
    for k in range(100):  # compiled, and then from disk
        use(float(100 + k))
        use(float(100 + k))
    gc.collect()
    assert resident() - before < 200 * 20_000


# ── keys ─────────────────────────────────────────────────────────────────────────────────────


def test_keys_hold_what_code_depends_on_and_nothing_else() -> None:
    same = bl.trace(lambda other_name: bl.sum(bl.exp(other_name) * 2.0), np.ones(3))
    assert program_key(graph()) == program_key(same)
    different = [
        graph(),
        graph(2.0000000000000004),
        graph(-0.0),
        graph(0.0),
        graph(float("nan")),
        graph(size=4),
        bl.trace(lambda x: bl.sum(bl.exp(x) * 2.0), np.ones(3, np.float32)),
        bl.trace(lambda x: bl.max(bl.exp(x) * 2.0), np.ones(3)),
        bl.trace(lambda x: bl.sum(bl.exp(x) * 2.0, keepdims=True), np.ones(3)),
        bl.trace(lambda x: bl.sum(bl.exp(x) * np.array([2.0, 2.0, 3.0])), np.ones(3)),
        bl.trace(lambda x: bl.sum(bl.exp(x) * np.array([2.0, 3.0, 2.0])), np.ones(3)),
    ]
    keys = {program_key(each) for each in different}
    keys |= {program_key(graph(), 1), program_key(graph(), "1"), program_key(graph(), (1,))}
    assert None not in keys
    assert len(keys) == len(different) + 3


def test_long_keys_are_kept_as_their_checksum() -> None:
    def long(last: float) -> Graph:
        return bl.trace(lambda x: sum((x * float(k) for k in range(4000)), x * last), 1.0)

    one, same, other = (program_key(long(each)) for each in (1.0, 1.0, 2.0))
    assert one is not None and len(one) < 10_000
    assert one == same != other


def test_what_cannot_be_written_out_has_no_key() -> None:
    assert program_key(graph(), object()) is None
    traced = graph()
    node = traced.nodes[-1]
    own = replace(node.primitive, lower=lambda e, x: x)
    assert (
        program_key(Graph((*traced.nodes[:-1], replace(node, primitive=own)), *_ends(traced)))
        is None
    )


def _ends(traced: Graph) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return traced.inputs, traced.outputs


def test_an_edited_source_is_another_environment(tmp_path: Path) -> None:
    source = tmp_path / "ops" / "some.py"
    source.parent.mkdir()
    source.write_text("x = 1\n")
    before = key._sources_stamp(tmp_path)
    assert key._sources_stamp(tmp_path) == before
    source.write_text("x = 10\n")
    assert key._sources_stamp(tmp_path) != before
    assert bl.__version__ in environment()


# ── the folder ───────────────────────────────────────────────────────────────────────────────


@posix
def test_only_the_user_can_use_the_folder(tmp_path: Path) -> None:
    held = CodeCache(tmp_path / "a" / "b")
    held.save("key", Entry(b"code", {"a": [1, "2"]}))
    assert held.load("key") == Entry(b"code", {"a": [1, "2"]})
    assert held.folder is not None
    assert held.folder.stat().st_mode & 0o777 == 0o700
    path = only_file(held.folder)
    assert path.stat().st_mode & 0o777 == 0o600
    assert held.size() == path.stat().st_size
    held.folder.chmod(0o755)
    held.save("key", Entry(b"code"))
    assert held.folder.stat().st_mode & 0o777 == 0o700


@posix
@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_can_write_is_not_used(tmp_path: Path, mode: int) -> None:
    held = CodeCache(tmp_path / "own")
    held.save("key", Entry(b"code"))
    only_file(tmp_path / "own").chmod(mode)
    assert held.load("key") is None


@posix
def test_neither_files_nor_folders_behind_links_are_used(tmp_path: Path) -> None:
    held = CodeCache(tmp_path / "own")
    held.save("key", Entry(b"code"))
    path = only_file(tmp_path / "own")
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert held.load("key") is None
    (tmp_path / "link").symlink_to(tmp_path / "own")
    with pytest.warns(BacklightWarning, match="not a folder of this user"):
        CodeCache(tmp_path / "link").save("key", Entry(b"code"))


def test_a_folder_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    held = CodeCache(tmp_path / "file" / "native")
    with pytest.warns(BacklightWarning, match="BACKLIGHT_CACHE_DIR"):
        held.save("one", Entry(b"1"))
    held.save("two", Entry(b"2"))  # a second warning would be an error
    assert [held.load(each) for each in ("one", "two", "three")] == [Entry(b"1"), Entry(b"2"), None]


def test_the_oldest_entries_go_first(tmp_path: Path) -> None:
    held = CodeCache(tmp_path / "own", limit=5000)
    for number in range(4):
        held.save(f"key {number}", Entry(bytes(1000)))
        for path in held.folder.iterdir() if held.folder else ():
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 100))
    assert held.load("key 0") is not None  # used just now
    held.save("key 4", Entry(bytes(1000)))
    kept = [number for number in range(5) if held.load(f"key {number}") is not None]
    assert kept == [0, 2, 3, 4]
    assert held.size() <= 5000


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    held = CodeCache(tmp_path / "own")
    held.save("one", Entry(b"1"))
    old, new = tmp_path / "own" / ".new-old", tmp_path / "own" / ".new-new"
    for path in (old, new):
        path.write_bytes(b"")
    os.utime(old, (0, 0))
    held.save("two", Entry(b"2"))
    assert not old.exists()
    assert new.exists()


def test_memory_is_bounded_too() -> None:
    held = CodeCache(None)
    for number in range(40):
        held.save(str(number), Entry(bytes(1024 * 1024)))
    kept = [number for number in range(40) if held.load(str(number)) is not None]
    assert kept == list(range(24, 40))


def test_the_folder_is_chosen_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKLIGHT_CACHE_DIR", str(tmp_path))
    assert cache_folder() == tmp_path / "native"
    assert code_cache().folder == tmp_path / "native"
    monkeypatch.delenv("BACKLIGHT_CACHE_DIR")
    found = cache_folder()
    assert found is not None and found.parent.name == "backlight"
