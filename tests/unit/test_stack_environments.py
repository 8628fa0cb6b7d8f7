"""Environments are made from their locks, once."""

import shutil
from pathlib import Path

import pytest

from stack import environments


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A cache with an environment that carries the stamp of the present lock."""
    home = environments.directory("superset", tmp_path)
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "python").symlink_to(shutil.which("python3") or "/usr/bin/python3")
    (home / environments.STAMP).write_text(environments._digest(*environments._sources("superset")))
    return tmp_path


def test_an_environment_made_from_the_present_lock_is_left_alone(made: Path):
    assert environments.is_current("superset", made)
    assert environments.ensure("superset", made) == environments.directory("superset", made)


def test_an_environment_of_another_lock_is_out_of_date(made: Path):
    (environments.directory("superset", made) / environments.STAMP).write_text("another")
    assert not environments.is_current("superset", made)


def test_an_environment_whose_python_is_gone_is_out_of_date(made: Path):
    (environments.directory("superset", made) / "bin" / "python").unlink()
    assert not environments.is_current("superset", made)


@pytest.mark.parametrize("name", ["jobs", "superset", "tools", "build"])
def test_every_requirement_is_pinned_with_hashes(name: str):
    lines = (environments.LOCKS / f"{name}.txt").read_text().splitlines()
    pins = [line for line in lines if line and line[0].isalnum()]
    assert pins
    assert all("==" in pin and pin.endswith("\\") for pin in pins)
