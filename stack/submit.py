"""Send a job to a cluster in which the chart is installed, follow it, list what was sent, stop it; by kubectl.

A job runs as the driver of the release does: with its image, settings, volumes and rights. So there is nothing to
configure on a laptop but kubectl, and nothing that a job may do that a driver may not.
"""

import json
import re
import secrets
import subprocess
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stack.exceptions import StackError

COMPONENT = "app.kubernetes.io/component"
INSTANCE = "app.kubernetes.io/instance"
SUBMITTED = f"{COMPONENT}=submitted"
CODE = "/etc/sluice/job"
PATIENCE = 300.0
"""Seconds."""
MOST_CODE = 900_000
"""Bytes; a ConfigMap holds a mebibyte."""

State = Literal["waiting", "running", "succeeded", "failed"]
ENDED = ("succeeded", "failed")


@dataclass(frozen=True)
class Target:
    """A release of the chart. Empty context and namespace are those of the kubeconfig."""

    release: str = "sluice"
    namespace: str = ""
    context: str = ""


@dataclass(frozen=True)
class Submitted:
    """A job that was sent."""

    name: str
    command: str
    state: State
    created: str


def submit(target: Target, arguments: Sequence[str], *, module: Path | None = None, name: str = "") -> str:
    """Send a job; returns its name in the cluster.

    Args:
        target: release of the chart.
        arguments: of `sluice`, as ``run live --domain travel``; or of the module.
        module: a Python file of one's own, run in place of `sluice`.
        name: begins the job's name; default: what it runs.

    Raises:
        StackError: there is no such release, the module is too large, or the cluster refuses.
    """
    if module is not None and module.stat().st_size > MOST_CODE:
        raise StackError(f"{module} has {module.stat().st_size:,} bytes, and a ConfigMap holds {MOST_CODE:,}.")
    unique = f"{_label(name or (module.stem if module else '-'.join(arguments)))}-{secrets.token_hex(3)}"
    job = job_manifest(_driver(target), arguments, name=unique, module=module)
    created = json.loads(_kubectl(target, "create", "--output", "json", "--filename", "-", given=json.dumps(job)))
    if module is not None:
        _kubectl(target, "create", "--filename", "-", given=json.dumps(code_manifest(created, module)))
    return unique


def follow(target: Target, job: str) -> bool:
    """Show a job's log until it ends; returns whether it succeeded.

    Raises:
        StackError: there is no such job, or it does not start.
    """
    _await(lambda: _has_started(target, job), f"{job} does not start; see `kubectl describe job/{job}`")
    subprocess.run(_command(target, "logs", f"job/{job}", "--follow", "--container", "driver"))
    _await(lambda: _find(target, job).state in ENDED, f"the log of {job} has ended, and it still runs")
    return _find(target, job).state == "succeeded"


def submitted(target: Target) -> list[Submitted]:
    """What was sent, the oldest first."""
    selector = f"{SUBMITTED},{INSTANCE}={target.release}"
    found = json.loads(_kubectl(target, "get", "jobs", "--selector", selector, "--output", "json"))["items"]
    jobs = [_submitted(job) for job in found]
    return sorted(jobs, key=lambda job: job.created)


def stop(target: Target, job: str) -> None:
    """Stop a job, between two micro-batches, and forget it.

    Raises:
        StackError: there is no such job.
    """
    _find(target, job)
    _kubectl(target, "delete", "job", job, "--cascade=foreground")


def job_manifest(
    driver: dict[str, Any], arguments: Sequence[str], *, name: str, module: Path | None = None
) -> dict[str, Any]:
    """A Job that runs what is asked for as a Deployment of a driver would."""
    labels = {**driver["metadata"]["labels"], COMPONENT: "submitted"}
    spec = deepcopy(driver["spec"]["template"]["spec"])
    (container,) = spec["containers"]
    for of_a_driver in ("startupProbe", "livenessProbe", "ports"):
        container.pop(of_a_driver, None)
    container["env"] = [one for one in container["env"] if one["name"] != "SLUICE_METRICS_PORT"]
    container["args"] = ["sluice", *arguments]
    if module is not None:
        container["args"] = ["python", f"{CODE}/{module.name}", *arguments]
        container.setdefault("volumeMounts", []).append({"name": "job", "mountPath": CODE, "readOnly": True})
        # Made after the job, which owns it; its pod waits for it.
        spec.setdefault("volumes", []).append({"name": "job", "configMap": {"name": name}})
    spec.pop("initContainers", None)
    spec["restartPolicy"] = "Never"
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        "spec": {"backoffLimit": 0, "ttlSecondsAfterFinished": 86_400, "template": template},
    }


def code_manifest(job: dict[str, Any], module: Path) -> dict[str, Any]:
    """A ConfigMap with a module, deleted with its job."""
    name = job["metadata"]["name"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job["metadata"]["uid"]}
    metadata = {"name": name, "labels": job["metadata"]["labels"], "ownerReferences": [owner]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {module.name: module.read_text()}}


def _driver(target: Target) -> dict[str, Any]:
    selector = f"{INSTANCE}={target.release},app.kubernetes.io/part-of=sluice"
    found = json.loads(_kubectl(target, "get", "deployments", "--selector", selector, "--output", "json"))["items"]
    drivers = [one for one in found if one["metadata"]["labels"][COMPONENT].startswith("jobs-")]
    if not drivers:
        raise StackError(f"There is no release {target.release!r} with a driver in this namespace; see `helm list -A`.")
    first: dict[str, Any] = drivers[0]
    return first


def _find(target: Target, job: str) -> Submitted:
    for one in submitted(target):
        if one.name == job:
            return one
    raise StackError(f"There is no job {job}; see `sluice jobs list`.")


def _has_started(target: Target, job: str) -> bool:
    _find(target, job)
    phases = "jsonpath={.items[*].status.phase}"
    found = _kubectl(target, "get", "pods", "--selector", f"job-name={job}", "--output", phases).split()
    return any(phase != "Pending" for phase in found)


def _await(holds: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise StackError(f"After {PATIENCE:.0f} s {otherwise}.")
        time.sleep(1)


def _submitted(job: dict[str, Any]) -> Submitted:
    status = job.get("status", {})
    conditions = {one["type"] for one in status.get("conditions", ()) if one["status"] == "True"}
    state: State = "running" if status.get("active") else "waiting"
    if "Complete" in conditions:
        state = "succeeded"
    elif "Failed" in conditions:
        state = "failed"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    metadata = job["metadata"]
    return Submitted(metadata["name"], " ".join(container["args"]), state, metadata["creationTimestamp"])


def _label(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "job"


def _command(target: Target, *arguments: str) -> list[str]:
    options = [("--namespace", target.namespace), ("--context", target.context)]
    return ["kubectl", *(part for name, value in options if value for part in (name, value)), *arguments]


def _kubectl(target: Target, *arguments: str, given: str | None = None) -> str:
    command = _command(target, *arguments)
    try:
        finished = subprocess.run(command, input=given, capture_output=True, text=True)
    except FileNotFoundError:
        raise StackError("There is no kubectl in PATH: https://kubernetes.io/docs/tasks/tools/") from None
    if finished.returncode:
        raise StackError(f"`{' '.join(command)}` failed: {finished.stderr.strip()}")
    return finished.stdout
