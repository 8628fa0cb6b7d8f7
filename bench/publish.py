"""Where the figures of the benches lie, and how they get there."""

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

from bench import machine, report
from jobs.settings import CHECKOUT

RESULTS = CHECKOUT / "bench" / "results"
DOCS = CHECKOUT / "docs"


def publish(name: str, figures: Mapping[str, Any]) -> None:
    """Keep figures in a file of ``bench/results``, with the day and the machine, and write the report anew."""
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    RESULTS.mkdir(parents=True, exist_ok=True)
    kept = {"measured_at": now, "machine": machine.describe(), **figures}
    (RESULTS / name).write_text(json.dumps(kept, indent=1) + "\n")
    print(report.write(RESULTS, DOCS))
