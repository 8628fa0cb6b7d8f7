"""Render a dashboard for a mail: a picture of it, and a PDF whose text can be searched and copied.

Superset's own PDF is a picture, and a picture of an error page is a success to it. Celery's worker imports this module,
which replaces how a report with a PDF is made.
"""

import base64
from time import sleep
from typing import Any

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from superset.commands.report.exceptions import ReportScheduleScreenshotFailedError
from superset.commands.report.execute import BaseReportState
from superset.extensions import machine_auth_provider_factory
from superset.reports.models import ReportDataFormat
from superset.tasks.utils import get_executor
from superset.utils.screenshots import DashboardScreenshot
from superset.utils.webdriver import WebDriverSelenium

WIDTH = 1600
PIXELS_PER_INCH = 96
PATIENCE = 120
SETTLE_SECONDS = 2
"""What is drawn last, the canvases of the charts, comes shortly after the last answer."""

# What each chart shows: a figure, a table or a drawing; nothing while it loads.
CHARTS = """
const holders = [...document.querySelectorAll('.dashboard-component-chart-holder')];
return holders.filter(holder => !holder.closest('.dashboard-markdown')).map(holder => ({
  text: holder.innerText,
  isLoading: Boolean(holder.querySelector('[data-test="loading-indicator"], .loading')),
  isDrawn: Boolean(holder.querySelector('.slice_container canvas, .slice_container table tbody tr, .header-line')),
  isEmpty: Boolean(holder.querySelector('.ant-empty')),
  isWrong: Boolean(holder.querySelector('[role="alert"]')),
}))
"""

_content = BaseReportState._get_notification_content


def render(url: str, user: Any) -> tuple[bytes, bytes]:
    """A dashboard as a user sees it, as PNG and as PDF on one page.

    Raises:
        ReportScheduleScreenshotFailedError: a chart shows an error, or none has data.
    """
    driver = WebDriverSelenium("chrome", (WIDTH, WIDTH)).create()
    try:
        machine_auth_provider_factory.instance.authenticate_webdriver(driver, user)
        driver.get(url)
        WebDriverWait(driver, PATIENCE).until(_is_complete)
        height = driver.execute_script("return document.documentElement.scrollHeight")
        driver.set_window_size(WIDTH, height)
        # Charts below the fold are drawn only now.
        WebDriverWait(driver, PATIENCE).until(_is_complete)
        sleep(SETTLE_SECONDS)
        charts = driver.execute_script(CHARTS)
        if wrong := [chart["text"].split("\n")[0] for chart in charts if chart["isWrong"]]:
            raise ReportScheduleScreenshotFailedError(f"These charts show an error: {', '.join(wrong)}.")
        # A new vendor has no ratings yet; but a dashboard of which nothing has data says nothing.
        if all(chart["isEmpty"] for chart in charts):
            raise ReportScheduleScreenshotFailedError("No chart shows data.")
        picture = driver.find_element(By.CLASS_NAME, "standalone").screenshot_as_png
        size = {"paperWidth": WIDTH / PIXELS_PER_INCH, "paperHeight": height / PIXELS_PER_INCH}
        margins = {f"margin{side}": 0 for side in ("Top", "Bottom", "Left", "Right")}
        printed = driver.execute_cdp_cmd("Page.printToPDF", {**size, **margins, "printBackground": True})
        return picture, base64.b64decode(printed["data"])
    finally:
        driver.quit()


def _is_complete(driver: Any) -> bool:
    charts = driver.execute_script(CHARTS)
    shows = ("isDrawn", "isEmpty", "isWrong")
    return bool(charts) and all(any(map(chart.get, shows)) and not chart["isLoading"] for chart in charts)


def _content_with_pdf(state: Any) -> Any:
    """Superset's content of a mail; of a dashboard as PDF, with the PDF attached and its picture in the body."""
    report = state._report_schedule
    if report.report_format != ReportDataFormat.PDF or not report.dashboard:
        return _content(state)
    addresses = state.get_dashboard_urls()
    if len(addresses) > 1:
        # Several tabs, chosen in the browser: Superset's own PDF has a page for each.
        return _content(state)
    from flask import current_app

    from superset import security_manager

    _, username = get_executor(executors=current_app.config["ALERT_REPORTS_EXECUTORS"], model=report)
    pictures = []

    def pdf() -> bytes:
        address = DashboardScreenshot(addresses[0], report.dashboard.digest).url
        picture, printed = render(address, security_manager.find_user(username))
        pictures.append(picture)
        return printed

    state._get_pdf = pdf
    content = _content(state)
    content.screenshots = pictures
    return content


BaseReportState._get_notification_content = _content_with_pdf
