"""Make Superset ready, or bring it up to date; safe to run again: `python superset/initialize.py`.

Does in one process, hence in a third of the time, what these commands do: `superset db upgrade`,
`superset init`, `superset fab create-admin` and an import of `superset/assets/`. Needs what
`superset_config.py` needs, and ``SLUICE_SUPERSET_ADMIN_PASSWORD``, which is used only if there is no user
`admin` yet.
"""

import os
import sys
from pathlib import Path

from superset.app import create_app

ASSETS = Path(__file__).parent / "assets"
ADMIN = "admin"


def main() -> None:
    """Exit 1 and say what is wrong with which asset, if anything is."""
    with create_app().app_context():
        migrate()
        define_roles()
        create_admin(os.environ["SLUICE_SUPERSET_ADMIN_PASSWORD"])
        import_assets()


def migrate() -> None:
    """Create the metadata tables or migrate them to this version of Superset."""
    from flask_migrate import upgrade

    upgrade()


def define_roles() -> None:
    """Write Superset's own roles and permissions."""
    from superset import appbuilder, security_manager

    appbuilder.add_permissions(update_perms=True)
    security_manager.sync_role_definitions()


def create_admin(password: str) -> None:
    """Create the user `admin`, who owns the assets and in whose name reports run, unless there is one."""
    from superset import security_manager as security

    if not security.find_user(ADMIN):
        role = security.find_role(security.auth_role_admin)
        security.add_user(ADMIN, "Sluice", "Admin", "admin@localhost", role, password)


def import_assets() -> None:
    """Import `superset/assets/` in one transaction; what Superset has under the same UUID is overwritten.

    `superset import-directory` would log an invalid file and exit with 0, and leave the dataset's id in the
    query context of a chart as it is in the file.
    """
    from superset.commands.exceptions import CommandInvalidError
    from superset.commands.importers.v1.assets import ImportAssetsCommand
    from superset.utils.core import override_user

    from superset import security_manager

    contents = {str(path.relative_to(ASSETS)): path.read_text() for path in ASSETS.rglob("*.yaml")}
    with override_user(security_manager.find_user(ADMIN)):
        try:
            ImportAssetsCommand(contents).run()
        except CommandInvalidError as error:
            sys.exit(f"{error}: {error.normalized_messages()}")
    print(f"imported {len(contents) - 1} assets")


if __name__ == "__main__":
    main()
