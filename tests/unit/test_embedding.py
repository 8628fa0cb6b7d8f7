"""Which tokens a portal may ask for."""

import importlib
from typing import Any

import pytest

from jobs.settings import CHECKOUT

OWN = {"clause": "vendor_id = 'vendor-07'"}


@pytest.fixture
def embedding(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(CHECKOUT / "superset")
    return importlib.import_module("embedding")


@pytest.mark.parametrize("rules", [[OWN], [OWN, OWN], [OWN, {**OWN, "dataset": 3}]])
def test_a_token_names_one_vendor(embedding: Any, rules: list[dict[str, Any]]) -> None:
    assert embedding.is_restricted({"rls": rules})
    assert embedding.vendor(rules) == "vendor-07"


@pytest.mark.parametrize(
    "rules",
    [
        None,
        [],
        [{}],
        [{"clause": None}],
        [{"clause": "1 = 1"}],
        [{"clause": "vendor_id = 'x' OR 1 = 1"}],
        [{"clause": "vendor_id = 'x' -- "}],
        [{"clause": "vendor_id = 'x' /*"}],
        [{"clause": "vendor_id = 'x')"}],
        [{"clause": "vendor_id = 'x'\n"}],
        [{"clause": "vendor_id = '{{ current_username() }}'"}],
        [{**OWN, "dataset": 3}],
        # Superset writes all rules into one condition.
        [OWN, {"clause": "1=1) OR (1=1"}],
        [{"clause": "1=1) OR (1=1"}, OWN],
        [OWN, {"clause": "1=1) OR (1=1", "dataset": 3}],
        [OWN, {"clause": ""}],
        [OWN, {}],
        [OWN, {"clause": "1 = 1 --"}],
        [OWN, {"clause": "vendor_id = 'vendor-08'"}],
    ],
)
def test_no_rule_of_a_token_is_of_another_form(embedding: Any, rules: list[dict[str, Any]] | None) -> None:
    assert not embedding.is_restricted({"rls": rules})
    assert embedding.vendor(rules or []) is None
