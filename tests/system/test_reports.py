"""Reports and alerts, as they arrive in a mailbox."""

import csv
import datetime as dt
import io
import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from email.message import Message
from mailbox import Maildir
from typing import Any

import pyarrow.compute as pc
import pytest
from pypdf import PdfReader

from bench.browser import is_installed
from stack import dashboard, environments, superset_server
from stack.supervision import variables_of
from tests.stack.pipeline import eventually
from tests.system.conftest import System

pytestmark = [
    pytest.mark.skipif(not is_installed(), reason="there is no Chromium"),
    pytest.mark.usefixtures("views"),
]

NOW = {"crontab": "* * * * *"}
SALES = "gold/marketplace_sales_by_minute"


@pytest.fixture(scope="module")
def reports(system: System) -> Iterator["Reports"]:
    with Reports(system) as found:
        yield found


class Reports:
    """The schedules of an installation, and the mails that came of them."""

    def __init__(self, system: System) -> None:
        self._address = f"{system.credentials['superset']['url']}/api/v1/report/"
        self._mails = Maildir(system.credentials["mail"]["directory"])
        self._earlier = {*self._mails.keys()}
        self._session = dashboard.session(system.settings)
        token = self._session.get(self._address.replace("report/", "security/csrf_token/"), timeout=60).json()
        self._session.headers.update({"X-CSRFToken": token["result"], "Referer": self._address})

    def __enter__(self) -> "Reports":
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    @contextmanager
    def changed(self, changes: dict[str, dict[str, Any]]) -> Iterator[None]:
        """Other schedules or conditions, by the report's name, until the end."""
        known = {report["name"]: report for report in self.all()}
        before = {name: self._known(known[name], changes[name]) for name in changes}
        try:
            for name, change in changes.items():
                self._put(known[name], change)
            yield
        finally:
            for name, change in before.items():
                self._put(known[name], change)

    def all(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._session.get(self._address, timeout=60).json()["result"]
        return found

    def mails(self, subject: str, to: str, *, earlier: bool = False) -> list[Message]:
        """Those that arrived since the tests began, or those before."""
        arrived = [mail for key, mail in self._mails.items() if (key in self._earlier) == earlier]
        return [mail for mail in arrived if subject in mail["Subject"] and to in mail["To"]]

    def mail(self, subject: str, to: str) -> Message:
        """The first mail, as soon as it is there."""
        eventually(lambda: bool(self.mails(subject, to)), what=f"a mail {subject!r} to {to}", seconds=300)
        return self.mails(subject, to)[0]

    def _known(self, report: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
        detail = self._session.get(f"{self._address}{report['id']}", timeout=60).json()["result"]
        # The API gives a condition as text, and takes it as an object.
        return {key: json.loads(detail[key]) if key.endswith("_json") else detail[key] for key in keys}

    def _put(self, report: dict[str, Any], change: dict[str, Any]) -> None:
        answer = self._session.put(f"{self._address}{report['id']}", json=change, timeout=60)
        assert answer.ok, answer.text


def parts(mail: Message, kind: str) -> list[bytes]:
    return [bytes(part.get_payload(decode=True)) for part in mail.walk() if part.get_content_type() == kind]


def text_of(mail: Message) -> str:
    """The text of the only page of the PDF in a mail."""
    (pdf,) = parts(mail, "application/pdf") or parts(mail, "application/octet-stream")
    (page,) = PdfReader(io.BytesIO(pdf)).pages
    return page.extract_text()


def orders(system: System) -> int:
    return int(pc.sum(system.lake.table(SALES, ["orders"])["orders"]).as_py())


@pytest.fixture(scope="module")
def vendor(system: System) -> str:
    username: str = system.credentials["superset"]["users"]["vendor"]["username"]
    return username


@pytest.fixture(scope="module")
def least(system: System) -> int:
    """Orders before any report is made."""
    return orders(system)


@pytest.fixture(scope="module")
def mails(reports: Reports, vendor: str, least: int) -> dict[str, Message]:
    """Every report and an alert, all due in the next minute."""
    # Whatever it told of before, it may tell again.
    fires = {"validator_config_json": {"op": "<", "threshold": 1e9}, "grace_period": 1}
    daily, weekly, own, alert = "Executive overview, daily", "Best vendors, weekly", "Your week, weekly", "No orders"
    due = {f"{daily} (executive)": NOW, f"{weekly} (executive)": NOW, f"{own} ({vendor})": NOW}
    with reports.changed({**due, f"{alert} (admin)": fires}):
        return {
            "overview": reports.mail(daily, "executive@"),
            "table": reports.mail(weekly, "executive@"),
            "own": reports.mail(own, f"{vendor}@"),
            "alert": reports.mail(alert, "admin@"),
        }


def test_an_executive_gets_the_dashboard_as_pdf_and_picture(
    system: System, mails: dict[str, Message], least: int
) -> None:
    found = re.search(r"Orders of the day\s+last 24 hours\s+([\d,]+)", text_of(mails["overview"]))

    assert found
    assert least <= int(found[1].replace(",", "")) <= orders(system)
    (picture,) = parts(mails["overview"], "image/png")
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 50_000


def test_an_executive_gets_a_table_as_csv(mails: dict[str, Message], vendor: str) -> None:
    (text,) = parts(mails["table"], "text/csv") or parts(mails["table"], "application/octet-stream")

    rows = list(csv.reader(io.StringIO(text.decode())))
    assert len(rows) > 2
    assert any(vendor in row for row in rows)


def test_a_vendor_gets_own_rows_only(system: System, mails: dict[str, Message], vendor: str) -> None:
    text = text_of(mails["own"])

    vendors = system.lake.table("gold/marketplace_vendors_now", ["vendor_id", "monthly_goal"]).to_pylist()
    (goal,) = (row["monthly_goal"] for row in vendors if row["vendor_id"] == vendor)
    assert set(re.findall(r"vendor-\d+", text)) == {vendor}
    assert f"{goal:,.0f}" in text


def test_an_alert_comes_when_it_should_and_not_when_it_should_not(reports: Reports, mails: dict[str, Message]) -> None:
    states = {report["name"]: report["last_state"] for report in reports.all()}

    assert "No order was placed" in parts(mails["alert"], "text/html")[0].decode()
    assert states["Payments fail (admin)"] == "Not triggered"
    assert not reports.mails("Payments fail", "admin@")
    # Not even while the system started, and worked through an hour of history.
    assert not reports.mails("No orders", "admin@", earlier=True)


def overdue(system: System, now: dt.datetime) -> str:
    """What the watchdog tells of at some time."""
    script = (
        "import sys; from superset.app import create_app\n"
        "with create_app().app_context():\n"
        "    import report_watchdog; print('overdue', report_watchdog.watch(sys.argv[1]))"
    )
    python = environments.directory("superset", system.settings.cache) / "bin" / "python"
    variables = os.environ | variables_of(system.settings) | superset_server.environment(system.settings)
    command = [python, "-c", script, now.isoformat()]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout


def test_the_watchdog_tells_of_a_report_that_did_not_go_out(system: System, reports: Reports) -> None:
    at_seven = dt.datetime.now(dt.UTC).replace(hour=7, minute=0, second=0, microsecond=0) + dt.timedelta(days=1)
    noon = at_seven + dt.timedelta(hours=5)

    outputs = [overdue(system, noon) for _ in range(2)]

    assert "Executive overview, daily (executive)" in outputs[0]
    # Once is enough.
    assert "Executive overview, daily" not in outputs[1]
    mail = reports.mail("[Overdue] Executive overview, daily (executive)", "admin@")
    assert "was due at" in parts(mail, "text/html")[0].decode()


def test_a_report_is_not_overdue_for_a_schedule_that_it_did_not_have(system: System, reports: Reports) -> None:
    name, now = "Best vendors, weekly (executive)", dt.datetime.now(dt.UTC)
    earlier = now - dt.timedelta(minutes=2)

    with reports.changed({name: {"crontab": f"{earlier.minute} {earlier.hour} * * *", "timezone": "Etc/UTC"}}):
        # After ten minutes of grace, it would be; tomorrow it is.
        after_grace = now + dt.timedelta(minutes=9)
        assert name not in overdue(system, after_grace)
        assert name in overdue(system, after_grace + dt.timedelta(days=1))
