"""Every table that the jobs keep."""

from itertools import chain

from pyspark.sql.types import StructType

from jobs.bronze import EVENTS
from jobs.engine.accidents import ACCIDENTS
from jobs.engine.table import Table
from jobs.entity import late_table, quarantine_table, silver_table
from jobs.forgotten import FORGOTTEN
from jobs.intake import INTAKE_BY_MINUTE, QUALITY_BY_MINUTE
from jobs.marts import MARTS, SNAPSHOTS, VIEWS, Mart, Snapshot, View
from jobs.quality_results import RESULTS
from jobs.quarantine import RELEASES
from jobs.reconcile import PARITY, RECONCILIATIONS
from schemas import Contract


def marts() -> tuple[Mart, ...]:
    """Every mart, those of gold and those of ops."""
    return (*chain.from_iterable(MARTS.values()), INTAKE_BY_MINUTE, QUALITY_BY_MINUTE)


def snapshots() -> tuple[Snapshot, ...]:
    """Every snapshot."""
    return tuple(chain.from_iterable(SNAPSHOTS.values()))


def views() -> tuple[View, ...]:
    """Every view."""
    return tuple(chain.from_iterable(VIEWS.values()))


def tables(contracts: tuple[Contract, ...]) -> dict[str, Table]:
    """The tables by name, ``<layer>.<table>``."""
    kept = [EVENTS, ACCIDENTS, RESULTS, PARITY, RECONCILIATIONS, RELEASES, FORGOTTEN]
    kept += [mart.table for mart in marts()]
    kept += [snapshot.table for snapshot in snapshots()]
    kept += [view.table for view in views()]
    for contract in contracts:
        kept += [silver_table(contract), late_table(contract), quarantine_table(contract)]
    return {f"{table.layer}.{table.name}": table for table in kept}


def table_schemas(contracts: tuple[Contract, ...]) -> dict[str, StructType]:
    """The schemas of the tables by name, ``<layer>.<table>``."""
    return {name: table.schema for name, table in tables(contracts).items()}
