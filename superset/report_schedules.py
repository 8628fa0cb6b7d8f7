"""Reports and alerts of Superset, from `reports/*.yaml`; safe to apply again.

A report has ``name``, ``description``, ``dashboard`` (its slug) or ``chart`` (its name), ``format`` (PDF, PNG or CSV),
``schedule`` (cron) and ``timezone``, and ``roles``: each user who has one of them gets a mail of its own, with the rows
that this user may see. With ``alert`` it goes out only if the figure of ``sql`` is ``below`` or ``above`` a threshold.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml

REPORTS = Path(__file__).parent / "reports"
ASSETS = Path(__file__).parent / "assets"
OPERATORS = {"below": "<", "above": ">"}
LONGEST_SECONDS = 600
"""How long a report may take; after that it counts as failed, and its next one may begin."""


def schedule() -> int:
    """Write the schedules, and remove those whose file is gone; returns how many there are."""
    from superset.reports.models import ReportSchedule

    from superset import db

    written = [_write(path, yaml.safe_load(path.read_text())) for path in sorted(REPORTS.glob("*.yaml"))]
    kept = {found.id for reports in written for found in reports}
    for report in db.session.query(ReportSchedule).all():
        if "file" in report.extra and report.id not in kept:
            db.session.delete(report)
    db.session.commit()
    return len(kept)


def _write(path: Path, declared: dict[str, Any]) -> list[Any]:
    from superset import db

    reports = [_written(path, declared, user) for user in _users(declared["roles"])]
    db.session.flush()
    return reports


def _users(roles: list[str]) -> Iterator[Any]:
    from superset import security_manager as security

    for user in security.get_all_users():
        if user.active and {role.name for role in user.roles} & set(roles):
            yield user


def _written(path: Path, declared: dict[str, Any], user: Any) -> Any:
    from superset.reports.models import (
        ReportCreationMethod,
        ReportRecipients,
        ReportRecipientType,
        ReportSchedule,
        ReportScheduleType,
    )

    from superset import db

    kind = ReportScheduleType.ALERT if "alert" in declared else ReportScheduleType.REPORT
    name = f"{declared['name']} ({user.username})"
    report = db.session.query(ReportSchedule).filter_by(name=name, type=kind).one_or_none()
    if report is None:
        report = ReportSchedule(name=name, type=kind)
        db.session.add(report)
    report.description = declared["description"]
    report.email_subject = declared["name"]
    report.crontab, report.timezone = declared["schedule"], declared["timezone"]
    report.report_format = declared["format"]
    report.creation_method = ReportCreationMethod.ALERTS_REPORTS
    report.working_timeout = LONGEST_SECONDS
    report.force_screenshot = True
    # Whoever owns a report is who it is rendered as.
    report.owners = [user]
    report.recipients = [
        ReportRecipients(type=ReportRecipientType.EMAIL, recipient_config_json=json.dumps({"target": user.email}))
    ]
    report.extra = {**report.extra, "file": path.name}
    _say_what(report, declared)
    if "alert" in declared:
        _say_when(report, declared["alert"])
    return report


def _say_what(report: Any, declared: dict[str, Any]) -> None:
    from superset.models.dashboard import Dashboard
    from superset.models.slice import Slice

    from superset import db

    if "chart" in declared:
        # Users may save charts of the same name.
        charts = (yaml.safe_load(path.read_text()) for path in (ASSETS / "charts").glob("*.yaml"))
        (uuid,) = (chart["uuid"] for chart in charts if chart["slice_name"] == declared["chart"])
        report.chart = db.session.query(Slice).filter_by(uuid=UUID(uuid)).one()
    else:
        report.dashboard = db.session.query(Dashboard).filter_by(slug=declared["dashboard"]).one()


def _say_when(report: Any, alert: dict[str, Any]) -> None:
    from superset.models.core import Database
    from superset.reports.models import ReportScheduleValidatorType

    from superset import db

    (word,) = OPERATORS.keys() & alert.keys()
    lake = yaml.safe_load((ASSETS / "databases" / "Lake.yaml").read_text())
    report.database = db.session.query(Database).filter_by(uuid=UUID(lake["uuid"])).one()
    report.sql = alert["sql"]
    report.validator_type = ReportScheduleValidatorType.OPERATOR
    report.validator_config_json = json.dumps({"op": OPERATORS[word], "threshold": alert[word]})
    report.grace_period = alert["quiet_minutes"] * 60
