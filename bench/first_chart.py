"""Build a chart from an empty explore page in a browser, as a business user does: by picking words."""

from collections.abc import Callable
from pathlib import Path
from time import sleep
from typing import Any
from urllib.parse import parse_qs, urlsplit

from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from bench.browser import PATIENCE, dashboard

DATASET = "marketplace_sales_by_minute"
KIND = "Bar Chart"
AXIS, METRIC = "Category", "Net sales"
SETTLE = 1.0
"""Seconds after which a menu that opened or closed has come to rest, for a picture."""

Look = Callable[[str], None]


def build_first_chart(superset: dict[str, Any], name: str, folder: Path | None = None) -> int:
    """Build a chart as a business user, and save it.

    Args:
        superset: that part of `credentials.json`.
        name: what the chart is called.
        folder: where a picture of each step goes; without, none is taken.

    Returns:
        the id that the chart has in this installation.
    """
    with dashboard(superset, role="business_user") as page:
        driver = page.driver

        def look(step: str) -> None:
            if folder:
                sleep(SETTLE)
                driver.save_screenshot(str(folder / f"first-chart-{step}.png"))

        _choose(driver, superset["url"], look)
        _fill(driver, look)
        _save(driver, name, look)
        return int(parse_qs(urlsplit(driver.current_url).query)["slice_id"][0])


def _choose(driver: WebDriver, address: str, look: Look) -> None:
    driver.get(f"{address}/chart/add")
    _pick(driver, ".ant-select input", DATASET)
    _click(driver, f"//*[@role='button'][normalize-space()='{KIND}']")
    look("1-choose")
    _click(driver, "//button[normalize-space()='Create new chart']")
    _find(driver, "[data-test='metrics']")
    look("2-empty")


def _fill(driver: WebDriver, look: Look) -> None:
    for control, word, save, step in (
        ("x_axis", AXIS, "ColumnEdit#save", "3-axis"),
        ("metrics", METRIC, "AdhocMetricEdit#save", "4-metric"),
    ):
        _click(driver, f"//*[@data-test='{control}']//*[@data-test='dnd-labels-container']//*[contains(., 'Drop')]")
        _pick(driver, ".ant-popover:not(.ant-popover-hidden) .ant-select input", word)
        look(step)
        _click(driver, f"//button[@data-test='{save}']")
    _click(driver, "//button[@data-test='run-query-button']")
    _find(driver, "[data-test='chart-container'] canvas, .chart-container canvas")
    look("5-chart")


def _save(driver: WebDriver, name: str, look: Look) -> None:
    _click(driver, "//button[@data-test='query-save-button']")
    field = _find(driver, "[data-test='new-chart-name']")
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(name)
    look("6-save")
    _click(driver, "//button[@id='btn_modal_save']")
    _wait(driver, lambda: "slice_id=" in driver.current_url)


def _pick(driver: WebDriver, css: str, word: str) -> None:
    """Type a word into a menu that can be searched, and choose what it offers under that word."""
    field = _find(driver, css)
    field.send_keys(word)
    offered = f"//*[contains(@class, 'ant-select-item-option')][contains(., '{word}')]"
    _wait(driver, lambda: driver.find_elements(By.XPATH, offered))
    field.send_keys(Keys.ENTER)


def _click(driver: WebDriver, path: str) -> None:
    def click() -> bool:
        found = _shown(driver, By.XPATH, path)
        if found:
            found[-1].click()
        return bool(found)

    _wait(driver, click)


def _find(driver: WebDriver, css: str) -> WebElement:
    found: list[WebElement] = _wait(driver, lambda: _shown(driver, By.CSS_SELECTOR, css))
    return found[0]


def _shown(driver: WebDriver, by: str, path: str) -> list[WebElement]:
    return [found for found in driver.find_elements(by, path) if found.is_displayed() and found.is_enabled()]


def _wait(driver: WebDriver, condition: Callable[[], Any]) -> Any:
    # The page draws its parts anew while it fills.
    wait = WebDriverWait(driver, PATIENCE, poll_frequency=0.2, ignored_exceptions=[WebDriverException])
    return wait.until(lambda _: condition())
