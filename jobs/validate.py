"""Validate tables with Great Expectations, on demand: verdicts, Data Docs, and rows in ``ops/quality_results``."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import DataFrame, SparkSession

from jobs.engine.table import Table
from jobs.marts.expectations import mart_expectations, snapshot_expectations, view_expectations
from jobs.quality_results import RESULTS
from jobs.settings import Settings
from jobs.tables import marts, snapshots, table_schemas, tables, views
from quality.contract_rules import contract_expectations
from quality.protection import protected_fields
from quality.rules import fields
from quality.suite import Suite, load_suites, view_name
from quality.suite_check import check_expectation
from quality.validation import Validator, Verdict
from schemas import Contract, load_contracts

OF_NULLS = ("expect_column_values_to_be_null", "expect_column_values_to_not_be_null")
OF_OTHER_ROWS = ("expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique")


@dataclass(frozen=True)
class Report:
    """The verdicts of one run, and the page that shows them."""

    verdicts: tuple[Verdict, ...]
    data_docs: Path


def suites(contracts: tuple[Contract, ...]) -> dict[str, Suite]:
    """The suite of every table that has one, by the table's name: what its contract or declaration says, and its file.

    Raises:
        SuiteError: with every problem of every suite.
    """
    found = {suite.table: suite for suite in load_suites(table_schemas(contracts), checks=[check_expectation])}
    for contract in contracts:
        name = contract.silver
        written = found[name].expectations if name in found else ()
        of_silver = (*contract_expectations(contract), *written)
        found[name] = Suite(name, tuple(one for one in of_silver if _holds_of_pseudonyms(one, contract)))
    declared = {f"{mart.layer}.{mart.name}": mart_expectations(mart) for mart in marts()}
    declared |= {f"{one.layer}.{one.name}": snapshot_expectations(one) for one in snapshots()}
    declared |= {f"{one.layer}.{one.name}": view_expectations(one) for one in views()}
    for name, expectations in declared.items():
        written = found[name].expectations if name in found else ()
        found[name] = Suite(name, (*expectations, *written))
    return dict(sorted(found.items()))


def _holds_of_pseudonyms(expectation: Mapping[str, Any], contract: Contract) -> bool:
    """Whether an expectation can be held against silver, where personal values are not the original ones."""
    is_about_values = expectation["type"] not in (*OF_NULLS, *OF_OTHER_ROWS)
    return not is_about_values or not {*fields(expectation["kwargs"])} & {*protected_fields(contract)}


def validate(session: SparkSession, names: Sequence[str], settings: Settings) -> Report:
    """Hold tables against their suites.

    Args:
        session: reads the tables.
        names: tables, ``<layer>.<name>``, that have a suite; all that have one and exist, where there is none.
        settings: where the lake is.

    Raises:
        DefinitionError: a contract or suite is wrong.
    """
    contracts = load_contracts()
    known = tables(contracts)
    chosen = {name: suite for name, suite in suites(contracts).items() if not names or name in names}
    personal = {name for contract in contracts for name in protected_fields(contract)}
    at = dt.datetime.now(dt.UTC)
    validator = Validator(settings.home / "quality")
    verdicts: list[Verdict] = []
    for name, suite in chosen.items():
        if not DeltaTable.is_deltatable(known[name].url(settings.lake_url)):
            continue
        queries = " ".join(given["kwargs"].get("unexpected_rows_query", "") for given in suite.expectations)
        for other, table in known.items():
            if view_name(other) in queries:
                exists = DeltaTable.is_deltatable(table.url(settings.lake_url))
                view = _snapshot(session, table, settings)[0] if exists else session.createDataFrame([], table.schema)
                view.createOrReplaceTempView(view_name(other))
        rows, version = _snapshot(session, known[name], settings)
        found = validator.validate(suite, rows, is_personal=not personal.isdisjoint(rows.columns))
        _record(found, version, at, settings)
        verdicts += found
    return Report(tuple(verdicts), validator.data_docs)


def _snapshot(session: SparkSession, table: Table, settings: Settings) -> tuple[DataFrame, int]:
    """One version of a table for all expectations, whatever the jobs commit in the meantime, and its number."""
    url = table.url(settings.lake_url)
    version = DeltaTable(url).version()
    return session.read.format("delta").option("versionAsOf", version).load(url), version


def _record(verdicts: Sequence[Verdict], version: int, at: dt.datetime, settings: Settings) -> None:
    rows = [
        vars(verdict) | {"validated_at": at, "version": version, "arguments": json.dumps(verdict.arguments)}
        for verdict in verdicts
    ]
    table = RESULTS.create(settings.lake_url)
    schema = pa.schema(table.schema().to_arrow())
    write_deltalake(table, pa.Table.from_pylist(rows, schema=schema), mode="append")
