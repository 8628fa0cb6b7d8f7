"""What is checked before anything starts, and what the user is told."""

import socket
from pathlib import Path

import pytest

from jobs.settings import Settings
from stack import java, preflight
from stack.exceptions import StackError


@pytest.fixture
def listener():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.fixture
def no_java(monkeypatch, tmp_path: Path):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))


def test_a_taken_port_names_who_has_it_and_the_setting_that_changes_it(listener: int):
    wanted = {"superset": ("superset_port", [listener])}
    with pytest.raises(StackError, match=rf"Port {listener} \(for the superset\).*SLUICE_SUPERSET_PORT="):
        preflight.check_ports(wanted)


def test_the_port_of_our_own_running_program_is_taken_by_right(listener: int):
    preflight.check_ports({"superset": ("superset_port", [listener])}, running={"superset"})


def test_a_free_port_is_fine(listener: int):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    preflight.check_ports({"superset": ("superset_port", [free])})


def test_the_broker_needs_two_ports_unless_it_is_elsewhere(tmp_path: Path):
    local = Settings(home=tmp_path, kafka="", kafka_port=19092)
    assert preflight.ports(local)["broker"] == ("kafka_port", [19092, 19093])
    assert "broker" not in preflight.ports(Settings(home=tmp_path, kafka="kafka.example:9092"))


@pytest.mark.usefixtures("no_java")
def test_missing_java_says_how_to_get_it():
    with pytest.raises(StackError, match=r"no Java.*apt install openjdk-17"):
        java.check()


def test_java_home_without_java_is_named(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(StackError, match=f"JAVA_HOME={tmp_path}"):
        java.check()


@pytest.mark.parametrize(("printed", "major"), [('openjdk version "11.0.2"', 11), ('java version "1.8.0_402"', 8)])
def test_old_java_is_refused(monkeypatch, tmp_path: Path, printed: str, major: int):
    fake = tmp_path / "bin" / "java"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\necho '{printed}' >&2\n")
    fake.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(StackError, match=f"is Java {major}.*17 or newer"):
        java.check()


def test_too_little_memory():
    with pytest.raises(StackError, match=r"2\.0 GiB of memory.*about 6 GiB"):
        preflight.check_memory(available=2 * preflight.GIB)


def test_too_little_disk_names_a_way_out(tmp_path: Path):
    with pytest.raises(StackError, match="SLUICE_HOME"):
        preflight.check_disk(tmp_path / "not" / "made" / "yet", needed=2**60)


@pytest.mark.usefixtures("no_java")
def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path, listener: int):
    settings = Settings(home=tmp_path, mail_port=listener)
    with pytest.raises(StackError) as raised:
        preflight.check(settings)
    assert "no Java" in str(raised.value)
    assert "SLUICE_MAIL_PORT" in str(raised.value)
