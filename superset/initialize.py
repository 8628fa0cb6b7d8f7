"""Make Superset ready, or bring it up to date; safe to run again: `python superset/initialize.py`.

Does in one process, hence in a third of the time, what these commands do: `superset db upgrade`,
`superset init`, `superset fab create-user` and an import of `superset/assets/`; and applies `superset/access.yaml` and
`superset/reports/`. Needs what `superset_config.py` needs, and ``SLUICE_SUPERSET_USERS``, the users of
`credentials.json` as JSON, whose passwords are used only for those who are no users yet.
"""

import json
import os
import sys
from pathlib import Path

import access
import embedding
import report_schedules
import trino_connection
import yaml
from flask import current_app
from superset.app import create_app

ASSETS = Path(__file__).parent / "assets"
LAKE = "databases/Lake.yaml"
ADMIN = "admin"


def main() -> None:
    """Exit 1 and say what is wrong with which asset, if anything is."""
    with create_app().app_context():
        migrate()
        define_roles()
        access.create_users(json.loads(os.environ["SLUICE_SUPERSET_USERS"]))
        import_assets()
        access.grant()
        embedding.publish(access.declared()["embedded"], current_app.config["PORTALS"])
        report_schedules.schedule()


def migrate() -> None:
    """Create the metadata tables or migrate them to this version of Superset."""
    from flask_migrate import upgrade

    upgrade()


def define_roles() -> None:
    """Write Superset's own roles and permissions."""
    from superset import appbuilder, security_manager

    appbuilder.add_permissions(update_perms=True)
    security_manager.sync_role_definitions()


def import_assets() -> None:
    """Import `superset/assets/` in one transaction; what Superset has under the same UUID is overwritten.

    `superset import-directory` would log an invalid file and exit with 0, and leave the dataset's id in the
    query context of a chart as it is in the file.
    """
    from superset.commands.exceptions import CommandInvalidError
    from superset.commands.importers.v1.assets import ImportAssetsCommand
    from superset.models.core import Database
    from superset.utils.core import override_user

    from superset import security_manager

    contents = {str(path.relative_to(ASSETS)): path.read_text() for path in ASSETS.rglob("*.yaml")}
    # The same database for all that refers to it, whichever engine it is.
    contents[LAKE] = yaml.safe_dump(yaml.safe_load(contents[LAKE]) | trino_connection.entry())
    # It would ask for each dataset's table, in a new cluster of an engine that is not there yet, and ignore the answer.
    Database.has_table = lambda *_: True
    with override_user(security_manager.find_user(ADMIN)):
        try:
            ImportAssetsCommand(contents).run()
        except CommandInvalidError as error:
            sys.exit(f"{error}: {error.normalized_messages()}")
    print(f"imported {len(contents) - 1} assets")


if __name__ == "__main__":
    main()
