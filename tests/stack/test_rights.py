"""What is remembered of rights, in Superset's own environment."""

import os
import subprocess
from pathlib import Path

from jobs.settings import CHECKOUT, settings
from stack import environments

SCRIPT = """
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


def test_a_change_of_rights_is_announced_when_others_can_see_it(tmp_path: Path) -> None:
    python = environments.ensure("superset", settings().cache) / "bin" / "python"
    variables = os.environ | {"PYTHONPATH": str(CHECKOUT / "superset"), "SUPERSET_SECRET_KEY": "any"}
    command = [python, "-c", SCRIPT, tmp_path / "metadata.db"]
    printed = subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout.splitlines()

    own = [line for line in printed if line.startswith(("a new", "written", "committed"))]
    assert own == ["written to ab_role", "a new token with 1 roles", "committed", "written to logs", "committed"]
