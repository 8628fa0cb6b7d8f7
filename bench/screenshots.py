"""``python -m bench.screenshots``: pictures of every dashboard of the running system, for the guides."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from selenium.common.exceptions import TimeoutException

from bench.browser import dashboard, is_installed
from bench.first_chart import build_first_chart
from jobs.assets import ASSETS
from jobs.settings import CHECKOUT, settings
from stack import credentials, supervision
from stack.dashboard import api
from stack.dashboard import session as api_session

IMAGES = CHECKOUT / "docs" / "images"
ON_A_PHONE = "executive-overview"
IN_THE_DARK = "executive-overview"


def slugs() -> list[str]:
    """The addresses of the dashboards that ship."""
    return sorted(yaml.safe_load(path.read_text())["slug"] for path in (ASSETS / "dashboards").glob("*.yaml"))


def main(
    folder: Annotated[Path, typer.Option(help="Where the pictures go.")] = IMAGES,
    every_look: Annotated[bool, typer.Option(help="Each dashboard in the dark and on a phone, too.")] = False,
) -> None:
    """Take a picture of each dashboard, and of each step of building a chart."""
    if not is_installed():
        sys.exit("error: there is no Chromium; run `make browser`")
    if not supervision.is_running(settings()):
        sys.exit("error: the system does not run; run `make up`, and give it some minutes to have data")
    folder.mkdir(parents=True, exist_ok=True)
    superset = credentials.read(settings())["superset"]
    try:
        take(superset, folder, every_look=every_look)
    except TimeoutException as error:
        sys.exit(f"error: {error.msg}; views are computed some minutes after `make up`, try again then")


def take(superset: dict[str, Any], folder: Path, *, every_look: bool) -> None:
    """Take the pictures; see ``main``.

    Args:
        superset: address and users, of ``credentials.json``.
        folder: where they go.
        every_look: each dashboard in the dark and on a phone, too.

    Raises:
        TimeoutException: a chart shows no data.
    """
    with dashboard(superset, role="analyst") as page:
        for slug in slugs():
            page.load(slug)
            page.screenshot(folder / f"{slug}.png", whole=True)
        page.look("dark")
        for slug in slugs() if every_look else [IN_THE_DARK]:
            page.load(slug)
            page.screenshot(folder / f"{slug}-dark.png", whole=True)
        for slug in slugs() if every_look else [ON_A_PHONE]:
            page.look("default", phone=True)
            page.load(slug)
            page.screenshot(folder / f"{slug}-phone.png", whole=True)
    chart = build_first_chart(superset, "My first chart", folder)
    with api_session(settings(), "business_user", posts=True) as session:
        session.delete(api(settings(), f"chart/{chart}"), timeout=60).raise_for_status()


if __name__ == "__main__":
    typer.run(main)
