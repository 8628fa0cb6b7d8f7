"""Write Superset's datasets of gold from the declarations of marts: `python -m jobs.datasets`."""

import uuid
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from pyspark.sql.types import DataType, DecimalType

from jobs.marts import MARTS, SNAPSHOTS, VIEWS, Mart, Measure, Metric, Snapshot, View
from jobs.marts.snapshot import UPDATED_AT
from jobs.settings import CHECKOUT

DATASETS = CHECKOUT / "superset" / "assets" / "datasets" / "Lake"
DATABASE = str(yaml.safe_load((DATASETS.parents[1] / "databases" / "Lake.yaml").read_text())["uuid"])
CERTIFICATION = {
    "certification": {"certified_by": "Sluice", "details": "Computed from Kafka, every event exactly once."}
}
VIEW_SECONDS = 120
"""How long Superset keeps answers over a view, which changes every ten minutes; over marts, its default: a second."""
WHOLE = ("customers", "rank")
"""Units of which the least and the most are whole, too."""
CURRENCY = {"symbol": "EUR", "symbolPosition": "prefix"}
TYPES = {"timestamp": "TIMESTAMP WITH TIME ZONE", "string": "VARCHAR"}
"""DuckDB's names of Spark's types, where they differ from Spark's in capitals."""
LABELS = {
    "gross": "Gross sales",
    "net": "Net sales",
    "order_value_min": "Smallest order",
    "order_value_max": "Largest order",
    "order_value_stddev": "Standard deviation of order values",
    "late": "Late deliveries",
    "late_share": "Share of late deliveries",
    "ship_seconds": "Total time to ship (s)",
    "ship_seconds_max": "Longest time to ship (s)",
    "mean_ship_seconds": "Mean time to ship (s)",
    "deliver_seconds": "Total time to deliver (s)",
    "deliver_seconds_max": "Longest time to deliver (s)",
    "mean_deliver_seconds": "Mean time to deliver (s)",
    "is_low": "Is stock low?",
    "is_open": "Is it open?",
    "is_repeated": "Did the customer come again?",
    "total_sold": "Sold",
    "total_refunds": "Refunds",
    "total_commission": "Commission",
    "total_due": "Due",
    "total_net": "Net sales",
    "total_value": "Lifetime value",
    "mean_value": "Mean lifetime value",
    "total_visits": "Visits",
    "total_new_customers": "New customers",
    "mean_seconds": "Mean length of a visit (s)",
    "cart_share": "Visits with a cart",
    "purchase_share": "Visits with an order",
    "net_before": "Net sales before",
    "net_growth": "Growth of net sales",
    "orders_growth": "Growth of orders",
    "net_day_before": "Net sales a day before",
    "net_week_before": "Net sales a week before",
    "expected": "Forecast",
    "total_day_before": "A day before",
    "total_week_before": "A week before",
    "total_expected": "Forecast",
    "total_change": "Change",
    "total_growth": "Growth",
    "distance": "Size of the change",
    "stars_1": "1 star",
    **{f"stars_{stars}": f"{stars} stars" for stars in range(2, 6)},
}
"""What business users call a column or metric, where its name alone does not say it."""


Gold = Mart | Snapshot | View


class _Plain(yaml.SafeDumper):
    """Writes what occurs twice a second time, as Superset's own export does."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def datasets() -> Iterator[tuple[Path, str]]:
    """The file of every dataset of gold, and its text."""
    declared: Iterator[Gold] = chain(*MARTS.values(), *SNAPSHOTS.values(), *VIEWS.values())
    for gold in declared:
        if gold.layer != "gold":
            continue
        path = DATASETS / f"{gold.name}.yaml"
        yield path, yaml.dump(_dataset(gold, path), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=110)


def label(name: str) -> str:
    """What business users call a column or metric."""
    return LABELS.get(name) or name.removesuffix("_id").replace("_", " ").capitalize()


def _dataset(gold: Gold, path: Path) -> dict[str, Any]:
    time = gold.window if isinstance(gold, Mart) else gold.time if isinstance(gold, View) else UPDATED_AT
    merged = [_metric_of(measure) for measure in gold.measures] if isinstance(gold, Mart) else []
    return {
        "table_name": gold.name,
        "schema": gold.layer,
        "main_dttm_col": time,
        "description": gold.description,
        "default_endpoint": None,
        "offset": 0,
        "cache_timeout": VIEW_SECONDS if isinstance(gold, View) else None,
        "sql": None,
        "params": None,
        "template_params": None,
        "filter_select_enabled": True,
        "fetch_values_predicate": None,
        "extra": CERTIFICATION,
        "uuid": _uuid(gold.name, path),
        "metrics": [_metric(metric) for metric in (*merged, *gold.metrics)],
        "columns": list(_columns(gold)),
        "version": "1.0.0",
        "database_uuid": DATABASE,
    }


def _uuid(name: str, path: Path) -> str:
    """A dataset keeps the identity that its file has: charts, and what users built, refer to it."""
    if path.is_file():
        return str(yaml.safe_load(path.read_text())["uuid"])
    return str(uuid.uuid5(uuid.UUID(DATABASE), name))


def _metric_of(measure: Measure) -> Metric:
    return Metric(measure.name, f"{measure.merge.upper()}({measure.name})", measure.unit, measure.description)


def _metric(metric: Metric) -> dict[str, Any]:
    return {
        "metric_name": metric.name,
        "verbose_name": label(metric.name),
        "expression": metric.formula,
        "description": metric.description,
        "metric_type": None,
        "d3format": _format(metric),
        "currency": CURRENCY if metric.unit.startswith("currency") else None,
        "warning_text": None,
        "extra": CERTIFICATION,
    }


def _format(metric: Metric) -> str:
    """How a figure is written, in d3's language: a share in percent, whole numbers without decimals, others with."""
    if metric.unit == "share":
        return ".1%"
    return ",.0f" if metric.formula.startswith(("SUM(", "COUNT(")) or metric.unit in WHOLE else ",.2f"


def _columns(gold: Gold) -> Iterator[dict[str, Any]]:
    groups = gold.dimensions if isinstance(gold, Mart) else gold.keys
    for field in gold.table.schema:
        type_ = _type(field.dataType)
        is_attribute = isinstance(gold, Snapshot | View) and type_ in ("VARCHAR", "BOOLEAN")
        yield {
            "column_name": field.name,
            "verbose_name": label(field.name),
            "description": field.metadata["comment"],
            "type": type_,
            "is_dttm": type_.startswith("TIMESTAMP"),
            "is_active": True,
            "groupby": type_.startswith("TIMESTAMP") or field.name in groups or is_attribute,
            "filterable": True,
            "expression": None,
            "python_date_format": None,
            "extra": None,
        }


def _type(data_type: DataType) -> str:
    name = data_type.simpleString()
    return name.upper() if isinstance(data_type, DecimalType) else TYPES.get(name, name.upper())


if __name__ == "__main__":
    for path, text in datasets():
        path.write_text(text)
