"""What DuckDB may be asked behind Superset's back: in Superset's own environment, over a lake with two tables."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from jobs.settings import CHECKOUT, settings
from stack import environments

SUPERSET = CHECKOUT / "superset"
ANSWERS = """
import json, sys
import lake_connection
from duckdb_engine import ConnectionWrapper
from sql_guard import ReadOnlyConnection
from sqlalchemy import create_engine, inspect

def connect():
    return ConnectionWrapper(ReadOnlyConnection(lake_connection.cursor()))

looks = inspect(create_engine("duckdb://", creator=connect))
for line in sys.stdin:
    asked = json.loads(line)
    try:
        if isinstance(asked, list):
            name, *arguments = asked
            answer = getattr(looks, name)(*arguments)
        else:
            answer = connect().execute(asked).fetchall()
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    print(json.dumps(answer, default=str), flush=True)
"""

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("guard")
    for table in ("gold/sales", "ops/live"):
        write_deltalake(home / "lake" / table, pa.table({"vendor_id": ["a", "b"], "orders": [1, 2]}))
    return home


@pytest.fixture(scope="module")
def ask(home: Path) -> Iterator[Ask]:
    """Rows of a statement, or what it was refused with; of a list, what SQLAlchemy finds in the catalogue."""
    python = environments.ensure("superset", settings().cache) / "bin" / "python"
    variables = os.environ | {"SLUICE_HOME": str(home), "PYTHONPATH": str(SUPERSET), "PYTHONWARNINGS": "ignore"}
    catalogue = [python, SUPERSET / "catalogue.py", home / "lake", home / "superset" / "lake.duckdb"]
    subprocess.run(catalogue, env=variables, check=True, stdout=subprocess.DEVNULL)
    running = subprocess.Popen(
        [python, "-c", ANSWERS], env=variables, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert running.stdin
    assert running.stdout

    def asking(*question: Any) -> Any:
        running.stdin.write(json.dumps(question[0] if len(question) == 1 else question) + "\n")
        running.stdin.flush()
        return json.loads(running.stdout.readline())

    yield asking
    running.stdin.close()
    running.wait(timeout=30)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT sum(orders) FROM gold.sales",
        'SELECT sum(orders) FROM "gold"."sales"',
        'WITH "of vendors" AS (FROM gold.sales) SELECT sum(orders) FROM "of vendors"',
        "SELECT sum(orders) FROM (SELECT * FROM ops.live)",
        "SELECT sum(x) FROM range(3) AS r(x)",
        "SELECT count(*) + 1 FROM INFORMATION_SCHEMA.tables WHERE table_schema = 'gold' LIMIT 3",
    ],
)
def test_tables_of_the_catalogue_are_read(ask: Ask, statement: str) -> None:
    (((found,),),) = [ask(statement)]

    assert found in (2, 3)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM '{gold}/sales/x.parquet'",
        'SELECT * FROM "{gold}/sales/*"."parquet"',
        'SELECT * FROM "{gold}"."sales/*"."parquet"',
        'SELECT * FROM gold."{gold}/sales/*.parquet"',
        'DESCRIBE "{gold}/sales/*"."parquet"',
        'SUMMARIZE "{gold}/sales/*"."parquet"',
        'SELECT (SELECT max(orders) FROM "{gold}/sales/*"."parquet")',
        'WITH found AS (FROM "{gold}/sales/*"."parquet") FROM found',
        'SELECT 1; FROM "{gold}/sales/*"."parquet"',
        'FROM gold.sales SEMI JOIN "{gold}/sales/*"."parquet" USING (orders)',
        'FROM (PIVOT "{gold}/sales/*"."parquet" ON vendor_id USING sum(orders))',
        # Row-level security in SQL Lab knows a table by its schema and name, letter by letter.
        "SELECT * FROM lake.gold.sales",
        "SELECT * FROM lake.sales",
        "SELECT * FROM GOLD.sales",
        "SELECT * FROM gold.SALES",
        "SELECT * FROM main.sqlite_master",
        "SELECT * FROM system.main.duckdb_views",
        "SELECT * FROM temp.main.found",
        "SELECT * FROM read_parquet('{gold}/sales/*.parquet')",
        "SELECT * FROM parquet_metadata('{gold}/sales/*.parquet')",
        "SELECT * FROM glob('{gold}/**')",
        "SELECT * FROM query('SELECT 1')",
        "SELECT * FROM query_table('gold.sales')",
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM pg_settings",
        "SELECT * FROM pg_catalog.pg_settings",
        'SELECT * FROM "PG_Settings"',
        "SELECT current_setting('allowed_directories')",
        "SELECT pg_catalog.Current_Setting('allowed_directories')",
        "SELECT list_transform(['allowed_directories'], name -> current_setting(name))",
    ],
)
def test_nothing_else_is(ask: Ask, home: Path, statement: str) -> None:
    found = ask(statement.format(gold=home / "lake" / "gold"))

    assert str(found).startswith("PermissionException"), found


def test_the_browser_of_sql_lab_finds_its_way(ask: Ask) -> None:
    assert ask(["get_schema_names"]) == ["gold", "ops"]
    assert ask(["get_view_names", "gold"]) == ["sales"]
    assert ask(["get_table_names", "gold"]) == []
    assert [column["name"] for column in ask(["get_columns", "sales", "gold"])] == ["vendor_id", "orders"]
    assert ask(["has_table", "sales", "gold"]) is True
    for what in ("get_pk_constraint", "get_indexes", "get_foreign_keys", "get_table_comment", "get_unique_constraints"):
        assert not str(ask([what, "sales", "gold"])).startswith("PermissionException"), what
