"""Rows of silver that a reader understands, and what views make of them."""

import datetime as dt
from decimal import Decimal
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from jobs.marts.view import View
from schemas import load_contracts

CONTRACTS = {contract.topic: contract for contract in load_contracts()}
DAY = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


def at(hours: float) -> dt.datetime:
    return DAY + dt.timedelta(hours=hours)


def silver(spark: SparkSession, topic: str, *events: dict[str, Any]) -> DataFrame:
    """A silver table; what an event leaves out is null, offsets count the events."""
    fields = CONTRACTS[topic].spark_schema
    rows = [{**event, "offset": offset} for offset, event in enumerate(events)]
    schema = ", ".join(f"`{field.name}` {field.dataType.simpleString()}" for field in fields) + ", offset long"
    return spark.createDataFrame([(*(row.get(f.name) for f in fields), row["offset"]) for row in rows], schema)


def line(price: str, discount: str = "0") -> dict[str, Any]:
    known = {"product_id": "p", "category": "Books", "quantity": 2}
    return {**known, "unit_price": Decimal(price), "discount": Decimal(discount)}


def order(customer: str | None, hours: float, price: str, step: str = "placed", **changes: Any) -> dict[str, Any]:
    known = {"customer_id": customer, "event_time": at(hours), "event_type": step, "vendor_id": "v"}
    return {**known, "lines": [line(price)], **changes}


def vendor(hours: float, rate: str, **changes: Any) -> dict[str, Any]:
    terms = {"name": "V", "country": "DE", "category": "Books", "monthly_goal": Decimal(100)}
    return {"vendor_id": "v", "event_time": at(hours), "commission_rate": Decimal(rate), **terms, **changes}


def customer(hours: float, segment: str) -> dict[str, Any]:
    return {"customer_id": "a", "event_time": at(hours), "country": "DE", "segment": segment}


def figures(view: View, *tables: DataFrame) -> list[dict[str, Any]]:
    found = view.compute(*tables)
    assert found.dtypes == [(field.name, field.dataType.simpleString()) for field in view.table.schema]
    return sorted((row.asDict() for row in found.collect()), key=lambda row: tuple(str(row[key]) for key in view.keys))
