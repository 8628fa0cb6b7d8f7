"""A job in a cluster is a driver with other arguments."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.exceptions import StackError
from stack.submit import Target, code_manifest, job_manifest, submit
from tests.helm.tools import rendered


@pytest.fixture(scope="module")
def driver() -> dict[str, Any]:
    documents = yaml.safe_load_all(rendered("everything"))
    return next(one for one in documents if one and one["metadata"]["name"] == "sluice-jobs-stream")


def test_a_job_runs_as_the_driver_does(driver: dict[str, Any]) -> None:
    job = job_manifest(driver, ["run", "live", "--available-now"], name="travel-1")

    ours, theirs = job["spec"]["template"]["spec"], driver["spec"]["template"]["spec"]
    (container,), (original,) = ours["containers"], theirs["containers"]
    assert container["args"] == ["sluice", "run", "live", "--available-now"]
    assert ours["serviceAccountName"] == theirs["serviceAccountName"]
    for kept in ("image", "securityContext", "volumeMounts", "resources"):
        assert container[kept] == original[kept]
    assert ours["restartPolicy"] == "Never"
    # Neither the driver's Deployment nor its probes may take it for a driver.
    assert job["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"] == "submitted"
    assert "livenessProbe" not in container


def test_a_module_of_ones_own_comes_along_and_goes_with_its_job(driver: dict[str, Any], tmp_path: Path) -> None:
    module = tmp_path / "count.py"
    module.write_text("print(1)")

    job = job_manifest(driver, ["gold"], name="count-1", module=module)
    job["metadata"]["uid"] = "7"
    code = code_manifest(job, module)

    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["python", "/etc/sluice/job/count.py", "gold"]
    assert code["data"] == {"count.py": "print(1)"}
    assert code["metadata"]["ownerReferences"][0]["uid"] == "7"


def test_a_module_that_is_too_large_is_refused(tmp_path: Path) -> None:
    module = tmp_path / "large.py"
    module.write_text("#" * 1_000_000)

    with pytest.raises(StackError, match="1,000,000 bytes"):
        submit(Target(), [], module=module)
