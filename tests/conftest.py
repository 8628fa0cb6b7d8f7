import sys
from pathlib import PurePath

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# PySpark takes a process without a main file, as xdist starts them, for doctests of its own, and ends it.
vars(sys.modules["__main__"]).setdefault("__file__", __file__)

SHARED = ("unit", "spark", "system")
"""Folders whose tests share what they start; of the others, those of a file do."""
LONGEST = "test_torture"


class Groups(LoadScopeScheduling):
    """Tests that share what they start run in one process."""

    def _split_scope(self, nodeid: str) -> str:
        path = PurePath(nodeid.split("::")[0])
        return path.parent.name if path.parent.name in SHARED else path.stem


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Groups:
    return Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # After those that two processes begin with, the longest. The whole system comes last, as it was collected: little
    # else should have to share two cores with it.
    order = {folder: place for place, folder in enumerate(dict.fromkeys(item.path.parent for item in items))}
    items.sort(key=lambda item: (order[item.path.parent], item.path.stem != LONGEST))
