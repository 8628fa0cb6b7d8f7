"""As whom Superset asks Trino, and what Trino is told of the lake's tables."""

import hashlib
import importlib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from jobs.settings import CHECKOUT

ROOT = "local:///lake"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of `superset/`, which is no package."""
    monkeypatch.syspath_prepend(CHECKOUT / "superset")
    monkeypatch.setenv("SLUICE_TRINO_PASSWORD", "of-superset")
    return importlib.import_module


class Security:
    """What Superset's security manager says of a user."""

    def is_guest_user(self, user: Any) -> bool:
        return hasattr(user, "rls")

    def get_user_roles(self, user: Any) -> list[Any]:
        return [SimpleNamespace(name=name) for name in user.roles]


def user(name: str, *roles: str, **more: Any) -> Any:
    return SimpleNamespace(username=name, roles=roles, is_anonymous=False, **more)


def guest(name: str, rules: Iterable[dict[str, Any]]) -> Any:
    return user(name, "Guest", rls=list(rules))


@pytest.mark.parametrize(
    ("who", "name"),
    [
        (user("ada", "Analyst"), "staff:ada"),
        (user("Łukasz Ó", "Executive"), "staff:%C5%81ukasz%20%C3%93"),
        (user("vendor-01", "Vendor", "Vendor vendor-01"), "vendor-01"),
        (user("vendor-02", "Vendor"), "vendor-02"),
        # Whoever is a vendor is nothing else, too.
        (user("vendor-03", "Analyst", "Vendor"), "vendor-03"),
        (user("staff:ada", "Vendor"), "(nobody)"),
        (user("registrar ", "Vendor"), "(nobody)"),
        (guest("admin", [{"clause": "vendor_id = 'vendor-07'"}]), "vendor-07"),
        (guest("admin", [{"clause": "vendor_id = 'vendor-07'", "dataset": 3}]), "(nobody)"),
        (guest("admin", []), "(nobody)"),
        (SimpleNamespace(is_anonymous=True), "(nobody)"),
        (None, "(nobody)"),
    ],
)
def test_trino_knows_a_user_by_the_rows_that_are_theirs(module: Any, who: Any, name: str) -> None:
    assert module("trino_connection").name_of(who, Security()) == name


def test_the_password_goes_to_our_trino_only(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = module("trino_connection")
    ours = SimpleNamespace(drivername="trino", host="sluice-trino", port=8443)
    assert not connection.is_ours(ours)

    monkeypatch.setattr(connection, "ADDRESS", "trino://superset@sluice-trino:8443/lake")

    assert connection.is_ours(ours)
    assert not connection.is_ours(SimpleNamespace(drivername="trino", host="elsewhere", port=8443))
    assert not connection.is_ours(SimpleNamespace(drivername="duckdb", host=None, port=None))


def test_tables_that_come_and_go_are_told(module: Any) -> None:
    there, known = {("gold", "new"), ("ops", "same")}, {("ops", "same"), ("gold", "old")}

    assert module("trino_catalogue").changes(there, known, ROOT) == [
        "CALL system.register_table('gold', 'new', 'local:///lake/gold/new')",
        "CALL system.unregister_table('gold', 'old')",
    ]


def test_trino_learns_of_gold_and_ops_alone(module: Any, tmp_path: Path) -> None:
    for table in ("gold/sales", "ops/live", "silver/orders", "bronze/events"):
        (tmp_path / table / "_delta_log").mkdir(parents=True)
        (tmp_path / table / "_delta_log" / "0.json").touch()
    (tmp_path / "gold" / "no_table" / "files").mkdir(parents=True)
    said: list[str] = []

    def execute(statement: str) -> list[tuple[str, str]]:
        said.append(statement)
        return []

    module("trino_catalogue").follow(execute, str(tmp_path), ROOT)

    assert [statement for statement in said if "register" in statement] == [
        "CALL system.register_table('gold', 'sales', 'local:///lake/gold/sales')",
        "CALL system.register_table('ops', 'live', 'local:///lake/ops/live')",
    ]


def test_a_table_that_trino_refuses_does_not_keep_others_from_it(module: Any, tmp_path: Path) -> None:
    for table in ("bad", "good"):
        (tmp_path / "gold" / table / "_delta_log").mkdir(parents=True)
        (tmp_path / "gold" / table / "_delta_log" / "0.json").touch()
    taken: list[str] = []

    def execute(statement: str) -> list[tuple[str, str]]:
        if "'bad'" in statement:
            raise RuntimeError("unknown feature")
        taken.append(statement)
        return []

    module("trino_catalogue").follow(execute, str(tmp_path), ROOT)

    assert "CALL system.register_table('gold', 'good', 'local:///lake/gold/good')" in taken


def test_two_users_log_in_and_one_password_stays_in_the_pod(module: Any, tmp_path: Path) -> None:
    passwords: ModuleType = module("trino_passwords")

    passwords.main(tmp_path)

    registrar = (tmp_path / "registrar").read_text()
    lines = (tmp_path / "password.db").read_text().splitlines()
    for line, password in zip(lines, ("of-superset", registrar), strict=True):
        _, iterations, salt, digest = line.split(":")
        made = hashlib.pbkdf2_hmac("sha1", password.encode(), bytes.fromhex(salt), int(iterations), 32)
        assert made.hex() == digest
    assert [line.split(":")[0] for line in lines] == ["superset", "registrar"]
    assert all(file.stat().st_mode & 0o077 == 0 for file in tmp_path.iterdir())
