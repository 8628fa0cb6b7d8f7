"""Superset's connection to the lake: one warm, locked DuckDB instance per process, handed out as cursors.

Opening an instance and loading the Delta extension costs 0.2 s to 0.6 s, a cursor of an open one nothing.
"""

import os
import threading
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import duckdb
import duckdb_extension_delta
import duckdb_extension_httpfs
import trino_connection
from duckdb_engine import ConnectionWrapper, Dialect, DuckDBIdentifierPreparer
from lake_tables import LAYERS, is_in_object_store, lake
from sql_guard import ReadOnlyConnection
from sqlalchemy.dialects.postgresql.base import PGIdentifierPreparer
from sqlalchemy.engine.url import URL

MEMORY_LIMIT = "1GB"

_lock = threading.Lock()
_instances: dict[tuple[int, str], duckdb.DuckDBPyConnection] = {}


class IdentifierPreparer(DuckDBIdentifierPreparer):
    """Knows the reserved words; DuckDB's own asks DuckDB for them whenever Superset makes an engine: for each query."""

    def __init__(self, dialect: Any, **kwargs: Any) -> None:
        PGIdentifierPreparer.__init__(self, dialect, **kwargs)
        self.reserved_words = _reserved_words()


@cache
def _reserved_words() -> set[str]:
    query = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category = 'reserved'"
    with duckdb.connect() as connection:
        words = {word for (word,) in connection.execute(query).fetchall()}
    return PGIdentifierPreparer.reserved_words | words


Dialect.preparer = IdentifierPreparer
# It asks DuckDB, too, for each query.
Dialect._get_default_schema_name = lambda *_: "main"
# It would put the database before each schema, a name that permissions and row-level security do not know.
Dialect.get_schema_names = lambda *_, **__: list(LAYERS)


def catalogue() -> Path:
    """Path of the DuckDB file that `catalogue.py` makes: a symbolic link to its newest version."""
    return Path(os.environ["SLUICE_HOME"], "superset", "lake.duckdb")


def load_readers(connection: duckdb.DuckDBPyConnection, lake: str) -> None:
    """Let DuckDB read the Delta tables of a lake; in an object store, with the keys of the environment."""
    _load(connection, duckdb_extension_delta)
    if is_in_object_store(lake):
        _load(connection, duckdb_extension_httpfs)
        options = ", ".join(f"{name} {_literal(value)}" for name, value in _secret(lake).items())
        connection.execute(f"CREATE SECRET lake (TYPE s3, {options})")


def _secret(lake: str) -> dict[str, str | bool]:
    """How DuckDB gets at an object store, by the variables that delta-rs reads too."""
    found: dict[str, str | bool] = {"SCOPE": f"s3://{urlsplit(lake).netloc}"}
    names = {
        "KEY_ID": "AWS_ACCESS_KEY_ID",
        "SECRET": "AWS_SECRET_ACCESS_KEY",
        "SESSION_TOKEN": "AWS_SESSION_TOKEN",
        "REGION": "AWS_REGION",
    }
    found |= {option: os.environ[name] for option, name in names.items() if os.environ.get(name)}
    if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
        address = urlsplit(endpoint)
        found |= {"ENDPOINT": address.netloc, "USE_SSL": address.scheme == "https", "URL_STYLE": "path"}
    return found


def _load(connection: duckdb.DuckDBPyConnection, wheel: ModuleType) -> None:
    """Load an extension from its wheel; DuckDB would look for it on the network."""
    (extension,) = Path(str(wheel.__file__)).parent.glob("extensions/*/*.duckdb_extension")
    connection.execute(f"LOAD '{extension}'")


def _literal(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else "'" + value.replace("'", "''") + "'"


def cursor() -> duckdb.DuckDBPyConnection:
    """A connection of its own, unguarded, to this process's instance of the current catalogue."""
    # A forked worker has none of its parent's threads, so it must not use its parent's instance.
    key = (os.getpid(), str(catalogue().resolve()))
    with _lock:
        if key not in _instances:
            _instances[key] = _open(key[1])
        return _instances[key].cursor()


def _open(path: str) -> duckdb.DuckDBPyConnection:
    # The dashboard's queries took a quarter more processor time with a second thread, and the web has processes enough.
    config = {"memory_limit": MEMORY_LIMIT, "threads": 1}
    connection = duckdb.connect(path, read_only=True, config=config)
    load_readers(connection, lake())
    directories = ", ".join(f"'{lake()}/{layer}/'" for layer in LAYERS)
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET GLOBAL python_enable_replacements = false")
    connection.execute(f"SET GLOBAL allowed_directories = [{directories}]")
    connection.execute("SET GLOBAL enable_external_access = false")
    connection.execute("SET GLOBAL lock_configuration = true")
    return connection


def mutate_connection(
    uri: URL, parameters: dict[str, Any], username: str | None, security_manager: Any, source: Any
) -> tuple[URL, dict[str, Any]]:
    """Superset's ``DB_CONNECTION_MUTATOR``: every DuckDB address means the lake, whatever file it names.

    Our Trino's gets the name of who asks, and the password.
    """
    if uri.drivername.startswith("duckdb"):
        parameters.pop("connect_args", None)
        parameters["creator"] = lambda: ConnectionWrapper(ReadOnlyConnection(cursor()))
    elif trino_connection.is_ours(uri):
        parameters["connect_args"] = trino_connection.arguments_of_user(security_manager)
    return uri, parameters
