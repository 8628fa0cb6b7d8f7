"""The chart on a real cluster: installed, used, hurt, upgraded, rolled back, uninstalled; in this order."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_string
from pathlib import Path

import pytest
import yaml

from jobs.settings import CHECKOUT
from tests.helm.conftest import CHART, tool
from tests.kubernetes import cluster as clusters
from tests.kubernetes.cluster import NAMESPACE, RELEASE, Cluster, eventually
from tests.kubernetes.traffic import Questions, Traffic, assert_exact
from tests.scale import scaled
from tests.stack.order_traffic import order_messages

EVENTS = scaled(small=20_000, full=100_000)
RATE = scaled(small=50, full=200)
FRESH = 5.0
"""Seconds within which an event must be on a dashboard."""
IMAGES = Path(os.environ.get("SLUICE_TEST_IMAGES") or CHECKOUT / ".sluice" / "images")
TAGS = tuple((os.environ.get("SLUICE_TEST_TAGS") or "dev,next").split(","))
VICTIMS = ("jobs-stream", "kafka", "postgresql", "redis", "superset-web")
EXECUTORS = ",".join(
    f"jobs.executors.{value}" for value in ("enabled=true", "instances=1", "cpuRequest=200m", "memory=1g")
)
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
def release() -> Iterator[Release]:
    """The dev profile, ready."""
    cluster = clusters.start()
    if "SLUICE_TEST_KUBECONFIG" not in os.environ:
        if not IMAGES.is_dir():
            pytest.skip(f"there are no images in {IMAGES}; `make images` makes them")
        clusters.load(IMAGES, TAGS)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    cluster.kubectl("apply", "--filename", "-", given=yaml.safe_dump(namespace))
    began = time.monotonic()
    cluster.helm("install", RELEASE, str(CHART), *options(TAGS[0]), "--wait", "--timeout", "15m")
    ready = time.monotonic() - began
    cluster.kubectl("apply", "--filename", "-", given=clusters.toolbox(options(TAGS[0])))
    cluster.kubectl("wait", "--for=condition=Ready", "pod/toolbox", "--timeout=2m")
    made = Release(cluster, Traffic(cluster), Questions(cluster), ready)
    yield made
    made.questions.end()
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


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
    for verb, arguments in (
        ("upgrade", (RELEASE, str(CHART), *options(TAGS[1]))),
        ("rollback", (RELEASE, "1")),
    ):
        began = time.monotonic()
        release.cluster.helm(verb, *arguments, "--wait", "--timeout", "15m")
        expected = TAGS[1] if verb == "upgrade" else TAGS[0]
        for component in ("jobs-stream", "superset-web"):
            (container,) = release.cluster.pod(component)["spec"]["containers"]
            assert container["image"].endswith(f":{expected}")
        eventually(lambda: is_fresh(release), what="gold is fresh again", seconds=300)
        print(f"\nhelm {verb}: fresh again after {time.monotonic() - began:.0f} s")


def test_a_job_is_sent_from_a_laptop(release: Release, tmp_path: Path) -> None:
    module = tmp_path / "count_records.py"
    module.write_text(COUNT_RECORDS)
    sent = sluice(release, "submit", "--follow", "--namespace", NAMESPACE, str(module), "bronze/events")
    assert int(re.findall(r"^(\d+) rows$", sent, re.M)[0]) >= EVENTS

    told = sluice(release, "submit", "--namespace", NAMESPACE, "refresh", "--every", "60")
    (endless,) = re.findall(r"Sent (\S+)\.", told)
    listed = sluice(release, "jobs", "list", "--namespace", NAMESPACE)
    assert "succeeded" in listed
    assert endless in listed
    sluice(release, "jobs", "stop", endless, "--namespace", NAMESPACE)
    assert endless not in sluice(release, "jobs", "list", "--namespace", NAMESPACE)


def test_executors_are_pods_by_one_value(release: Release) -> None:
    executors = ("--set", EXECUTORS, "--wait", "--timeout", "15m")
    release.cluster.helm("upgrade", RELEASE, str(CHART), *options(TAGS[0]), *executors)
    eventually(lambda: release.cluster.is_ready("executor"), what="there is an executor", seconds=120)
    eventually(lambda: is_fresh(release), what="gold is fresh by executors", seconds=300)
    ready, fresh = kill(release, "executor")
    print(f"\n| an executor | {ready:.0f} | {fresh:.0f} |")


def test_nothing_was_lost_or_doubled(release: Release) -> None:
    release.traffic.end()
    assert_exact(release.questions, release.traffic.ledger)


def test_a_report_is_mailed_from_inside(release: Release) -> None:
    # The mail sink's own copy: a Maildir.
    folder = "/var/lib/sluice/mail/new"

    def mails() -> list[str]:
        command = ("sh", "-c", f"ls {folder} || true")
        return release.cluster.kubectl("exec", "deployment/sluice-mail", "--", *command).split()

    release.cluster.kubectl("exec", "--stdin", "toolbox", "--", "python", "-", given=SCHEDULE)
    eventually(lambda: bool(mails()), what="a mail", seconds=300)
    mail = message_from_string(
        release.cluster.kubectl("exec", "deployment/sluice-mail", "--", "cat", f"{folder}/{mails()[0]}")
    )
    attached = [part.get_filename() for part in mail.walk() if part.get_filename()]
    assert attached
    print(f"\n{mail['Subject']!r} to {mail['To']}: {', '.join(attached)}")


def test_helm_test_passes(release: Release) -> None:
    assert "Succeeded" in release.cluster.helm("test", RELEASE, "--timeout", "5m")


def test_uninstall_leaves_the_volumes(release: Release) -> None:
    release.cluster.helm("uninstall", RELEASE, "--wait", "--timeout", "5m")
    claims = release.cluster.kubectl("get", "persistentvolumeclaims", "--output", "name").split()
    assert {claim.removeprefix("persistentvolumeclaim/") for claim in claims} == CLAIMS
    assert "secret/sluice" in release.cluster.kubectl("get", "secrets", "--output", "name")
    assert release.cluster.get("deployments") == []


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


COUNT_RECORDS = """
import sys
from deltalake import DeltaTable
from jobs.settings import settings
rows = DeltaTable(f"{settings().lake_url}/{sys.argv[1]}").to_pyarrow_dataset().count_rows()
print(f"{rows} rows")
"""

SCHEDULE = """
import json, os, requests
url = os.environ["SLUICE_SUPERSET_URL"] + "/api/v1/"
session = requests.Session()
user = json.loads(os.environ["SLUICE_SUPERSET_USERS"])["admin"]
login = session.post(url + "security/login", json={**user, "provider": "db"}, timeout=60).json()
session.headers["Authorization"] = "Bearer " + login["access_token"]
token = session.get(url + "security/csrf_token/", timeout=60).json()["result"]
session.headers.update({"X-CSRFToken": token, "Referer": url})
for report in session.get(url + "report/", timeout=60).json()["result"]:
    if report["name"].startswith("Best vendors"):
        session.put(url + f"report/{report['id']}", json={"crontab": "* * * * *"}, timeout=60).raise_for_status()
"""
