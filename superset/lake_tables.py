"""The tables of the lake that Superset may show, whichever engine reads them."""

import os
from pathlib import Path

import obstore
from obstore.store import LocalStore, from_url

# Silver, quarantine and bronze hold customers' data.
LAYERS = ("gold", "ops")


def lake() -> str:
    """Absolute path of the lake, or its URL: ``SLUICE_LAKE``, else ``SLUICE_HOME/lake``."""
    return absolute(os.environ.get("SLUICE_LAKE") or str(Path(os.environ["SLUICE_HOME"], "lake")))


def absolute(lake: str) -> str:
    """The same, from wherever it is looked at; without a slash at its end."""
    return (lake if is_in_object_store(lake) else str(Path(lake).resolve())).rstrip("/")


def is_in_object_store(lake: str) -> bool:
    """Whether it is an S3-compatible store; its keys and address are in variables ``AWS_…``."""
    return lake.startswith("s3://")


def tables(lake: str, layer: str) -> list[str]:
    """The Delta tables of a layer, sorted."""
    store = from_url(lake) if is_in_object_store(lake) else LocalStore(lake)
    folders = sorted(obstore.list_with_delimiter(store, layer)["common_prefixes"])
    logs = {f"{folder}/_delta_log" for folder in folders}
    found = [folder for folder in folders if logs & {*obstore.list_with_delimiter(store, folder)["common_prefixes"]}]
    return [folder.rpartition("/")[2] for folder in found]
