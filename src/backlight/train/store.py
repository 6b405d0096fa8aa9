"""The run store: one SQLite file beside the runs of a project, for looking up and comparing.

`RunStore` opens ``backlight.sqlite3`` in a folder and gives `Record`s.  The weights stay in the
runs' own folders; the store holds configurations, metrics, events, environment, code version and
data fingerprint.  Anyone may query the file with SQL; docs/run-store.md describes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from backlight.data.messages import did_you_mean, reason
from backlight.errors import RunError, UnknownNameError
from backlight.train.callbacks import History
from backlight.train.process import alive
from backlight.train.save import Json
from backlight.train.schema import migrate

STORE_FILE = "backlight.sqlite3"
BUSY_SECONDS = 10.0

FINISHED, RUNNING, FAILED, DIED = "finished", "running", "failed", "died"

COLUMNS = (
    "name", "directory", "status", "process", "started", "ended", "seconds", "stopped", "epochs",
    "steps", "best_epoch", "network", "parameters", "loss", "optimizer", "batch_size", "seed",
    "data", "rows", "fingerprint", "code", "modified", "configuration", "environment",
)  # fmt: skip


@dataclass(frozen=True)
class Event:
    """Something that happened in a run.

    Attributes
    ----------
    time : str
        In ISO form, in universal time.
    step : int or None
    kind : str
        ``"started"``, ``"resumed"``, ``"checkpoint"``, ``"non-finite"``, ``"callback"``,
        ``"warning"``, ``"interrupted"`` or ``"stopped"``.
    message : str
    """

    time: str
    step: int | None
    kind: str
    message: str


@dataclass(frozen=True)
class Record:
    """What the store knows about a run.

    Attributes
    ----------
    id : int
    values : mapping
        The columns of the table ``runs`` by name; configuration and environment as plain data.
    """

    id: int
    values: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The run's name."""
        return str(self.values["name"])

    @property
    def status(self) -> str:
        """``"running"``, ``"finished"``, ``"failed"``, or ``"died"`` for a killed process."""
        status = str(self.values["status"])
        if status == RUNNING and not alive(self.values["process"]):
            return DIED
        return status

    def to_dict(self) -> Json:
        """Return plain data for JSON."""
        return {**self.values, "status": self.status}


class RunStore:
    """The runs of a project.

    It is a context manager; several processes may use one store at the same time.

    Parameters
    ----------
    directory : path
        The project's folder of runs; the store is the file ``backlight.sqlite3`` in it.
    make : bool
        Make the file when it is not there.

    Raises
    ------
    RunError
        When it cannot be opened, is damaged, or of a newer version.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, RunStore(folder) as store:
    ...     store.records()
    []
    """

    def __init__(self, directory: str | os.PathLike[str], *, make: bool = True) -> None:
        self.directory = Path(directory)
        self.path = self.directory / STORE_FILE
        self.read_only = False
        if not make and not self.path.exists():
            raise RunError(
                f"There is no run store in {self.directory}; train something first, or name "
                f"another folder."
            )
        with self._said():
            self._database = self._open()
        try:
            with self._said():
                migrate(self._database, str(self.path))
                self._database.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            self._database.close()
            raise

    def _open(self) -> sqlite3.Connection:
        if not self.directory.is_dir():
            raise RunError(f"The folder {self.directory} does not exist; make it first.")
        writable = os.access(self.path if self.path.exists() else self.directory, os.W_OK)
        if self.path.exists() and not (writable and os.access(self.directory, os.W_OK)):
            return self._copied()
        database = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            # The file's content is looked at first here; a file system may lack what WAL needs,
            # and SQLite then keeps its ordinary journal.
            database.execute("PRAGMA journal_mode = WAL").fetchone()
            database.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            database.close()
            raise
        return database

    def _copied(self) -> sqlite3.Connection:
        """Read a store that cannot be written to into memory."""
        self.read_only = True
        memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        source = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            source.backup(memory)
        except BaseException:
            memory.close()
            raise
        finally:
            source.close()
        return memory

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        """Turn what SQLite and the disk complain of into one sentence."""
        try:
            yield
        except OSError as error:
            raise RunError(
                f"The run store {self.path} cannot be used ({reason(error)}); choose another "
                f"folder."
            ) from error
        except sqlite3.OperationalError as error:
            raise RunError(
                f"The run store {self.path} cannot be used ({error}); wait for other processes, "
                f"make room, or choose another folder."
            ) from error
        except sqlite3.Error as error:
            raise RunError(
                f"The run store {self.path} is damaged ({error}); move it away, and `backlight "
                f"runs list` makes a new one from the folders of the runs."
            ) from error

    # ── looking up ───────────────────────────────────────────────────────────────────────────

    def records(self) -> list[Record]:
        """Return all runs, in the order in which they were started."""
        return self._records("ORDER BY started, id")

    def record(self, name: str) -> Record:
        """Return a run by its name.

        Raises
        ------
        UnknownNameError
            When there is none; it suggests the nearest.
        """
        found = self._records("WHERE name = ?", (name,))
        if not found:
            known = [each.name for each in self.records()]
            raise UnknownNameError(
                f"The run store {self.path} has no run {name!r}{did_you_mean(name, known)}; "
                f"`backlight runs list` shows what there is."
            )
        return found[0]

    def has(self, name: str) -> bool:
        """Tell whether there is a run of this name."""
        return bool(self._records("WHERE name = ?", (name,)))

    def _records(self, rest: str, values: Sequence[Any] = ()) -> list[Record]:
        with self._said():
            rows = self._database.execute(
                f"SELECT id, {', '.join(COLUMNS)} FROM runs {rest}", values
            ).fetchall()
        found = []
        for row in rows:
            columns = dict(zip(COLUMNS, row[1:], strict=True))
            for name in ("configuration", "environment"):
                columns[name] = _plain(columns[name])
            columns["modified"] = None if columns["modified"] is None else bool(columns["modified"])
            found.append(Record(int(row[0]), columns))
        return found

    def metrics(self, run: Record, scope: str = "epoch") -> dict[str, list[tuple[int, float]]]:
        """Return the numbers of a run: by name, pairs of the epoch (or step) and the value.

        Parameters
        ----------
        run : Record
        scope : {"epoch", "step", "health"}
        """
        found: dict[str, list[tuple[int, float]]] = {}
        with self._said():
            rows = self._database.execute(
                "SELECT name, number, value FROM metrics WHERE run = ? AND scope = ? "
                "ORDER BY number",
                (run.id, scope),
            )
            for name, number, value in rows:
                # SQLite has no NaN and stores NULL for it.
                found.setdefault(name, []).append(
                    (number, float("nan") if value is None else float(value))
                )
        return found

    def events(self, run: Record) -> list[Event]:
        """Return what happened in a run, in order."""
        with self._said():
            rows = self._database.execute(
                "SELECT time, step, kind, message FROM events WHERE run = ? ORDER BY id", (run.id,)
            ).fetchall()
        return [Event(*row) for row in rows]

    # ── writing ──────────────────────────────────────────────────────────────────────────────

    def add(self, values: Mapping[str, Any]) -> int:
        """Add a run; return its number.

        Raises
        ------
        RunError
            When its name is taken.
        """
        columns = self._columns(values)
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        if self.has(str(values["name"])):
            raise RunError(
                f"The run store {self.path} has a run {values['name']!r} already; choose another "
                f"name, or delete it with `backlight runs delete {values['name']}`."
            )
        with self._said():
            done = self._database.execute(
                f"INSERT INTO runs ({names}) VALUES ({marks})", list(columns.values())
            )
        assert done.lastrowid is not None
        return done.lastrowid

    def change(self, run: int, values: Mapping[str, Any]) -> None:
        """Change columns of a run."""
        columns = self._columns(values)
        with self._said():
            self._database.execute(
                f"UPDATE runs SET {', '.join(f'{name} = ?' for name in columns)} WHERE id = ?",
                [*columns.values(), run],
            )

    @staticmethod
    def _columns(values: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: json.dumps(values[name], ensure_ascii=False)
            if name in ("configuration", "environment")
            else values[name]
            for name in COLUMNS
            if name in values
        }

    def write(
        self,
        run: int,
        numbers: Iterable[tuple[str, int, str, float]],
        events: Iterable[Event] = (),
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        """Write numbers, events and changed columns of a run in one transaction.

        Parameters
        ----------
        run : int
        numbers : iterable of (scope, number, name, value)
            The number is that of the epoch or step.
        events : iterable of Event
        changes : mapping, optional
        """
        with self._said(), self._transaction():
            self._database.executemany(
                "INSERT OR REPLACE INTO metrics (run, scope, number, name, value) "
                "VALUES (?, ?, ?, ?, ?)",
                [(run, *each) for each in numbers],
            )
            self._database.executemany(
                "INSERT INTO events (run, time, step, kind, message) VALUES (?, ?, ?, ?, ?)",
                [(run, each.time, each.step, each.kind, each.message) for each in events],
            )
            if changes:
                self.change(run, changes)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.rollback()
            raise
        self._database.commit()

    def forget_metrics(self, run: int) -> None:
        """Remove all numbers of a run, which is about to be gone on from an earlier step."""
        with self._said():
            self._database.execute("DELETE FROM metrics WHERE run = ?", (run,))

    def forget(self, name: str) -> None:
        """Remove a run from the store; its folder stays."""
        run = self.record(name)
        with self._said():
            self._database.execute("DELETE FROM runs WHERE id = ?", (run.id,))

    def histories(self, run: Record) -> History:
        """Return the numbers per epoch as lists, as `Run.history` has them."""
        return {name: [value for _, value in each] for name, each in self.metrics(run).items()}


def _plain(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError, TypeError):  # someone has written to the table by hand
        return {}
