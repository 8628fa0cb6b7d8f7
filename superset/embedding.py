"""Dashboards inside the pages of a portal, for guests who have a token instead of an account."""

import hashlib
import hmac
import re
from typing import Any

# The only form of a rule: Superset writes them into a query as they are, one beside the other.
OWN_ROWS = re.compile(r"vendor_id = '([\w-]+)'")


def token_secret(secret_key: str) -> str:
    """The key that guests' tokens are signed with: of this installation, and none of the others'."""
    return hmac.new(secret_key.encode(), b"guest token", hashlib.sha256).hexdigest()


def is_restricted(token: dict[str, Any]) -> bool:
    """Whether a token that a portal asks for shows one vendor's rows only."""
    return vendor(token.get("rls") or []) is not None


def vendor(rules: list[dict[str, Any]]) -> str | None:
    """Whose rows the rules of a token name, all of them the same vendor's; None if they show others', too.

    At least one must be without a dataset: it holds for all of them.
    """
    found = [OWN_ROWS.fullmatch(str(rule.get("clause"))) for rule in rules]
    vendors = {match and match[1] for match in found}
    return vendors.pop() if len(vendors) == 1 and any(not rule.get("dataset") for rule in rules) else None


def frame_in(origins: list[str], policy: dict[str, Any]) -> None:
    """Let these origins put embedded dashboards, and nothing else of Superset, into a frame."""
    from superset.embedded.view import EmbeddedView

    options = {"content_security_policy": policy | {"frame-ancestors": origins}, "frame_options": None}
    EmbeddedView.embedded.talisman_view_options = options


def publish(slugs: list[str], origins: list[str]) -> None:
    """Make dashboards known to portals, each under the UUID that its file has."""
    from superset.models.dashboard import Dashboard
    from superset.models.embedded_dashboard import EmbeddedDashboard

    from superset import db

    db.session.query(EmbeddedDashboard).delete()
    for slug in slugs if origins else []:
        dashboard = db.session.query(Dashboard).filter_by(slug=slug).one()
        known = {"dashboard_id": dashboard.id, "allow_domain_list": ",".join(origins)}
        db.session.add(EmbeddedDashboard(uuid=dashboard.uuid, **known))
    db.session.commit()
