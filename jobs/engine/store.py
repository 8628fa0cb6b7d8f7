"""The file system or object store of the lake."""

from pathlib import Path

from obstore.store import LocalStore, ObjectStore, from_url


def store(url: str) -> ObjectStore:
    """Where the lake or a table lies: a path, or the URL of an object store, whose keys are in variables ``AWS_…``."""
    return from_url(url) if "://" in url else LocalStore(Path(url).absolute(), mkdir=True)
