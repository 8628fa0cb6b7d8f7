"""Superset's event log without what dashboards do by themselves.

A chart that refreshes every 2 s would write six rows per query; worse, each row is a commit, after which
SQLAlchemy reads user, dataset and database again: a third of the time of a small query.
"""

from typing import Any

from flask import has_request_context, request
from superset.utils.log import DBEventLogger

# What a browser reports for every chart of every refresh.
TIMING_EVENTS = {"load_chart", "render_chart", "load_dashboard_pane", "spa_navigation", "web_vitals"}


class AuditLogger(DBEventLogger):
    """Logs what people do: logins, views, edits, exports, SQL."""

    def log_with_context(self, action: str, *args: Any, **kwargs: Any) -> None:
        """Log `action`, unless the request asks for a chart's data to show."""
        if not _shows_chart():
            super().log_with_context(action, *args, **kwargs)

    def log(self, *args: Any, records: list[dict[str, Any]], **kwargs: Any) -> None:
        """Write `records`, less the browser's timings."""
        records = [record for record in records if record.get("event_name") not in TIMING_EVENTS]
        if records:
            super().log(*args, records=records, **kwargs)


def _shows_chart() -> bool:
    if not has_request_context() or request.path != "/api/v1/chart/data":
        return False
    query = request.get_json(silent=True) or {}
    return query.get("result_format", "json") == "json" and query.get("result_type", "full") == "full"
