"""Three brokers, each a controller too, of which one may be lost."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.helm.tools import CHART, run
from tests.kubernetes import cluster as clusters
from tests.kubernetes.cluster import RELEASE, TAGS, Cluster, eventually
from tests.kubernetes.traffic import IN_POD, TOPIC

OPTIONS = ("--set", f"kafka.replicas=3,image.jobs.tag={TAGS[0]},kafka.size=1Gi,networkPolicies.enabled=false")
SHOWN = ("secrets/secret", "kafka/service", "kafka/statefulset")
MESSAGES = 200


@pytest.fixture
def quorum(cluster: Cluster) -> Iterator[Cluster]:
    """A namespace with three brokers and a toolbox."""
    own = replace(cluster, namespace="sluice-quorum")
    own.make_namespace()
    show = [part for name in SHOWN for part in ("--show-only", f"templates/{name}.yaml")]
    manifests = run("helm", "template", RELEASE, str(CHART), "--namespace", own.namespace, *OPTIONS, *show)
    own.kubectl("apply", "--filename", "-", given=manifests)
    own.kubectl("apply", "--filename", "-", given=clusters.toolbox(OPTIONS, own.namespace))
    own.kubectl("rollout", "status", "statefulset/sluice-kafka", "--timeout=5m")
    own.kubectl("wait", "--for=condition=Ready", "pod/toolbox", "--timeout=2m")
    yield own
    own.remove_namespace()


def send(quorum: Cluster) -> int:
    """Send messages that all copies in sync must have; returns how many were taken."""
    lines = "".join(f"{json.dumps([str(number), 'x'])}\n" for number in range(MESSAGES))
    told = quorum.kubectl("exec", "--stdin", "toolbox", "--", "python", "-c", IN_POD, "send", TOPIC, given=lines)
    return int(told.split()[-1])


def test_three_brokers_lose_one_and_take_records_all_the_same(quorum: Cluster) -> None:
    assert f"created {TOPIC}" in quorum.kubectl("exec", "toolbox", "--", "sluice", "topics")
    assert send(quorum) == MESSAGES

    lost = quorum.pod("kafka")["metadata"]
    quorum.kubectl("delete", "pod", lost["name"], "--grace-period=0", "--force")
    assert send(quorum) == MESSAGES

    def is_back() -> bool:
        return quorum.is_ready("kafka", other_than=lost["uid"])

    seconds = eventually(is_back, what="the lost broker is back", seconds=120)
    print(f"\nThe lost broker of three was back after {seconds:.0f} s; nothing waited for it.")
