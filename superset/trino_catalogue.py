"""Show Trino the tables of the lake, `gold.…` and `ops.…`, as they come and go: `python superset/trino_catalogue.py`.

Runs beside Trino, whose catalogue is a folder of its own pod, and logs in as the only user who may change that. What a
table holds, and its columns, Trino reads from the table's newest commit for each query.

Needs ``SLUICE_LAKE`` (and ``AWS_…``), ``SLUICE_TRINO_LAKE``: where Trino finds the same lake, ``SLUICE_TRINO_URL``,
``SLUICE_TRINO_AUTHORITY`` and ``SLUICE_TRINO_SECRETS``, the folder of `trino_passwords.py`. Makes the file
``SLUICE_TRINO_READY`` when Trino was told of all tables, and says which ones it refused.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lake_tables import LAYERS, lake, tables
from trino_passwords import REGISTRAR

Table = tuple[str, str]
PAUSE = 15.0
"""Seconds until it looks again."""
KNOWN = f"SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema IN {LAYERS}"


def changes(there: set[Table], known: set[Table], root: str) -> list[str]:
    """Statements that let Trino know the tables that are there, below `root`, and no others."""
    come = [f"CALL system.register_table('{a}', '{b}', '{root}/{a}/{b}')" for a, b in sorted(there - known)]
    gone = [f"CALL system.unregister_table('{a}', '{b}')" for a, b in sorted(known - there)]
    return [*come, *gone]


def follow(execute: Callable[[str], list[Any]], lake: str, root: str) -> None:
    """Bring Trino's catalogue up to the lake; a table that Trino refuses does not keep others from it."""
    for layer in LAYERS:
        execute(f"CREATE SCHEMA IF NOT EXISTS {layer}")
    there = {(layer, table) for layer in LAYERS for table in tables(lake, layer)}
    for statement in changes(there, {(layer, table) for layer, table in execute(KNOWN)}, root):
        try:
            execute(statement)
            print(statement, flush=True)
        except Exception as error:
            print(f"{statement} failed: {error}", flush=True)


def _execute(statement: str) -> list[Any]:
    import trino

    address = urlsplit(os.environ["SLUICE_TRINO_URL"])
    password = Path(os.environ["SLUICE_TRINO_SECRETS"], REGISTRAR).read_text()
    with trino.dbapi.connect(
        host=address.hostname,
        port=address.port,
        catalog=address.path.strip("/"),
        user=REGISTRAR,
        auth=trino.auth.BasicAuthentication(REGISTRAR, password),
        http_scheme="https",
        verify=os.environ["SLUICE_TRINO_AUTHORITY"],
    ) as connection:
        return list(connection.cursor().execute(statement).fetchall())


def main() -> None:
    """Go on for ever; what fails is tried again."""
    ready = Path(os.environ["SLUICE_TRINO_READY"])
    while True:
        try:
            follow(_execute, lake(), os.environ["SLUICE_TRINO_LAKE"])
            ready.touch()
        except Exception as error:
            print(f"Trino's catalogue is not up to date: {error}", flush=True)
        time.sleep(PAUSE if ready.exists() else 1)


if __name__ == "__main__":
    main()
