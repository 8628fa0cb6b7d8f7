"""Jars are taken only with the bytes that the lock names."""

import hashlib
from pathlib import Path

import pytest

from stack import jars

CONTENT = b"PK\x03\x04 the bytes of a jar"


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    file = tmp_path / "jars.txt"
    checksum = hashlib.sha256(CONTENT).hexdigest()
    file.write_text(f"# comment\nspark org.example:thing_2.13:1.2.3 sha256:{checksum}\n")
    return file


@pytest.fixture
def delivered(tmp_path: Path) -> Path:
    file = tmp_path / "spark" / "thing_2.13-1.2.3.jar"
    file.parent.mkdir()
    file.write_bytes(CONTENT)
    return file


def test_the_right_bytes_are_fit(tmp_path: Path, lock: Path, delivered: Path):
    assert jars.unfit(tmp_path, jars.locked(lock)) == []


def test_a_damaged_jar_is_found(tmp_path: Path, lock: Path, delivered: Path):
    delivered.write_bytes(CONTENT[:-1] + b"!")
    assert [jar.coordinate for jar in jars.unfit(tmp_path, jars.locked(lock))] == ["org.example:thing_2.13:1.2.3"]


def test_a_missing_jar_is_found(tmp_path: Path, lock: Path):
    assert [jar.path.name for jar in jars.unfit(tmp_path, jars.locked(lock))] == ["thing_2.13-1.2.3.jar"]


def test_every_jar_of_the_real_lock_is_pinned_once():
    locked = jars.locked()
    assert {jar.classpath for jar in locked} == {"spark", "kafka", "s3"}
    assert all(len(jar.sha256) == 64 for jar in locked)
    assert len({jar.path for jar in locked}) == len(locked)
