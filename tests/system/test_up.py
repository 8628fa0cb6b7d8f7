"""Up, down, and what happens when a process dies."""

import json
import smtplib
import stat
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from functools import partial
from http import HTTPStatus
from mailbox import Maildir
from types import ModuleType
from typing import Any

import pyarrow.compute as pc
import pytest
import requests

from jobs.datasets import DATASETS
from stack import cache, credentials, dashboard, metadata_database, supervision
from tests.stack.pipeline import eventually
from tests.system.conftest import System

SILVER = "silver/marketplace_orders"
PULSE = "gold/marketplace_pulse_by_second"
Ask = Callable[..., Any]


def events_in_gold(system: System) -> int:
    total: int = pc.sum(system.lake.table(PULSE, ["events"])["events"]).as_py() or 0
    return total


def restarts_in_status(system: System, name: str) -> int:
    status = json.loads(system.sluice("status", "--json"))
    return next(process["restarts"] for process in status["processes"] if process["name"] == name)


def test_everything_runs_and_every_chart_answers_the_generated_user(system: System):
    def runs() -> bool:
        return {process.state for process in supervision.observe(system.settings)} == {"RUNNING"}

    # What is scheduled counts as running after its first second.
    eventually(runs, what="everything runs", seconds=30)
    assert not any(process["restarts"] for process in json.loads(system.sluice("status", "--json"))["processes"])
    with dashboard.session(system.settings) as session:
        assert not dashboard.empty_charts(system.settings, session)


@pytest.fixture
def ask(system: System) -> Iterator[Ask]:
    """Asks Superset's API as the administrator."""
    api = f"{system.credentials['superset']['url']}/api/v1"
    with dashboard.session(system.settings) as session:

        def result_of(path: str, body: dict[str, Any] | None = None) -> Any:
            answer = session.request("POST" if body else "GET", f"{api}/{path}", json=body, timeout=60)
            assert answer.ok, answer.text
            return answer.json()["result"]

        yield result_of


def test_every_metric_of_every_dataset_is_a_figure(ask: Ask):
    datasets = ask("dataset/?q=(page_size:100)")
    assert {dataset["table_name"] for dataset in datasets} == {path.stem for path in DATASETS.glob("*.yaml")}
    for dataset in datasets:
        metrics = [metric["metric_name"] for metric in ask(f"dataset/{dataset['id']}")["metrics"]]
        source = {"id": dataset["id"], "type": "table"}
        (found,) = ask("chart/data", {"datasource": source, "queries": [{"metrics": metrics, "row_limit": 1}]})

        assert found["error"] is None, (dataset["table_name"], found["error"])
        assert set(found["data"][0]) == set(metrics)


def test_superset_sees_every_table_of_gold(system: System, ask: Ask):
    (lake,) = ask("database/")

    tables = ask(f"database/{lake['id']}/tables/?q=(force:!t,schema_name:gold)")

    assert {table["value"] for table in tables} == {
        table.name for table in system.settings.home.joinpath("lake", "gold").iterdir()
    }
    assert "travel_bookings_by_minute" in {table["value"] for table in tables}


def test_credentials_are_for_their_owner_only(system: System):
    assert stat.S_IMODE(credentials.path(system.settings).stat().st_mode) == 0o600


def test_a_second_up_starts_nothing_anew(system: System):
    before = {process.name: process.pid for process in supervision.observe(system.settings)}
    printed = system.sluice("up")
    assert {process.name: process.pid for process in supervision.observe(system.settings)} == before
    assert f"{system.credentials['superset']['url']}/superset/dashboard/" in printed
    assert system.credentials["superset"]["users"]["admin"]["password"] not in printed


@pytest.mark.parametrize("server", [cache, metadata_database], ids=lambda server: server.NAME)
def test_who_looks_at_figures_stays_logged_in_when_a_server_dies(system: System, server: ModuleType):
    with requests.Session() as viewer:
        dashboard.browser_session(system.settings, "analyst", viewer)
        system.kill(server.NAME)
        eventually(partial(answers, server, system), what=f"{server.NAME} answers", seconds=60)

        # Of more than one process and thread, each with connections of its own.
        found = {viewer.get(dashboard.api(system.settings, "me/"), timeout=60).status_code for _ in range(40)}

    assert found == {HTTPStatus.OK}
    assert restarts_in_status(system, server.NAME) == 1


def answers(server: ModuleType, system: System) -> bool:
    try:
        is_ready: bool = server.is_ready(system.settings)
    except OSError:
        return False
    return is_ready


def test_killed_jobs_are_restarted_and_go_on(system: System):
    system.kill("jobs")
    before = events_in_gold(system)
    eventually(lambda: events_in_gold(system) > before, what="gold grows again", seconds=240)
    assert restarts_in_status(system, "jobs") == 1


def test_the_mail_sink_keeps_a_mail(system: System):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = (
        "superset@localhost",
        "executive@localhost",
        "Report of today",
    )
    message.set_content("Sales are up.")
    with smtplib.SMTP("127.0.0.1", system.settings.mail_port) as client:
        client.send_message(message)
    kept = Maildir(system.credentials["mail"]["directory"])
    assert "Report of today" in [mail["Subject"] for mail in kept]


def test_logs_show_what_a_program_says(system: System):
    assert "Kafka Server started" in system.sluice("logs", "broker", "--lines", "100000")


def test_down_and_up_again_goes_on_where_it_stopped(system: System):
    password = system.credentials["superset"]["users"]["admin"]["password"]
    system.sluice("down")
    assert supervision.observe(system.settings) == []
    silver, gold = system.lake.count(SILVER), events_in_gold(system)
    assert gold == silver

    system.sluice("up")
    eventually(lambda: events_in_gold(system) > gold, what="gold grows again", seconds=240)
    assert system.credentials["superset"]["users"]["admin"]["password"] == password
    # Gold goes first.
    eventually(lambda: system.lake.count(SILVER) > silver, what="silver grows again", seconds=240)
    identifiers = system.lake.table(SILVER, ["event_id"])["event_id"]
    assert pc.count_distinct(identifiers).as_py() == len(identifiers)
