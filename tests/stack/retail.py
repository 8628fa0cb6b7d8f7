"""Online Retail (UCI, CC BY 4.0): invoice lines of a real shop, as order events."""

import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from jobs.settings import CHECKOUT

FILE: Path = CHECKOUT.parent / "shared" / "data" / "online_retail.parquet"
ROWS = 541_909
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://archive.ics.uci.edu/dataset/352/online+retail")


def invoice_lines() -> pd.DataFrame:
    """All invoice lines in the order in which they happened."""
    return pd.read_parquet(FILE).sort_values("InvoiceDate", kind="stable", ignore_index=True)


def step(invoice: str, quantity: int) -> str:
    """Invoices that begin with C are cancellations; a negative quantity on any other came back."""
    if invoice.startswith("C"):
        return "cancelled"
    return "returned" if quantity < 0 else "placed"


def order_events(lines: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """One order event per invoice line; equal lines are the same event, sent twice."""
    for line in lines.itertuples(index=False):
        identity = "|".join(str(value) for value in line)
        event = {
            "event_id": str(uuid.uuid5(NAMESPACE, identity)),
            "event_type": step(line.InvoiceNo, line.Quantity),
            "event_time": line.InvoiceDate.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "order_id": line.InvoiceNo,
            "vendor_id": "online-retail",
            "country": line.Country,
            "channel": "web",
            "lines": [
                {
                    "product_id": line.StockCode,
                    "category": f"range {line.StockCode[:2]}",
                    "quantity": abs(line.Quantity),
                    "unit_price": str(Decimal(str(line.UnitPrice))),
                }
            ],
        }
        if not pd.isna(line.CustomerID):
            event["customer_id"] = str(line.CustomerID)
        yield event


def truth(lines: pd.DataFrame) -> pd.DataFrame:
    """What gold must hold, computed from the file alone.

    Returns:
        one row per distinct invoice line that the contract accepts: country, day, step, units, gross (ten-thousandths).
    """
    distinct = lines.drop_duplicates()
    valid = distinct[distinct.UnitPrice >= 0]
    ten_thousandths = (valid.UnitPrice * 10_000).round().astype("int64")
    steps = [step(invoice, quantity) for invoice, quantity in zip(valid.InvoiceNo, valid.Quantity, strict=True)]
    return pd.DataFrame(
        {
            "country": valid.Country,
            "day": valid.InvoiceDate.dt.strftime("%Y-%m-%d"),
            "step": steps,
            "units": valid.Quantity.abs(),
            "gross": valid.Quantity.abs() * ten_thousandths,
        }
    )
