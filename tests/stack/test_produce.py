"""Messages that Kafka does not take are told, not lost."""

from pathlib import Path

import pytest

from schemas import load_contracts
from stack.exceptions import StackError
from stack.produce import produce_file, sender
from tests.stack.pipeline import TOPIC, running_broker


def test_a_message_that_cannot_be_sent_is_an_error(tmp_path: Path) -> None:
    (orders,) = (contract for contract in load_contracts() if contract.topic == TOPIC)
    required = {field.name: "x" for field in orders.fields if field.required}
    rows = tmp_path / "orders.csv"
    rows.write_text(f"{','.join(required)}\n{','.join(required.values())}{'x' * 2**20}\n")

    with running_broker(tmp_path) as settings, pytest.raises(StackError, match=f"cannot be sent to {TOPIC}"):
        produce_file(rows, orders, settings)


def test_a_broker_that_is_gone_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.produce.LONGEST_ANSWER", 1.0)
    with running_broker(tmp_path) as settings:
        sending = sender(settings)
        kafka = sending.__enter__()
        kafka.send(TOPIC, key=None, value=b"before")
        kafka.settle()

    kafka.send(TOPIC, key=None, value=b"after")

    with pytest.raises(StackError, match="did not take"):
        kafka.settle()
