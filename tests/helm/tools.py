"""The tools that charts are held against; they come from `../shared/cluster`, or are installed by other means."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from jobs.settings import CHECKOUT

CLUSTER = CHECKOUT.parent / "shared" / "cluster" / "cluster"
CACHE = Path(os.environ.get("SLUICE_CLUSTER_CACHE") or Path.home() / ".cache" / "sluice-cluster")
CHART = CHECKOUT / "helm" / "sluice"
REQUIRED = ("kafka.bootstrapServers=kafka.example.com:9093", "mail.host=smtp.example.com")
PROFILES: dict[str, tuple[str, ...]] = {
    "default": (),
    "dev": ("--values", str(CHART / "values-dev.yaml")),
    "production": (
        *("--values", str(CHART / "values-production.yaml")),
        *("--set", ",".join((*REQUIRED, "superset.ingress.host=bi.example.com"))),
    ),
    "operator": ("--set", "jobs.mode=sparkApplication"),
    "object-store": (
        *("--set", "lake.url=s3://bucket/lake,lake.objectStore.secret=keys,jobs.executors.enabled=true"),
        *("--set", "lake.objectStore.endpoint=http://store:9000"),
    ),
    "trino": ("--set", "trino.enabled=true"),
    "trino-workers": (
        *("--set", "trino.enabled=true,trino.worker.replicas=2"),
        *(
            "--set",
            "lake.url=s3://bucket/lake,lake.objectStore.secret=keys,lake.objectStore.endpoint=http://store:9000",
        ),
    ),
    "everything": (
        *("--set", "kafka.replicas=3,superset.web.replicas=2,superset.worker.replicas=2"),
        *("--set", "jobs.executors.enabled=true,jobs.executors.dynamicAllocation.enabled=true,demo.rate=5"),
        *("--set", "superset.ingress.enabled=true,superset.ingress.host=bi.example.com,superset.ingress.tlsSecret=tls"),
    ),
}
"""Ways to install the chart, as arguments of helm."""

FOREIGN = ("PodMonitor", "SparkApplication")
"""Kinds of operators that a cluster may have or not, hence without a schema here."""


def tool(name: str) -> str:
    """Path of a tool, or skip the test."""
    found = shutil.which(name, path=f"{CACHE / 'bin'}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"there is no {name}; `../shared/cluster/cluster tools` makes it")
    return found


def run(name: str, *arguments: str, given: str | None = None) -> str:
    """Run a tool; returns its output, fails unless it ends with 0."""
    command = [tool(name), *arguments]
    finished = subprocess.run(
        command, input=given, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=CHECKOUT
    )
    assert finished.returncode == 0, f"`{' '.join(command)}` failed:\n{finished.stdout}"
    return finished.stdout


def rendered(profile: str) -> str:
    """The manifests of a profile."""
    return run("helm", "template", "sluice", str(CHART), "--namespace", "bi", *PROFILES[profile])
