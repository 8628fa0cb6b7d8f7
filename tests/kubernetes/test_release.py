"""The chart on a real cluster: installed, used, hurt, upgraded, rolled back, uninstalled; in this order."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from jobs.settings import CHECKOUT
from tests.helm.tools import CHART, tool
from tests.kubernetes import cluster as clusters
from tests.kubernetes import reports
from tests.kubernetes.cluster import NAMESPACE, RELEASE, TAGS, Cluster, eventually
from tests.kubernetes.traffic import Questions, Traffic, assert_exact
from tests.scale import scaled
from tests.stack.order_traffic import order_messages

EVENTS = scaled(small=20_000, full=100_000)
RATE = scaled(small=50, full=200)
FRESH = 5.0
"""Seconds within which an event must be on a dashboard."""
VICTIMS = ("jobs-stream", "kafka", "postgresql", "redis", "superset-web")
EXECUTORS = ",".join(
    f"jobs.executors.{value}" for value in ("enabled=true", "instances=1", "cpuRequest=200m", "memory=1g")
)
EXAMPLE = CHECKOUT / "docs" / "examples" / "orders_by_country.py"
DRIVER = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=jobs-stream"
APART: dict[str, dict[str, list[str]] | None] = {
    "stream": None,
    "bronze": {"args": ["run", "bronze"]},
    "marketplace": {"args": ["run", "live", "--domain", "marketplace"]},
    "travel": {"args": ["run", "live", "--domain", "travel"]},
}
SMALL = "jobs.driverMemory=1g,jobs.resources.requests.cpu=150m,jobs.resources.requests.memory=1Gi"
CLAIMS = {"sluice-lake", "data-sluice-kafka-0", "data-sluice-postgresql-0", "data-sluice-redis-0"}


def options(tag: str) -> tuple[str, ...]:
    """Options of helm: the dev profile without its demo traffic, and without schedules, which would blur the times."""
    values = ["demo.rate=0", f"image.jobs.tag={tag}", f"image.superset.tag={tag}"]
    values += [f"maintenance.tasks.{task}.suspend=true" for task in ("refresh", "validate", "reconcile")]
    return ("--values", str(CHART / "values-dev.yaml"), "--set", ",".join(values))


@dataclass
class Release:
    """What is installed, with ways in."""

    cluster: Cluster
    traffic: Traffic
    questions: Questions
    seconds: float


@pytest.fixture(scope="module")
def release(cluster: Cluster) -> Iterator[Release]:
    """The dev profile, ready."""
    cluster.make_namespace()
    began = time.monotonic()
    cluster.helm("install", RELEASE, str(CHART), *options(TAGS[0]), "--wait", "--timeout", "15m")
    ready = time.monotonic() - began
    cluster.kubectl("apply", "--filename", "-", given=clusters.toolbox(options(TAGS[0])))
    cluster.kubectl("wait", "--for=condition=Ready", "pod/toolbox", "--timeout=2m")
    made = Release(cluster, Traffic(cluster), Questions(cluster), ready)
    yield made
    made.questions.end()
    cluster.remove_namespace()


def test_gold_is_exact_through_superset(release: Release) -> None:
    began = time.monotonic()
    messages = order_messages(rate=EVENTS / 300, start=time.time() - 310)
    release.traffic.send(next(messages) for _ in range(EVENTS))
    assert_exact(release.questions, release.traffic.ledger)

    print(f"\nReady {release.seconds:.0f} s after helm install.")
    print(f"{EVENTS:,} events are exact in Superset {time.monotonic() - began:.0f} s after the first was sent.")


def test_pods_die_one_after_the_other(release: Release) -> None:
    release.traffic.flow(RATE)
    eventually(lambda: is_fresh(release), what="gold is fresh under load", seconds=120)
    rows = [(victim, *kill(release, victim)) for victim in VICTIMS]

    print("\n| killed | another is ready, s | events on dashboards within 5 s again, s |\n| --- | --- | --- |")
    for victim, ready, fresh in rows:
        print(f"| {victim} | {ready:.0f} | {fresh:.0f} |")


def kill(release: Release, victim: str) -> tuple[float, float]:
    """Kill a component's pod; the seconds until another is ready, and until events are on dashboards in time again."""
    pod = release.cluster.pod(victim)["metadata"]
    killed = time.monotonic()
    release.cluster.kubectl("delete", "pod", pod["name"], "--grace-period=0", "--force")
    eventually(lambda: release.cluster.is_ready(victim, other_than=pod["uid"]), what=f"{victim} is ready", seconds=300)
    ready = time.monotonic() - killed
    eventually(lambda: is_fresh(release), what=f"gold is fresh without {victim}", seconds=300)
    return ready, time.monotonic() - killed


def test_an_upgrade_and_a_rollback_lose_nothing(release: Release) -> None:
    steps = {"upgrade": (TAGS[1], RELEASE, str(CHART), *options(TAGS[1])), "rollback": (TAGS[0], RELEASE, "1")}
    for verb, (tag, *arguments) in steps.items():
        began = time.monotonic()
        change = partial(release.cluster.helm, verb, *arguments, "--wait", "--timeout", "15m")
        oldest = watched(release, change)
        for component in ("jobs-stream", "superset-web"):
            (container,) = release.cluster.pod(component)["spec"]["containers"]
            assert container["image"].endswith(f":{tag}")
        eventually(lambda: is_fresh(release), what="gold is fresh again", seconds=300)
        took = time.monotonic() - began
        print(f"\nhelm {verb}: all pods anew after {took:.0f} s; dashboards were {oldest:.0f} s behind at most.")


def watched(release: Release, work: Callable[[], object]) -> float:
    """Do something while Superset is asked for the age of the newest event in gold; returns the highest."""
    oldest = 0.0
    with ThreadPoolExecutor(1) as thread:
        doing = thread.submit(work)
        while not doing.done():
            oldest = max(oldest, release.questions.freshness() or 0.0)
            time.sleep(1)
        doing.result()
    return oldest


def test_a_job_is_sent_from_a_laptop(release: Release) -> None:
    before = placed(release)
    sent = sluice(release, "submit", "--follow", "--namespace", NAMESPACE, str(EXAMPLE), "2000-01-01")
    counted = sum(int(count) for count in re.findall(r"^[A-Z]{2}: (\d+)$", sent, re.M))
    assert 0 < before <= counted <= placed(release)

    told = sluice(release, "submit", "--namespace", NAMESPACE, "refresh", "--every", "60")
    (endless,) = re.findall(r"Sent (\S+)\.", told)
    listed = sluice(release, "jobs", "list", "--namespace", NAMESPACE)
    assert "succeeded" in listed
    assert endless in listed
    sluice(release, "jobs", "stop", endless, "--namespace", NAMESPACE)
    assert endless not in sluice(release, "jobs", "list", "--namespace", NAMESPACE)


def placed(release: Release) -> int:
    """Orders placed so far, by the ledger."""
    events = list(release.traffic.ledger.events.values())
    return sum(event["event_type"] == "placed" for event in events)


def test_executors_are_pods_by_one_value(release: Release) -> None:
    release.traffic.flow(RATE)
    executors = ("--set", EXECUTORS, "--wait", "--timeout", "15m")
    release.cluster.helm("upgrade", RELEASE, str(CHART), *options(TAGS[0]), *executors)
    eventually(lambda: release.cluster.is_ready("executor"), what="there is an executor", seconds=120)
    eventually(lambda: is_fresh(release), what="gold is fresh by executors", seconds=300)
    ready, fresh = kill(release, "executor")
    print(f"\n| an executor | {ready:.0f} | {fresh:.0f} |")


def test_a_driver_that_stands_still_is_started_anew(release: Release) -> None:
    release.traffic.flow(RATE)
    patient = ("--set", "jobs.alive.within=30,jobs.terminationGracePeriodSeconds=30", "--wait", "--timeout", "15m")
    release.cluster.helm("upgrade", RELEASE, str(CHART), *options(TAGS[0]), *patient)
    eventually(lambda: is_fresh(release), what="gold is fresh", seconds=300)
    driver = release.cluster.pod("jobs-stream")["metadata"]["name"]

    # The process is there, and so are its threads: only nothing happens any more.
    release.cluster.kubectl("exec", driver, "--", "pkill", "-STOP", "java")

    def is_another() -> bool:
        (status,) = release.cluster.pod("jobs-stream")["status"]["containerStatuses"]
        return int(status["restartCount"]) > 0

    noticed = eventually(is_another, what="the driver is started anew", seconds=400)
    fresh = eventually(lambda: is_fresh(release), what="gold is fresh again", seconds=300)
    print(f"\nA driver that stood still was started anew after {noticed:.0f} s; gold was fresh {fresh:.0f} s later.")


def test_a_driver_per_query_counts_alike(release: Release) -> None:
    release.traffic.flow(RATE)
    release.cluster.kubectl("scale", "deployment/sluice-jobs-stream", "--replicas=0")
    release.cluster.kubectl("wait", "pod", "--selector", DRIVER, "--for=delete", "--timeout=3m")

    apart = ("--set-json", f"jobs.drivers={json.dumps(APART)}", "--set", SMALL, "--wait", "--timeout", "15m")
    release.cluster.helm("upgrade", RELEASE, str(CHART), *options(TAGS[0]), *apart)

    eventually(lambda: is_fresh(release), what="gold is fresh by drivers of their own", seconds=300)
    assert {name for name in APART if release.cluster.is_ready(f"jobs-{name}")} == APART.keys() - {"stream"}


def test_nothing_was_lost_or_doubled(release: Release) -> None:
    release.traffic.end()
    assert_exact(release.questions, release.traffic.ledger)


def test_a_report_is_mailed_from_inside(release: Release) -> None:
    reports.send(release.cluster, "Best vendors")
    eventually(lambda: bool(reports.received(release.cluster)), what="a report by mail", seconds=300)
    (mail,) = reports.received(release.cluster)
    assert reports.attached(mail)
    print(f"\n{mail['Subject']!r} to {mail['To']}: {', '.join(reports.attached(mail))}")


@pytest.mark.parametrize("task", ["refresh", "maintain", "validate", "reconcile"])
def test_what_is_scheduled_runs(release: Release, task: str) -> None:
    release.cluster.kubectl("create", "job", task, f"--from=cronjob/sluice-{task}")

    release.cluster.kubectl("wait", f"job/{task}", "--for=condition=Complete", "--timeout=8m")

    print(f"\n{release.cluster.kubectl('logs', f'job/{task}', '--tail', '2').strip()}")


def test_metadata_come_back_from_a_backup(release: Release) -> None:
    def sql(*command: str, given: str | None = None) -> str:
        secret = 'go-template={{index .data "postgresql-password" | base64decode}}'
        password = release.cluster.kubectl("get", "secret", RELEASE, "--output", secret)
        server = ("exec", "--stdin", "sluice-postgresql-0", "--container", "postgresql", "--", "env")
        login = (f"PGPASSWORD={password}", command[0], "--host", "127.0.0.1", "--username", "superset")
        return release.cluster.kubectl(*server, *login, *command[1:], "postgres", given=given)

    count = ("psql", "--tuples-only", "--no-align", "--command", "SELECT COUNT(*) FROM slices")
    charts = int(sql(*count))
    assert charts > 0
    backup = sql("pg_dump", "--clean", "--if-exists")
    processes = [f"deployment/sluice-superset{part}" for part in ("", "-worker", "-beat")]
    release.cluster.kubectl("scale", *processes, "--replicas=0")
    sql("psql", "--command", "TRUNCATE slices CASCADE")
    assert int(sql(*count)) == 0

    sql("psql", "--quiet", "--single-transaction", "--set", "ON_ERROR_STOP=1", given=backup)

    assert int(sql(*count)) == charts
    release.cluster.helm("upgrade", RELEASE, str(CHART), *options(TAGS[0]), "--wait", "--timeout", "15m")


def test_helm_test_passes(release: Release) -> None:
    assert "Succeeded" in release.cluster.helm("test", RELEASE, "--timeout", "5m")


def test_uninstall_leaves_the_volumes(release: Release) -> None:
    release.cluster.helm("uninstall", RELEASE, "--wait", "--timeout", "5m")
    claims = release.cluster.kubectl("get", "persistentvolumeclaims", "--output", "name").split()
    assert {claim.removeprefix("persistentvolumeclaim/") for claim in claims} == CLAIMS
    assert "secret/sluice" in release.cluster.kubectl("get", "secrets", "--output", "name")
    assert release.cluster.get("deployments") == []


def test_a_new_release_goes_on_with_the_volumes(release: Release) -> None:
    release.cluster.helm("install", RELEASE, str(CHART), *options(TAGS[0]), "--wait", "--timeout", "15m")

    # Superset is another, which has to be asked for a token first.
    eventually(lambda: bool(release.questions.counts()), what="Superset answers", seconds=120)
    # One record came from the chart's own test.
    counts = release.questions.counts()
    assert counts["accepted"] == len(release.traffic.ledger.events)
    release.cluster.helm("test", RELEASE, "--timeout", "5m")
    eventually(
        lambda: release.questions.counts()["refused"] > counts["refused"], what="another record is refused", seconds=60
    )


def sluice(release: Release, *arguments: str) -> str:
    """Run the command line on this machine; returns its output, fails unless it ends with 0."""
    kubectl = Path(tool("kubectl")).parent
    environment = {"KUBECONFIG": str(release.cluster.kubeconfig), "PATH": f"{kubectl}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "jobs.cli", *arguments]
    finished = subprocess.run(
        command, cwd=CHECKOUT, env=os.environ | environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert finished.returncode == 0, finished.stdout
    return finished.stdout


def is_fresh(release: Release) -> bool:
    """Whether the newest event in gold is younger than five seconds, by Superset."""
    age = release.questions.freshness()
    return age is not None and age < FRESH
