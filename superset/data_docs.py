"""Great Expectations' Data Docs under Superset's roof, at ``/data-docs/``, for administrators.

The pages hold samples of customers' data. They are static files, made by `sluice validate`.
"""

import os
from pathlib import Path
from typing import Any

from flask import Blueprint, abort, redirect, send_from_directory
from flask_login import current_user

blueprint = Blueprint("data_docs", __name__)

# The pages' own scripts fold their sections; they come with the pages, and some from where Great Expectations has them.
CDN = ("https://cdn.jsdelivr.net", "https://cdnjs.cloudflare.com", "https://code.jquery.com", "https://unpkg.com")
POLICY = {
    "default-src": ["'self'"],
    "img-src": ["'self'", "data:", "https:"],
    "font-src": ["'self'", "data:", *CDN],
    "style-src": ["'self'", "'unsafe-inline'", *CDN, "https://stackpath.bootstrapcdn.com"],
    "script-src": ["'self'", *CDN, "https://stackpath.bootstrapcdn.com"],
    "object-src": "'none'",
}


@blueprint.route("/data-docs/<path:page>")
def page(page: str) -> Any:
    """A file of the Data Docs; 404 while nothing has been validated."""
    from superset import security_manager

    if not current_user.is_authenticated:
        return redirect("/login/")
    if not security_manager.is_admin():
        abort(403)
    home = Path(os.environ["SLUICE_HOME"], "quality", "gx", "uncommitted", "data_docs", "local_site")
    return send_from_directory(home, page)


# Superset's policy lets no page load what is not its own.
page.talisman_view_options = {"content_security_policy": POLICY, "content_security_policy_nonce_in": []}  # type: ignore[attr-defined]
