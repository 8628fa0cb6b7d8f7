"""Roles, row-level security and users of Superset, from `access.yaml`; safe to apply again."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).parent / "access.yaml"
NO_ROWS = "1 = 0"


def declared() -> dict[str, Any]:
    """The content of `access.yaml`."""
    content: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return content


@cache
def restricted_roles() -> frozenset[str]:
    """The roles whose users see rows of their own only."""
    return frozenset(name for name, role in declared()["roles"].items() if "rows" in role)


def create_users(users: Mapping[str, Mapping[str, str]]) -> None:
    """Create the users that there are not yet; whoever has one keeps its password.

    Args:
        users: ``username`` and ``password`` of each, by its name in `access.yaml`; an installation may leave some out.
    """
    from superset import security_manager as security

    for key, user in declared()["users"].items():
        if key not in users:
            continue
        role = security.add_role(user["role"])
        if existing := security.find_user(user["username"]):
            if role not in existing.roles:
                existing.roles = [role]
                security.update_user(existing)
            continue
        first, last = user["name"].split(" ", 1)
        mail = f"{user['username']}@localhost"
        if not security.add_user(user["username"], first, last, mail, role, users[key]["password"]):
            raise RuntimeError(f"Superset did not take the user {user['username']!r}")


def grant() -> None:
    """Write what each role may do and see; of a role that is declared, nothing else stays. Needs the assets."""
    from superset.connectors.sqla.models import SqlaTable

    from superset import db
    from superset import security_manager as security

    access = declared()
    datasets = db.session.query(SqlaTable).all()
    for name, role in access["roles"].items():
        layers = {dataset.schema_perm for dataset in datasets if dataset.schema in role.get("layers", ())}
        data = (f"schema_access on {layer}" for layer in layers)
        found = security.add_role(name)
        found.permissions = list({*_like(role.get("like", ())), *_named(role.get("permissions", ())), *_named(data)})
        if rows := role.get("rows"):
            _restrict(found, rows, datasets)
    _assign_dashboards(access)
    db.session.commit()


def _like(roles: Iterable[str]) -> Iterable[Any]:
    from superset import security_manager as security

    for name in roles:
        yield from security.find_role(name).permissions


def _named(permissions: Iterable[str]) -> Iterable[Any]:
    from superset import security_manager as security

    for permission in permissions:
        action, thing = permission.split(" on ")
        yield security.add_permission_view_menu(action, thing)


def _restrict(role: Any, column: str, datasets: Iterable[Any]) -> None:
    """Let each user of a role see its own rows: those in which a column is the user's name.

    Whoever has the role sees nothing but for a rule of a role of its own. Superset joins rules of one group by OR.
    """
    from superset import security_manager as security

    own = [dataset for dataset in datasets if any(found.column_name == column for found in dataset.columns)]
    _write_rule(f"{role.name}: nothing", role, NO_ROWS, list(datasets), group=role.name)
    for user in role.user:
        personal = security.add_role(f"{role.name} {user.username}")
        if personal not in user.roles:
            user.roles = [*user.roles, personal]
        name = user.username.replace("'", "''")
        _write_rule(f"{role.name}: rows of {user.username}", personal, f"{column} = '{name}'", own, group=role.name)


def _write_rule(name: str, role: Any, clause: str, datasets: list[Any], *, group: str) -> None:
    from superset.connectors.sqla.models import RowLevelSecurityFilter
    from superset.utils.core import RowLevelSecurityFilterType

    from superset import db

    rule = db.session.query(RowLevelSecurityFilter).filter_by(name=name).one_or_none()
    if rule is None:
        rule = RowLevelSecurityFilter(name=name)
        db.session.add(rule)
    rule.filter_type = RowLevelSecurityFilterType.REGULAR
    rule.description = "Written from superset/access.yaml."
    rule.clause, rule.roles, rule.tables, rule.group_key = clause, [role], datasets, group


def _assign_dashboards(access: Mapping[str, Any]) -> None:
    from superset.models.dashboard import Dashboard

    from superset import db
    from superset import security_manager as security

    roles: dict[str, list[str]] = {slug: list(names) for slug, names in access["dashboards"].items()}
    for name, role in access["roles"].items():
        for slug in role.get("dashboards", ()):
            roles.setdefault(slug, []).append(name)
    for slug, names in roles.items():
        dashboard = db.session.query(Dashboard).filter_by(slug=slug).one()
        dashboard.roles = [security.find_role(name) for name in names]
