"""Trino serves gold in place of DuckDB: the same figures, fresh, and to each vendor no rows but their own."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import median
from typing import Any

import pytest

from tests.helm.tools import CHART
from tests.kubernetes import cluster as clusters
from tests.kubernetes import reports
from tests.kubernetes.cluster import RELEASE, TAGS, Cluster, eventually
from tests.kubernetes.traffic import CELL, Questions, Traffic, assert_exact
from tests.scale import scaled
from tests.stack.order_traffic import order_messages

EVENTS = scaled(small=20_000, full=100_000)
FRESH = 5.0
"""Seconds within which an event must be on a dashboard."""
VENDOR = "vendor-01"
SALES = "SELECT {} FROM gold.marketplace_sales_by_minute"
WITH = "trino.enabled=true"
WORKER = "trino.worker.replicas=1,trino.worker.heap=1g,trino.worker.resources.requests.cpu=100m"
QUESTION = SALES.format("vendor_id, SUM(gross) AS gross") + " GROUP BY 1"


@dataclass
class Release:
    """What is installed, with ways in."""

    cluster: Cluster
    traffic: Traffic
    questions: Questions

    def engine(self, name: str, *statements: str) -> list[dict[str, Any]]:
        """Ask Trino itself, as Superset does in the name of somebody: ``rows`` or ``error`` of each statement."""
        command = ("python", "-c", ENGINE, name, json.dumps(statements))
        pod = self.cluster.pod("superset-web")["metadata"]["name"]
        told = self.cluster.kubectl("exec", pod, "--container", "web", "--", *command)
        answers: list[dict[str, Any]] = json.loads(told.splitlines()[-1])
        return answers


def options(*values: str) -> tuple[str, ...]:
    """Options of helm: the dev profile without its demo traffic and schedules."""
    images = [f"image.{image}.tag={TAGS[0]}" for image in ("jobs", "superset", "trino")]
    tasks = [f"maintenance.tasks.{task}.suspend=true" for task in ("refresh", "validate", "reconcile", "maintain")]
    return (
        *("--values", str(CHART / "values-dev.yaml")),
        *("--set", ",".join(["demo.rate=0", *images, *tasks, *values])),
    )


@pytest.fixture(scope="module")
def release(cluster: Cluster) -> Iterator[Release]:
    """The dev profile with Trino, ready."""
    clusters.require_image("trino")
    own = replace(cluster, namespace="sluice-trino")
    own.make_namespace()
    began = time.monotonic()
    with_trino = options(WITH)
    own.helm("install", RELEASE, str(CHART), *with_trino, "--wait", "--timeout", "15m")
    print(f"\nReady {time.monotonic() - began:.0f} s after helm install.")
    own.kubectl("apply", "--filename", "-", given=clusters.toolbox(with_trino, own.namespace))
    own.kubectl("wait", "--for=condition=Ready", "pod/toolbox", "--timeout=2m")
    made = Release(own, Traffic(own), Questions(own))
    yield made
    made.questions.end()
    own.helm("uninstall", RELEASE, "--wait", "--timeout", "5m")
    own.remove_namespace()


def test_gold_is_exact_through_superset(release: Release) -> None:
    messages = order_messages(rate=EVENTS / 300, start=time.time() - 310)
    release.traffic.send(next(messages) for _ in range(EVENTS))
    assert_exact(release.questions, release.traffic.ledger)


def test_an_event_is_shown_within_seconds(release: Release) -> None:
    release.traffic.flow(50)

    def is_fresh() -> bool:
        age = release.questions.freshness()
        return age is not None and age < FRESH

    eventually(is_fresh, what="gold is fresh", seconds=120)
    # Not once by chance: every commit is seen.
    ages = [release.questions.freshness() or FRESH for _ in range(20)]
    print(f"\nAge of the newest event in gold: p50 {median(ages):.1f} s, most {max(ages):.1f} s.")
    assert median(ages) < FRESH
    release.traffic.end()
    assert_exact(release.questions, release.traffic.ledger)


def test_the_engine_shows_a_vendor_own_rows_only(release: Release) -> None:
    expected = [cell for key, cell in release.traffic.ledger.sales().items() if VENDOR in key]
    sums = ", ".join(f"CAST(SUM({name}) AS VARCHAR)" for name in CELL)
    statement = SALES.format(f"COUNT(*), COUNT(DISTINCT vendor_id), {sums}")

    (vendor, hidden, other, all_of_ops) = release.engine(
        VENDOR,
        statement,
        SALES.format("COUNT(*)") + " WHERE vendor_id <> current_user",
        "SELECT COUNT(*) FROM gold.marketplace_payments_by_minute",
        "SELECT COUNT(*) FROM ops.live_by_minute",
    )
    (staff,) = release.engine("staff:somebody", SALES.format("COUNT(DISTINCT vendor_id)"))

    found = dict(zip(("cells", "vendors", *CELL), vendor["rows"][0], strict=True))
    assert (found["cells"], found["vendors"]) == (len(expected), 1)
    assert {name: Decimal(found[name]) for name in CELL} == {
        name: sum(cell[name] for cell in expected) for name in CELL
    }
    assert hidden["rows"] == [[0]]
    assert "vendor_id" in other["error"]
    assert "Access Denied" in all_of_ops["error"]
    assert staff["rows"][0][0] > 1


def test_superset_asks_in_the_name_of_who_looks(release: Release) -> None:
    release.cluster.kubectl("create", "job", "refresh", "--from=cronjob/sluice-refresh")
    release.cluster.kubectl("wait", "job/refresh", "--for=condition=Complete", "--timeout=8m")

    told = release.cluster.kubectl("exec", "--stdin", "toolbox", "--", "python", "-", given=CHARTS)
    seen = json.loads(told.splitlines()[-1])

    # Of marts and of views.
    assert {"Sales per minute", "Sales of the week"} <= seen.keys()
    for chart, vendors in seen.items():
        assert len(vendors["admin"]) > 1, chart
        assert vendors["vendor"] == [VENDOR], chart


def test_a_vendor_gets_a_report(release: Release) -> None:
    reports.send(release.cluster, "Your week")
    eventually(lambda: bool(reports.received(release.cluster)), what="a report by mail", seconds=300)
    (mail,) = reports.received(release.cluster)
    assert VENDOR in mail["To"]
    assert reports.attached(mail)


@pytest.mark.parametrize("name", ["staff:admin", VENDOR, "registrar", "superset", "(nobody)"])
def test_nobody_writes_or_reads_below_gold(release: Release, name: str) -> None:
    statements = [
        "SELECT * FROM bronze.events",
        "SELECT * FROM registry.gold.marketplace_sales_by_minute",
        "SELECT * FROM system.runtime.queries",
        "SELECT * FROM TABLE(lake.system.table_changes('gold', 'marketplace_sales_by_minute', 0))",
        "INSERT INTO gold.marketplace_sales_by_minute (orders) VALUES (1)",
        "DELETE FROM gold.marketplace_sales_by_minute",
        "DROP TABLE gold.marketplace_sales_by_minute",
        "CREATE TABLE gold.stolen AS SELECT 1 AS one",
        "CREATE SCHEMA lake.bronze WITH (location = 'local:///lake/bronze')",
        "CALL registry.system.register_table('gold', 'stolen', 'local:///lake/bronze/events')",
        "CALL lake.system.vacuum('gold', 'marketplace_sales_by_minute', '7d')",
        "SET SESSION query_max_run_time = '1h'",
    ]
    for statement, answer in zip(statements, release.engine(name, *statements), strict=True):
        assert "error" in answer, statement


def test_how_long_answers_take(release: Release) -> None:
    seconds = []
    for _ in range(20):
        began = time.monotonic()
        assert release.questions.ask(QUESTION)
        seconds.append(time.monotonic() - began)
    print(f"\nA sum over {EVENTS:,} events' gold, in SQL Lab: p50 {median(seconds):.2f} s, most {max(seconds):.2f} s.")


def test_workers_take_over(release: Release) -> None:
    began = time.monotonic()
    release.cluster.helm("upgrade", RELEASE, str(CHART), *options(WITH, WORKER), "--wait", "--timeout", "15m")
    print(f"\nA coordinator with a worker was ready after {time.monotonic() - began:.0f} s.")

    # The coordinator computes nothing any more.
    eventually(lambda: bool(release.questions.counts()), what="Superset answers", seconds=120)
    assert_exact(release.questions, release.traffic.ledger)


def test_duckdb_says_the_same_after_an_upgrade(release: Release) -> None:
    release.cluster.helm("upgrade", RELEASE, str(CHART), *options(), "--wait", "--timeout", "15m")

    assert not release.cluster.get("deployments", f"{clusters.SELECTOR},app.kubernetes.io/component=trino")
    eventually(lambda: bool(release.questions.counts()), what="Superset answers", seconds=120)
    assert_exact(release.questions, release.traffic.ledger)


ENGINE = """
import json, sys
import trino
import trino_connection

address = trino_connection.urlsplit(trino_connection.ADDRESS)
name, statements = sys.argv[1], json.loads(sys.argv[2])
connection = trino.dbapi.connect(
    host=address.hostname, port=address.port, catalog="lake", **trino_connection.arguments(name)
)

def ask(statement):
    try:
        return {"rows": connection.cursor().execute(statement).fetchall()}
    except trino.exceptions.Error as error:
        return {"error": str(error)}

print(json.dumps([ask(statement) for statement in statements], default=str))
"""
CHARTS = """
import json, os, requests

def login(role):
    session = requests.Session()
    user = json.loads(os.environ["SLUICE_SUPERSET_USERS"])[role]
    token = session.post(API + "security/login", json={**user, "provider": "db"}, timeout=60).json()["access_token"]
    session.headers["Authorization"] = "Bearer " + token
    csrf = session.get(API + "security/csrf_token/", timeout=60).json()["result"]
    session.headers.update({"X-CSRFToken": csrf, "Referer": API})
    return session

def vendors(session, chart):
    query = {"columns": ["vendor_id"], "metrics": [], "row_limit": 1000}
    source = {"id": int(chart["form_data"]["datasource"].split("__")[0]), "type": "table"}
    form = {"dashboardId": board, "slice_id": chart["id"]}
    asked = {"datasource": source, "queries": [query], "form_data": form}
    answer = session.post(API + "chart/data", json=asked, timeout=60)
    answer.raise_for_status()
    return [row["vendor_id"] for row in answer.json()["result"][0]["data"]]

API = os.environ["SLUICE_SUPERSET_URL"] + "/api/v1/"
admin, vendor = login("admin"), login("vendor")
(found,) = vendor.get(API + "dashboard/?q=(page_size:100)", timeout=60).json()["result"]
board = found["id"]
charts = vendor.get(API + f"dashboard/{board}/charts", timeout=60).json()["result"]
# An administrator sees all, and leaves the answer in the cache.
seen = {c["slice_name"]: {"admin": vendors(admin, c), "vendor": vendors(vendor, c)} for c in charts}
print(json.dumps({name: rows for name, rows in seen.items() if rows["admin"]}))
"""
