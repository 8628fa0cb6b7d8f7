"""An example of a portal in which vendors see their figures, as a dashboard of Superset inside a page of the portal.

    python superset/portal/portal.py --sdk FOLDER [--port 8090]

The portal knows who its vendors are; Superset does not. For whoever has logged in here, the portal's server asks
Superset for a guest token, which opens one dashboard, shows rows of this vendor only, and lasts five minutes. The
browser gets no other secret. A real portal has a login of its own, and a server for production.

Needs ``SLUICE_HOME``, where `credentials.json` has Superset's address and the portal's account. The vendors' passwords
are generated into `portal.json` beside it.
"""

import argparse
import json
import os
import secrets
from hmac import compare_digest
from pathlib import Path
from typing import Any

import requests
import yaml
from flask import Flask, Response, abort, jsonify, render_template, request, send_from_directory

VENDORS = ("vendor-01", "vendor-02", "vendor-03")
# Superset knows an embedded dashboard by the UUID that its file has, in every installation.
FILE = Path(__file__).parents[1] / "assets" / "dashboards" / "Vendor.yaml"
DASHBOARD: str = yaml.safe_load(FILE.read_text())["uuid"]
HOME = Path(os.environ["SLUICE_HOME"])
SUPERSET: dict[str, Any] = json.loads((HOME / "credentials.json").read_text())["superset"]
TIMEOUT = 30

app = Flask(__name__)


@app.before_request
def log_in() -> Response | None:
    """Let nobody in but vendors with their password."""
    login = request.authorization
    passwords = app.config["PASSWORDS"]
    if login and login.username in passwords and compare_digest(login.password or "", passwords[login.username]):
        return None
    return Response("Log in as a vendor.", 401, {"WWW-Authenticate": 'Basic realm="Vendor portal"'})


@app.get("/")
def page() -> str:
    """The vendor's page."""
    return render_template("page.html", vendor=_vendor(), superset=SUPERSET["url"], dashboard=DASHBOARD)


@app.get("/guest-token")
def guest_token() -> Response:
    """A token of Superset for the vendor who is logged in; whatever the browser asks for, it is for nobody else."""
    with requests.Session() as session:
        api = f"{SUPERSET['url']}/api/v1"
        account = SUPERSET["users"]["portal"] | {"provider": "db"}
        login = session.post(f"{api}/security/login", json=account, timeout=TIMEOUT)
        session.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
        csrf = session.get(f"{api}/security/csrf_token/", timeout=TIMEOUT).json()["result"]
        wanted = {
            "user": {"username": _vendor()},
            "resources": [{"type": "dashboard", "id": DASHBOARD}],
            # A vendor's name is one of ours, so it needs no escaping.
            "rls": [{"clause": f"vendor_id = '{_vendor()}'"}],
        }
        headers = {"X-CSRFToken": csrf, "Referer": api}
        answer = session.post(f"{api}/security/guest_token/", json=wanted, headers=headers, timeout=TIMEOUT)
    if not answer.ok:
        abort(502)
    return jsonify(answer.json())


@app.get("/sdk.js")
def sdk() -> Response:
    """Superset's script that puts a dashboard into a page."""
    return send_from_directory(app.config["SDK"], "node_modules/@superset-ui/embedded-sdk/bundle/index.js")


@app.after_request
def restrict(response: Response) -> Response:
    """Let the page load nothing but its own, and Superset in a frame."""
    response.headers["Content-Security-Policy"] = f"default-src 'self'; frame-src {SUPERSET['url']}"
    return response


def _vendor() -> str:
    assert request.authorization
    assert request.authorization.username
    return request.authorization.username


def _passwords() -> dict[str, str]:
    file = HOME / "portal.json"
    if not file.exists():
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            json.dump({vendor: secrets.token_urlsafe(18) for vendor in VENDORS}, stream, indent=2)
    known: dict[str, str] = json.loads(file.read_text())
    return known


def main() -> None:
    """Command line: ``portal.py --sdk FOLDER [--port PORT]``."""
    parser = argparse.ArgumentParser(description="A vendor portal with a dashboard of Superset inside.")
    parser.add_argument("--sdk", type=Path, required=True, help="where `npm ci` was run")
    parser.add_argument("--port", type=int, default=8090)
    arguments = parser.parse_args()
    app.config.update(SDK=arguments.sdk.absolute(), PASSWORDS=_passwords())
    print(f"http://127.0.0.1:{arguments.port}/, passwords in {HOME / 'portal.json'}", flush=True)
    app.run("127.0.0.1", arguments.port)


if __name__ == "__main__":
    main()
