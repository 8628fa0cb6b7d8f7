"""The lake of a release in an S3-compatible store, which this machine has; the cluster's pods reach it."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helm.tools import CHART
from tests.kubernetes import cluster as clusters
from tests.kubernetes.cluster import RELEASE, TAGS, Cluster
from tests.kubernetes.traffic import Questions, Traffic, assert_exact
from tests.object_store import BUCKET, object_store
from tests.scale import scaled
from tests.stack.order_traffic import order_messages

HOST = "10.245.0.1"
EVENTS = scaled(small=5_000, full=100_000)


@pytest.fixture(params=["duckdb", "trino"])
def released(cluster: Cluster, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The dev profile in a namespace of its own, with its lake in a bucket, read by either engine."""
    if not cluster.kubeconfig.is_relative_to(clusters.CACHE):
        pytest.skip("needs the cluster of this machine, whose pods reach a store on it")
    with_trino = request.param == "trino"
    if with_trino:
        clusters.require_image("trino")
    own = replace(cluster, namespace=f"sluice-bucket-{request.param}")
    own.make_namespace()
    with object_store(tmp_path, host=HOST) as variables:
        keys = [
            f"--from-literal=access-key-id={variables['AWS_ACCESS_KEY_ID']}",
            f"--from-literal=secret-access-key={variables['AWS_SECRET_ACCESS_KEY']}",
        ]
        own.kubectl("create", "secret", "generic", "keys", *keys)
        values = {
            "demo.rate": "0",
            "image.jobs.tag": TAGS[0],
            "image.superset.tag": TAGS[0],
            "image.trino.tag": TAGS[0],
            "trino.enabled": str(with_trino).lower(),
            "lake.url": f"s3://{BUCKET}/lake",
            "lake.objectStore.endpoint": variables["AWS_ENDPOINT_URL"],
            "lake.objectStore.secret": "keys",
        }
        tasks = ("refresh", "validate", "reconcile", "maintain")
        values |= {f"maintenance.tasks.{task}.suspend": "true" for task in tasks}
        said = ",".join(f"{name}={value}" for name, value in values.items())
        options = ("--values", str(CHART / "values-dev.yaml"), "--set", said)
        own.helm("install", RELEASE, str(CHART), *options, "--wait", "--timeout", "15m")
        own.kubectl("apply", "--filename", "-", given=clusters.toolbox(options, own.namespace))
        own.kubectl("wait", "--for=condition=Ready", "pod/toolbox", "--timeout=2m")
        yield own
        own.helm("uninstall", RELEASE, "--wait", "--timeout", "5m")
        own.remove_namespace()


def test_gold_in_an_object_store_is_exact_through_superset(released: Cluster) -> None:
    traffic, questions = Traffic(released), Questions(released)
    messages = order_messages(rate=EVENTS / 300, start=time.time() - 310)
    traffic.send(next(messages) for _ in range(EVENTS))
    assert_exact(questions, traffic.ledger)
    traffic.end()
    questions.end()

    claims = released.kubectl("get", "persistentvolumeclaims", "--output", "name")
    assert "lake" not in claims
    for task in ("maintain", "reconcile"):
        released.kubectl("create", "job", task, f"--from=cronjob/sluice-{task}")
        released.kubectl("wait", f"job/{task}", "--for=condition=Complete", "--timeout=8m")
