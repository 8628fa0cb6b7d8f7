import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The whole system runs until the last test that needs it: nothing else should have to share two cores with it.
    items.sort(key=lambda item: "system" in getattr(item, "fixturenames", ()))
