"""How the command line says things."""

import datetime as dt
from typing import Any


def table(rows: list[dict[str, Any]], columns: dict[str, str]) -> str:
    """Rows as text, in columns under headings; ``columns`` gives the heading of each name."""
    cells = [list(columns.values()), *([_cell(row.get(name)) for name in columns] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)


def counted(count: int, noun: str) -> str:
    """A number of things: ``1,024 rows``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def moment(at: dt.datetime | None) -> str | None:
    """A moment to the second."""
    return None if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,.1f}" if isinstance(value, float) else str(value)
