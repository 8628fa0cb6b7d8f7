"""The chart is right by every judge that needs no pods: helm, its unit tests, the schemas, and a real API server."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.tools import CACHE, CHART, CLUSTER, FOREIGN, PROFILES, rendered, run, tool

KUBECONFIG = CACHE / "run" / "kubeconfig"
DEV_CPU, DEV_MEMORY = 2.0, 8 * 2**30
UNITS = {"m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob", "Pod")


def documents(profile: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(rendered(profile)) if document]


def pod(document: dict[str, Any]) -> dict[str, Any]:
    """The pod's spec of a workload."""
    if document["kind"] == "Pod":
        return document["spec"]
    spec = document["spec"]["jobTemplate"]["spec"] if document["kind"] == "CronJob" else document["spec"]
    return spec["template"]["spec"]


def quantity(text: str) -> float:
    for unit, factor in UNITS.items():
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    return float(text)


@pytest.fixture(scope="module")
def api_server() -> Iterator[None]:
    """A real control plane on this machine, unless one runs already."""
    if not (CACHE / "bin" / "hyper").exists():
        pytest.skip("there is no control plane; `../shared/cluster/cluster build` makes it")
    runs = subprocess.run([CLUSTER, "status"], capture_output=True).returncode == 0
    if not runs:
        subprocess.run([CLUSTER, "control"], check=True, capture_output=True)
    yield
    if not runs:
        subprocess.run([CLUSTER, "down"], check=True, capture_output=True)


@pytest.mark.parametrize("profile", PROFILES)
def test_helm_finds_nothing_wrong(profile: str) -> None:
    run("helm", "lint", "--strict", str(CHART), *PROFILES[profile])


def test_every_template_does_what_its_tests_say() -> None:
    report = run("helm-unittest", "--file", "tests/**/*_test.yaml", str(CHART))

    tested = {path.relative_to(CHART / "tests") for path in (CHART / "tests").rglob("*_test.yaml")}
    templates = {path.relative_to(CHART / "templates") for path in (CHART / "templates").rglob("*.yaml")}
    assert {path.with_name(f"{path.stem}_test.yaml") for path in templates} <= tested
    assert re.search(r"^Tests: +[1-9]\d* passed", report, re.M)


@pytest.mark.parametrize("profile", PROFILES)
def test_manifests_have_no_unknown_or_mistyped_field(profile: str) -> None:
    schemas = f"{CACHE / 'schemas'}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    options = ("-strict", "-skip", ",".join(FOREIGN), "-schema-location", schemas)
    run("kubeconform", *options, "-", given=rendered(profile))


@pytest.mark.parametrize("profile", PROFILES)
def test_a_real_api_server_takes_the_manifests(profile: str, api_server: None, tmp_path: Path) -> None:
    ours = [document for document in documents(profile) if document["kind"] not in FOREIGN]
    namespace = "restricted"
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}
    kubectl("apply", "--filename", "-", given=yaml.safe_dump(made))
    for document in ours:
        document["metadata"]["namespace"] = namespace

    manifests = "---\n".join(yaml.safe_dump(document) for document in ours)
    answer = kubectl("apply", "--dry-run=server", "--namespace", namespace, "--filename", "-", given=manifests)

    assert len(answer.splitlines()) == len(ours), "the server warns, of pod security for one"


@pytest.mark.parametrize("profile", PROFILES)
def test_every_container_is_restricted_and_says_what_it_needs(profile: str) -> None:
    specs = [pod(document) for document in documents(profile) if document["kind"] in WORKLOADS]
    assert specs
    for spec in specs:
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["enableServiceLinks"] is False
        for container in [*spec.get("initContainers", ()), *spec["containers"]]:
            assert container["securityContext"]["readOnlyRootFilesystem"], container["name"]
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), container["name"]
            assert "memory" in container["resources"]["limits"], container["name"]


def test_the_dev_profile_fits_two_cores_and_eight_gibibytes() -> None:
    workloads = [document for document in documents("dev") if document["kind"] in ("Deployment", "StatefulSet")]
    scheduled = [document for document in documents("dev") if document["kind"] == "CronJob"]
    # Schedules are laid out so that one runs at a time.
    counted = [pod(document) for document in [*workloads, *scheduled[:1]]]

    def sum_of(name: str) -> float:
        return sum(quantity(c["resources"]["requests"][name]) for spec in counted for c in spec["containers"])

    assert sum_of("cpu") <= DEV_CPU
    assert sum_of("memory") <= DEV_MEMORY


def test_every_value_is_explained() -> None:
    lines = (CHART / "values.yaml").read_text().splitlines()
    bare = []
    for above, line in zip(["", *lines], lines, strict=False):
        key, _, value = line.strip().partition(":")
        is_leaf = bool(value.strip()) and not line.strip().startswith(("#", "-"))
        explained = above.strip().startswith("#")
        # What belongs to a value that is a map or a list is explained with it.
        if is_leaf and not explained and key not in ("requests", "limits", "args", "schedule"):
            bare.append(line)
    assert bare == []


def test_passwords_are_not_in_the_manifests_of_production() -> None:
    assert not [document for document in documents("production") if document["kind"] == "Secret"]


def kubectl(*arguments: str, given: str | None = None) -> str:
    command = [tool("kubectl"), "--kubeconfig", str(KUBECONFIG), *arguments]
    finished = subprocess.run(command, input=given, text=True, capture_output=True)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout + finished.stderr
