"""Only questions reach the lake: SELECT, over tables of the catalogue, and none that takes for ever.

Superset's own check (``allow_dml: false``) lets ``COPY … TO`` through, and a function such as ``delta_scan``
reads a table behind the back of Superset's row-level security. So DuckDB itself parses every statement before
it runs (0.3 ms), and the syntax tree is held against what is allowed. Superset's time limit is a signal, which
reaches the main thread only, and web workers answer in other threads; so a query is interrupted here.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb

# The rest are what SQLAlchemy's dialect asks when it lists schemas, tables and columns.
TABLE_FUNCTIONS = {
    "generate_series",
    "range",
    "unnest",
    "duckdb_columns",
    "duckdb_constraints",
    "duckdb_databases",
    "duckdb_schemas",
    "duckdb_tables",
    "duckdb_views",
}
LONGEST_SECONDS = 30
"""How long DuckDB may compute, and how long it may compute for each further part of the rows."""
TRANSACTION_CONTROL = {"begin", "begin transaction", "commit", "rollback"}


class ReadOnlyConnection:
    """A DuckDB connection that executes nothing but SELECT; everything else is the connection's own."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Any = None) -> duckdb.DuckDBPyConnection:
        """Execute a SELECT.

        Raises:
            duckdb.PermissionException: the statement is something else, or reads a file directly.
            duckdb.InterruptException: it took longer than ``LONGEST_SECONDS``.
        """
        check(self._connection, sql)
        with self._interrupted_in_time():
            return self._connection.execute(sql, parameters)

    # DuckDB computes rows while they are fetched.

    def fetchall(self) -> list[Any]:
        """All rows that are left; interrupted as ``execute`` is."""
        with self._interrupted_in_time():
            return self._connection.fetchall()

    def fetchmany(self, size: int = 1) -> list[Any]:
        """The next rows; interrupted as ``execute`` is."""
        with self._interrupted_in_time():
            return self._connection.fetchmany(size)

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row; interrupted as ``execute`` is."""
        with self._interrupted_in_time():
            return self._connection.fetchone()

    @contextmanager
    def _interrupted_in_time(self) -> Iterator[None]:
        timer = threading.Timer(LONGEST_SECONDS, self._connection.interrupt)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def executemany(self, sql: str, parameters: Any = None) -> duckdb.DuckDBPyConnection:
        """Refuse: the driver uses it for INSERT only."""
        raise duckdb.PermissionException("only SELECT is allowed")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def check(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise ``duckdb.PermissionException`` unless `sql` only reads tables of the catalogue."""
    if sql.strip().rstrip(";").lower() in TRANSACTION_CONTROL:
        return
    for node in _nodes(_syntax_tree(connection, sql)):
        if node.get("type") == "TABLE_FUNCTION":
            name = node["function"]["function_name"]
            if name.lower() not in TABLE_FUNCTIONS:
                raise duckdb.PermissionException(f"the table function {name} is not allowed")
        # DuckDB reads `FROM 'path/file.parquet'` as the name of a table.
        if node.get("type") == "BASE_TABLE" and set("/.\\:") & set(node["table_name"]):
            raise duckdb.PermissionException("reading files directly is not allowed")


def _syntax_tree(connection: duckdb.DuckDBPyConnection, sql: str) -> dict[str, Any]:
    (text,) = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone() or ("{}",)
    tree: dict[str, Any] = json.loads(text)
    if not tree.get("error"):
        return tree
    if tree.get("error_type") == "parser":
        raise duckdb.ParserException(tree.get("error_message", "syntax error"))
    raise duckdb.PermissionException("only SELECT is allowed")


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for branch in tree:
            yield from _nodes(branch)
