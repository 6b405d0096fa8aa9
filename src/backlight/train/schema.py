"""The tables of the run store, and how a store of an older version becomes one of this version.

The version is SQLite's ``user_version``; ``MIGRATIONS[k]`` leads from version k to k + 1.
docs/run-store.md describes the tables.
"""

from __future__ import annotations

import sqlite3

from backlight.errors import RunError

APPLICATION_ID = 0x424C5253
"""Marks the file as a run store: the letters BLRS."""

_FIRST = """
CREATE TABLE runs (
    id            INTEGER PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    directory     TEXT,
    status        TEXT NOT NULL,
    process       TEXT,
    started       TEXT NOT NULL,
    ended         TEXT,
    seconds       REAL,
    stopped       TEXT,
    epochs        INTEGER NOT NULL DEFAULT 0,
    steps         INTEGER NOT NULL DEFAULT 0,
    best_epoch    INTEGER,
    network       TEXT NOT NULL,
    parameters    INTEGER NOT NULL,
    loss          TEXT NOT NULL,
    optimizer     TEXT NOT NULL,
    batch_size    INTEGER,
    seed          INTEGER,
    data          TEXT,
    rows          INTEGER,
    fingerprint   TEXT,
    code          TEXT,
    modified      INTEGER,
    configuration TEXT NOT NULL,
    environment   TEXT NOT NULL
);
CREATE TABLE metrics (
    run    INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    scope  TEXT NOT NULL CHECK (scope IN ('epoch', 'step', 'health')),
    name   TEXT NOT NULL,
    number INTEGER NOT NULL,
    value  REAL,
    PRIMARY KEY (run, scope, name, number)
) WITHOUT ROWID;
CREATE TABLE events (
    id      INTEGER PRIMARY KEY,
    run     INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    time    TEXT NOT NULL,
    step    INTEGER,
    kind    TEXT NOT NULL,
    message TEXT NOT NULL
);
CREATE INDEX events_of_a_run ON events (run, id);
CREATE VIEW finals AS
    SELECT runs.name AS run, metrics.name AS metric, metrics.value AS value
    FROM runs JOIN metrics ON metrics.run = runs.id
    WHERE metrics.scope = 'epoch' AND metrics.number = runs.epochs - 1;
"""

MIGRATIONS: tuple[str, ...] = (_FIRST,)


def migrate(database: sqlite3.Connection, where: str, steps: tuple[str, ...] = MIGRATIONS) -> None:
    """Bring a store to the newest version, each step whole or not at all.

    Raises
    ------
    RunError
        When the file is another program's, or of a newer version.
    """
    (version,) = database.execute("PRAGMA user_version").fetchone()
    (owner,) = database.execute("PRAGMA application_id").fetchone()
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and owner != APPLICATION_ID:
        raise RunError(f"{where} is a database of another program; choose another folder.")
    if version > len(steps):
        raise RunError(
            f"The run store {where} has version {version}, and this Backlight knows versions up "
            f"to {len(steps)}; use the Backlight that wrote it, or a newer one."
        )
    for number in range(version, len(steps)):
        # The version is looked at again inside the transaction: another process may have won.
        script = (
            f"BEGIN IMMEDIATE;\nPRAGMA application_id = {APPLICATION_ID};\n{steps[number]}\n"
            f"PRAGMA user_version = {number + 1};\nCOMMIT;"
        )
        try:
            database.executescript(script)
        except sqlite3.OperationalError:
            if database.in_transaction:
                database.rollback()
            (reached,) = database.execute("PRAGMA user_version").fetchone()
            if reached <= number:
                raise
