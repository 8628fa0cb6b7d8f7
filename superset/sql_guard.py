"""Only questions reach the lake: SELECT, over tables of the catalogue, and none that takes for ever.

Superset's own check (``allow_dml: false``) lets ``COPY … TO`` through, and a function such as ``delta_scan``
reads a table behind the back of Superset's row-level security, as does DuckDB's own habit of taking a name that is
no table's for a file's: ``"/lake/gold/sales/*"."parquet"``. So DuckDB itself parses every statement before
it runs (0.3 ms), and the syntax tree is held against what is allowed. Superset's time limit is a signal, which
reaches the main thread only, and web workers answer in other threads; so a query is interrupted here.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
from lake_tables import LAYERS

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
CATALOGUE_SCHEMAS = {"", "information_schema", "pg_catalog"}
"""Where tables tell of tables, which the dialect asks, too; names of a statement's own have no schema."""
SETTINGS = {"pg_settings", "current_setting"}
"""What tells the settings of this process: where files are, among others."""
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
        if node.get("type") == "FUNCTION" and node["function_name"].lower() in SETTINGS:
            raise duckdb.PermissionException(f"the function {node['function_name']} is not allowed")
        if node.get("type") == "BASE_TABLE" and not _is_of_the_catalogue(node):
            parts = (node["catalog_name"], node["schema_name"], node["table_name"])
            raise duckdb.PermissionException(
                f"{'.'.join(filter(None, parts))} is not allowed; a table's name is <layer>.<table>, in small letters, "
                f"where the layer is {' or '.join(LAYERS)}"
            )


def _is_of_the_catalogue(named: dict[str, Any]) -> bool:
    """Whether what stands for a table can be nothing but a table, and is known to row-level security under that name.

    Superset compares names letter by letter and without a database, DuckDB does not.
    """
    schema, table = named["schema_name"], named["table_name"]
    if named["catalog_name"] or set("/.\\:") & set(table):
        return False
    if schema in LAYERS:
        return bool(table == table.lower())
    return schema.lower() in CATALOGUE_SCHEMAS and table.lower() not in SETTINGS


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
