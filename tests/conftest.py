import sys

import pytest

# PySpark takes a process without a main file, as xdist starts them, for doctests of its own, and ends it.
vars(sys.modules["__main__"]).setdefault("__file__", __file__)

LONGEST = "test_torture"
LAST = "system"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Tests of one group share what they start: Spark, a broker, the whole system. One process has them all.
    groups = {item: _group(item) for item in items}
    for item, group in groups.items():
        item.add_marker(pytest.mark.xdist_group(group))
    # The whole system runs until the last test that needs it: little else should have to share two cores with it.
    items.sort(key=lambda item: (groups[item] == LAST, groups[item] != LONGEST))


def _group(item: pytest.Item) -> str:
    if LAST in getattr(item, "fixturenames", ()):
        return LAST
    folder = item.path.parent.name
    return folder if folder in ("unit", "spark") else item.path.stem
