"""Tell the administrators of a report that did not go out, for whatever reason; Celery's beat asks every minute."""

import datetime as dt
from collections.abc import Iterator
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

from croniter import croniter
from superset.commands.report.execute import REPORT_SCHEDULE_ERROR_NOTIFICATION_MARKER
from superset.extensions import celery_app, db
from superset.reports.models import ReportExecutionLog, ReportSchedule, ReportScheduleType, ReportState

GRACE = dt.timedelta(minutes=10)
"""How long after it was due a report may still come; rendering takes half a minute, and two are rendered at a time."""
TOLD = "told_of"
"""The member of a report's ``extra`` that says of which due time the administrators know."""
SCHEDULED = "scheduled"
"""The member that says since when it has which schedule."""


@celery_app.task(name="reports.watchdog")
def watch(now: str | None = None) -> list[str]:
    """Mail what is overdue, once; returns the names of the reports. ``now`` is ISO 8601, for tests."""
    moment = dt.datetime.fromisoformat(now) if now else dt.datetime.now(dt.UTC)
    found = list(_overdue(moment))
    for report, due in found:
        _tell(report, due)
        report.extra = {**report.extra, TOLD: due.isoformat()}
    db.session.commit()
    return [report.name for report, _ in found]


def _overdue(now: dt.datetime) -> Iterator[tuple[Any, dt.datetime]]:
    """Reports that should have gone out, and when, of which nobody was told."""
    for report in db.session.query(ReportSchedule).filter_by(active=True, type=ReportScheduleType.REPORT):
        local = (now - GRACE).astimezone(ZoneInfo(report.timezone))
        due = croniter(report.crontab, local).get_prev(dt.datetime).astimezone(dt.UTC)
        if _since(report) > due or report.extra.get(TOLD) == due.isoformat():
            continue
        sent = db.session.query(ReportExecutionLog).filter(
            ReportExecutionLog.report_schedule == report,
            ReportExecutionLog.state == ReportState.SUCCESS,
            ReportExecutionLog.scheduled_dttm >= due.replace(tzinfo=None),
        )
        if not db.session.query(sent.exists()).scalar():
            yield report, due


def _since(report: Any) -> dt.datetime:
    """Since when a report has its schedule: with another one, it was due at other times."""
    schedule = f"{report.crontab} {report.timezone}"
    noted = report.extra.get(SCHEDULED, {})
    if noted.get("schedule") != schedule:
        noted = {"schedule": schedule, "since": report.changed_on.replace(tzinfo=dt.UTC).isoformat()}
        report.extra = {**report.extra, SCHEDULED: noted}
    return dt.datetime.fromisoformat(noted["since"])


def _tell(report: Any, due: dt.datetime) -> None:
    from flask import current_app
    from superset.utils.core import send_email_smtp

    from superset import security_manager as security

    last = (
        db.session.query(ReportExecutionLog)
        .filter_by(report_schedule=report, state=ReportState.ERROR)
        .filter(
            ReportExecutionLog.scheduled_dttm >= due.replace(tzinfo=None),
            ReportExecutionLog.error_message != REPORT_SCHEDULE_ERROR_NOTIFICATION_MARKER,
        )
        .order_by(ReportExecutionLog.end_dttm.desc())
        .first()
    )
    why = f"Its error: {last.error_message}" if last else "No error is known: see the log of the worker."
    text = f"<p>The report {escape(report.name)} was due at {due:%Y-%m-%d %H:%M} UTC.</p><p>{escape(why)}</p>"
    for user in security.get_all_users():
        if user.active and security.auth_role_admin in {role.name for role in user.roles}:
            send_email_smtp(user.email, f"[Overdue] {report.name}", text, current_app.config)
