"""A cluster, as an operator has it: by kubectl and helm alone."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.settings import CHECKOUT
from tests.helm.tools import CACHE, CHART, CLUSTER, run, tool

NAMESPACE = "sluice-test"
RELEASE = "sluice"
IMAGES = Path(os.environ.get("SLUICE_TEST_IMAGES") or CHECKOUT / ".sluice" / "images")
TAGS = tuple((os.environ.get("SLUICE_TEST_TAGS") or "dev,next").split(","))
"""Tags under which the cluster has the images: the second is what an upgrade is to."""
SELECTOR = f"app.kubernetes.io/instance={RELEASE}"


@dataclass(frozen=True)
class Cluster:
    """A cluster and a namespace in it, under the restricted pod security standard."""

    kubeconfig: Path
    namespace: str = NAMESPACE

    def make_namespace(self) -> None:
        """Make the namespace."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": labels}}
        self.kubectl("apply", "--filename", "-", given=yaml.safe_dump(made))

    def remove_namespace(self) -> None:
        """Remove it, with all that is in it, without waiting."""
        self.kubectl("delete", "namespace", self.namespace, "--wait=false")

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """Run kubectl in the namespace; returns its output, fails unless it ends with 0."""
        return run("kubectl", *self.options, *arguments, given=given)

    def helm(self, verb: str, *arguments: str) -> str:
        """Run helm in the namespace, as `kubectl`."""
        return run("helm", verb, "--kubeconfig", str(self.kubeconfig), "--namespace", self.namespace, *arguments)

    def open(self, pod: str, *command: str) -> subprocess.Popen[str]:
        """A command in a pod, with its standard input and output."""
        arguments = [tool("kubectl"), *self.options, "exec", "--stdin", pod, "--", *command]
        return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def get(self, kind: str, selector: str = SELECTOR) -> list[dict[str, Any]]:
        """Objects of a kind."""
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, "--selector", selector, "--output", "json"))[
            "items"
        ]
        return found

    def pod(self, component: str) -> dict[str, Any]:
        """The newest pod of a component that is not being deleted."""
        pods = self.get("pods", f"{SELECTOR},app.kubernetes.io/component={component}")
        staying = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        assert staying, f"there is no pod of {component}"
        return max(staying, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def is_ready(self, component: str, *, other_than: str = "") -> bool:
        """Whether a component has a pod that is ready, and is not the one with this uid."""
        try:
            pod = self.pod(component)
        except AssertionError:
            return False
        conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", ())}
        return pod["metadata"]["uid"] != other_than and conditions.get("Ready") == "True"

    @property
    def options(self) -> tuple[str, ...]:
        """Options of kubectl."""
        return ("--kubeconfig", str(self.kubeconfig), "--namespace", self.namespace)


@contextmanager
def running() -> Iterator[Cluster]:
    """The cluster of ``SLUICE_TEST_KUBECONFIG``, which has the images, or one on this machine, which gets them."""
    if given := os.environ.get("SLUICE_TEST_KUBECONFIG"):
        yield Cluster(Path(given))
        return
    was_up = subprocess.run([CLUSTER, "status"], capture_output=True).returncode == 0
    subprocess.run([CLUSTER, "up"], check=True)
    load()
    yield Cluster(CACHE / "run" / "kubeconfig")
    if not was_up:
        subprocess.run([CLUSTER, "down"], check=True)


def load() -> None:
    """Load images that `make images` has written into the node of this machine, under all tags."""
    socket = CACHE / "run" / "containerd" / "containerd.sock"
    subprocess.run([CLUSTER, "load", *sorted(IMAGES.glob("*.tar"))], check=True, stdout=subprocess.DEVNULL)
    ctr = ["ctr", "--address", str(socket), "--namespace", "k8s.io", "images", "tag", "--force"]
    for archive in IMAGES.glob("*.tar"):
        image = archive.stem
        for tag in TAGS[1:]:
            subprocess.run(
                [*ctr, f"docker.io/sluice/{image}:{TAGS[0]}", f"docker.io/sluice/{image}:{tag}"],
                check=True,
                stdout=subprocess.DEVNULL,
            )


def require_image(name: str) -> None:
    """Skip the test where the cluster of this machine has no image of that name."""
    if "SLUICE_TEST_KUBECONFIG" not in os.environ and not (IMAGES / f"{name}.tar").exists():
        pytest.skip(f"there is no image {name}; `make images IMAGES={name}` makes it")


def toolbox(options: tuple[str, ...], namespace: str = NAMESPACE) -> str:
    """Manifest of a pod that waits for commands, with all that the chart's own test has."""
    shown = run("helm", "template", RELEASE, str(CHART), "--namespace", namespace, *options, *SHOW_TEST)
    pod = yaml.safe_load(shown)
    pod["metadata"]["name"] = "toolbox"
    del pod["metadata"]["annotations"]
    (container,) = pod["spec"]["containers"]
    container["args"] = ["sleep", "infinity"]
    return yaml.safe_dump(pod)


SHOW_TEST = ("--show-only", "templates/tests/end-to-end.yaml")


def eventually(holds: Callable[[], bool], *, what: str, seconds: float) -> float:
    """Wait until something holds; returns the seconds, fails when it does not in time."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.5)
    return time.monotonic() - began
