"""Secrets are generated once per installation and kept from others."""

import json
import stat
from pathlib import Path

import pytest

from jobs.settings import Settings
from stack import broker, cache, credentials


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, kafka="", superset_port=18088, kafka_port=19092)


def test_credentials_have_the_promised_shape_and_mode(settings: Settings):
    file = credentials.write(settings)
    content = json.loads(file.read_text())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert content["superset"]["url"] == "http://127.0.0.1:18088"
    users = content["superset"]["users"]
    assert set(users) == {"admin", "analyst", "business_user", "executive", "vendor", "portal"}
    assert users["admin"]["username"] == "admin"
    assert len({user["password"] for user in users.values()}) == 6
    assert content["mail"]["directory"] == str(settings.home / "mail")
    assert content["kafka"]["bootstrap"] == "127.0.0.1:19092"


def test_a_second_call_keeps_the_passwords(settings: Settings):
    first = (credentials.read(settings) if credentials.write(settings) else {}, credentials.secrets(settings))
    credentials.write(settings)
    assert (credentials.read(settings), credentials.secrets(settings)) == first


def test_two_installations_share_no_secret(tmp_path: Path):
    one, other = (credentials.secrets(Settings(home=tmp_path / name)) for name in ("one", "other"))
    assert not set(one.values()) & set(other.values())


def test_files_with_passwords_are_for_their_owner_only(settings: Settings):
    cache.prepare(settings)
    for file in (settings.home / "secrets.json", settings.home / "run" / "redis.conf"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_servers_listen_on_the_loopback_interface_only(settings: Settings):
    lines = broker.render(settings).splitlines()
    assert "listeners=BROKER://127.0.0.1:19092,CONTROLLER://127.0.0.1:19093" in lines
    cache.prepare(settings)
    assert "bind 127.0.0.1\n" in (settings.home / "run" / "redis.conf").read_text()
