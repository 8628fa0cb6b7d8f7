"""The dashboard in headless Chromium, as a user sees it."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any, Literal, TypeVar

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import WebDriverWait

CHARTS = """
const holders = [...document.querySelectorAll('.dashboard-component-chart-holder')];
return holders.filter(holder => !holder.closest('.dashboard-markdown')).map(holder => ({
  name: (holder.querySelector('[data-test="editable-title"], .header-title') || holder).innerText.split('\\n')[0],
  text: holder.innerText,
}))
"""
# Runs in every new page, and notes how long it took until every chart was drawn: until its frame held a figure, a
# table or a canvas, and no spinner. To ask the page from outside, again and again, would slow it down.
WATCH = """
window.watchCharts = start => {
  clearInterval(window.watch);
  performance.clearResourceTimings();
  window.watchedSince = start;
  window.drawnAfter = null;
  window.watch = setInterval(() => {
    const holders = [...document.querySelectorAll('.dashboard-component-chart-holder')];
    const charts = holders.filter(holder => !holder.closest('.dashboard-markdown'));
    const isDrawn = chart =>
      chart.querySelector('.slice_container canvas, .slice_container table tbody tr, .slice_container .header-line')
      && !chart.querySelector('[data-test="loading-indicator"], .loading');
    if (charts.length && charts.every(isDrawn)) {
      window.drawnAfter = performance.now() - start;
      clearInterval(window.watch);
    }
  }, 50);
};
watchCharts(0);
"""
# Milliseconds since the server's last answer, in a page that is complete.
QUIET_FOR = """
const answers = performance.getEntriesByType('resource').map(answer => answer.responseEnd);
return document.readyState === 'complete' ? performance.now() - Math.max(window.watchedSince, ...answers) : 0
"""
# A link of Superset changes the view inside the page.
FOLLOW_LINK = """
const link = document.querySelector(`a[href$='${arguments[0]}']`);
if (link) { watchCharts(performance.now()); link.click(); }
return Boolean(link);
"""
SETTLE = 1.5
"""Seconds after which a canvas is painted that was drawn while the page was resized."""
QUIET = 2_000
"""Milliseconds without an answer from the server after which a page has settled."""
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
PHONE_AGENT = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/140.0.0.0 Mobile Safari/537.36"
PATIENCE = 120.0
LOGIN = 10.0

T = TypeVar("T")


def is_installed() -> bool:
    """Whether there is a Chromium with its driver."""
    return bool(shutil.which("chromium") and shutil.which("chromedriver"))


class Dashboard:
    """One dashboard in one browser window, logged in."""

    def __init__(self, driver: WebDriver, address: str, slug: str) -> None:
        self._driver = driver
        self._address = address
        self._path = _path(slug)

    @property
    def driver(self) -> WebDriver:
        """The window, for what is not on a dashboard."""
        return self._driver

    def load(self, slug: str = "") -> float:
        """Load the dashboard's address, or that of another; returns the seconds until every chart was drawn."""
        self._path = _path(slug) if slug else self._path
        self._driver.get(f"{self._address}{self._path}")
        return self._seconds_until_drawn()

    def open_from_list(self) -> float:
        """Go to the list of dashboards and click this one; returns the seconds from that click until it was drawn."""
        self._follow("/dashboard/list/")
        _settle(self._driver)
        self._follow(self._path)
        return self._seconds_until_drawn()

    def charts(self) -> dict[str, str]:
        """The text of every chart, by its name."""
        return {chart["name"]: chart["text"] for chart in self._charts()}

    def figure(self, chart: str) -> float:
        """The big number of a chart, as soon as there is one."""
        number = self._patiently(lambda: self._number(chart))
        assert number is not None
        return float(number.replace(",", ""))

    def wait_for_rise(self, chart: str, before: float, by: float) -> None:
        """Wait until the big number of a chart has risen, from ``before`` or from what it has fallen to since."""
        lowest = before

        def has_risen() -> bool:
            nonlocal lowest
            now = self.figure(chart)
            lowest = min(lowest, now)
            return now >= lowest + by

        self._patiently(has_risen)

    def look(self, theme: Literal["default", "dark"], *, phone: bool = False) -> None:
        """Choose the theme, and whether the window is that of a phone; holds for what is loaded from now on."""
        self._driver.execute_script("localStorage.setItem('superset-theme-mode', arguments[0])", theme)
        if phone:
            self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
            self._driver.execute_cdp_cmd("Emulation.setUserAgentOverride", {"userAgent": PHONE_AGENT})

    def width(self) -> int:
        """Pixels that the page is wide; more than the window means that one has to scroll sideways."""
        return int(self._driver.execute_script("return document.documentElement.scrollWidth"))

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Save what the window shows as PNG, or the whole page, once all of it is drawn."""
        if not whole:
            self._driver.save_screenshot(str(path))
            return
        metrics = self._driver.execute_script(
            "return {width: innerWidth, height: document.documentElement.scrollHeight, deviceScaleFactor: 1}"
        )
        # Superset draws what is in sight.
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics | {"mobile": metrics["width"] < 600})
        self._driver.execute_script("watchCharts(performance.now())")
        self._seconds_until_drawn()
        sleep(SETTLE)
        self._driver.save_screenshot(str(path))
        self._driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def _follow(self, path: str) -> None:
        self._patiently(lambda: self._driver.execute_script(FOLLOW_LINK, path))

    def _seconds_until_drawn(self) -> float:
        milliseconds = self._patiently(lambda: self._driver.execute_script("return window.drawnAfter"), look_every=0.25)
        return float(milliseconds) / 1000

    def _patiently(self, condition: Callable[[], T], *, look_every: float = 0.05) -> T:
        wait = WebDriverWait(self._driver, PATIENCE, poll_frequency=look_every)
        return wait.until(lambda _: condition(), f"{self._path} does not show all its data after {PATIENCE:.0f} s")

    def _number(self, chart: str) -> str | None:
        found = re.search(r"[\d,]+(?:\.\d+)?", self.charts().get(chart, "").replace(chart, ""))
        return found[0] if found else None

    def _charts(self) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = self._driver.execute_script(CHARTS)
        except StaleElementReferenceException:
            return []
        return found


@contextmanager
def dashboard(superset: dict[str, Any], slug: str = "live-sales", role: str = "admin") -> Iterator[Dashboard]:
    """Log in with the ``superset`` part of ``credentials.json``, as one of its users, and hand out a dashboard."""
    user = superset["users"][role]
    with chromium() as driver:
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
        driver.get(f"{superset['url']}/login/")
        WebDriverWait(driver, PATIENCE, ignored_exceptions=[WebDriverException]).until(partial(_log_in, user))
        # The page that follows a login works on for seconds, which is none of the dashboard's business.
        _settle(driver)
        yield Dashboard(driver, superset["url"], slug)


@contextmanager
def chromium() -> Iterator[WebDriver]:
    """A headless browser."""
    options = Options()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1600,1250"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def _path(slug: str) -> str:
    return f"/superset/dashboard/{slug}/"


def _settle(driver: WebDriver) -> None:
    WebDriverWait(driver, PATIENCE).until(lambda d: d.execute_script(QUIET_FOR) > QUIET)


def _log_in(user: dict[str, str], driver: WebDriver) -> bool:
    """Fill in the form and send it, unless that has succeeded; the page may forget what was typed while it loads."""
    if "/login" not in driver.current_url:
        return True
    for field in ("username", "password"):
        element = driver.find_element(By.ID, field)
        element.send_keys(Keys.CONTROL, "a")
        element.send_keys(user[field])
        if element.get_attribute("value") != user[field]:
            return False
    element.submit()
    WebDriverWait(driver, LOGIN).until(lambda d: "/login" not in d.current_url)
    return True
