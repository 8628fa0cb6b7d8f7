"""What is remembered of rights, and who sees no rows by default, in Superset's own environment."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.settings import CHECKOUT, settings
from stack import environments

Run = Callable[..., list[str]]

CHANGES = """
import sys
import rights
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

metadata = create_engine(f"sqlite:///{sys.argv[1]}")
reader = create_engine(f"sqlite:///{sys.argv[1]}")

class Store:
    def set(self, key, token):
        with reader.connect() as connection:
            print("a new token with", connection.execute(text("SELECT count(*) FROM ab_role")).scalar(), "roles")

with metadata.begin() as connection:
    for table in ("ab_role", "logs"):
        connection.execute(text(f"CREATE TABLE {table} (name text)"))
rights.announce_changes(Store())
for table in ("ab_role", "logs"):
    with Session(metadata) as session:
        session.execute(text(f"INSERT INTO {table} VALUES ('x')"))
        print("written to", table)
        session.commit()
        print("committed")
"""
CONFIGURATION = """
import rights

SECRET_KEY = "of a test"
SQLALCHEMY_DATABASE_URI = "sqlite:///{metadata}"
CUSTOM_SECURITY_MANAGER = rights.SecurityManager
"""
ROWS = """
import json
import access
from superset.app import create_app

with create_app().app_context():
    from flask import g
    from flask_appbuilder import Model
    from superset import db, security_manager
    from superset.connectors.sqla.models import SqlaTable, TableColumn
    from superset.models.core import Database
    from superset.utils.core import override_user

    Model.metadata.create_all(db.engine)
    lake = Database(database_name="Lake", sqlalchemy_uri="sqlite://")

    def dataset(name, *columns):
        made = SqlaTable(table_name=name, schema="gold", database=lake)
        made.columns = [TableColumn(column_name=column, type="TEXT") for column in columns]
        db.session.add(made)
        db.session.commit()
        return made

    def user(name, role):
        role = security_manager.add_role(role)
        return security_manager.add_user(name, "A", "B", f"{name}@localhost", role, "a long password")

    vendor, analyst = user("vendor-01", "Vendor"), user("ada", "Analyst")
    known = [dataset("sales", "vendor_id", "orders"), dataset("searches", "country")]
    access._restrict(security_manager.find_role("Vendor"), "vendor_id", known)
    db.session.commit()
    new_vendor = user("vendor-02", "Vendor")
    for table in (*known, dataset("returns", "vendor_id"), dataset("costs", "country")):
        for who in (vendor, new_vendor, analyst):
            with override_user(who):
                rules = [str(rule) for rule in table.get_sqla_row_level_filters()]
                key = security_manager.get_rls_cache_key(table)
            print("rows", json.dumps([table.table_name, who.username, rules, bool(key)]))
    g.user = None
    print("rows", json.dumps(["sales", "", [str(rule) for rule in table.get_sqla_row_level_filters()], False]))
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a script with Superset's modules; returns what it printed."""

    def running(script: str, *arguments: str, **variables: str) -> list[str]:
        python = environments.ensure("superset", settings().cache) / "bin" / "python"
        environment = os.environ | {"PYTHONPATH": str(CHECKOUT / "superset"), "SUPERSET_SECRET_KEY": "any"} | variables
        command = [python, "-c", script, *arguments]
        finished = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        return finished.stdout.splitlines()

    return running


def test_a_change_of_rights_is_announced_when_others_can_see_it(run: Run, tmp_path: Path) -> None:
    printed = run(CHANGES, str(tmp_path / "metadata.db"))

    own = [line for line in printed if line.startswith(("a new", "written", "committed"))]
    assert own == ["written to ab_role", "a new token with 1 roles", "committed", "written to logs", "committed"]


def test_whoever_sees_own_rows_only_sees_none_of_a_dataset_without_a_rule(run: Run, tmp_path: Path) -> None:
    configuration = tmp_path / "superset_test_config.py"
    configuration.write_text(CONFIGURATION.format(metadata=tmp_path / "metadata.db"))

    printed = run(ROWS, SUPERSET_CONFIG_PATH=str(configuration), SUPERSET_HOME=str(tmp_path))

    found = [json.loads(line.removeprefix("rows ")) for line in printed if line.startswith("rows ")]
    assert {(table, user): rules for table, user, rules, _ in found} == {
        ("sales", "vendor-01"): ["(1 = 0) OR (vendor_id = 'vendor-01')"],
        ("searches", "vendor-01"): ["(1 = 0)"],
        ("returns", "vendor-01"): ["(1 = 0)"],
        ("costs", "vendor-01"): ["(1 = 0)"],
        **{(table, "vendor-02"): ["(1 = 0)"] for table in ("sales", "searches", "returns", "costs")},
        **{(table, "ada"): [] for table in ("sales", "searches", "returns", "costs")},
        ("sales", ""): [],
    }
    # Answers are cached by it.
    assert all(has_key == bool(rules) for *_, rules, has_key in found)
