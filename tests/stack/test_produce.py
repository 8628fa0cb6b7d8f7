"""Messages that Kafka does not take are told, not lost."""

from pathlib import Path

import pytest
from kafka import KafkaProducer

from schemas import load_contracts
from stack.exceptions import StackError
from stack.produce import Sender, produce_file
from tests.stack.pipeline import TOPIC, running_broker


def test_a_message_that_cannot_be_sent_is_an_error(tmp_path: Path) -> None:
    (orders,) = (contract for contract in load_contracts() if contract.topic == TOPIC)
    required = {field.name: "x" for field in orders.fields if field.required}
    rows = tmp_path / "orders.csv"
    rows.write_text(f"{','.join(required)}\n{','.join(required.values())}{'x' * 2**20}\n")

    with running_broker(tmp_path) as settings, pytest.raises(StackError, match=f"cannot be sent to {TOPIC}"):
        produce_file(rows, orders, settings)


def test_a_broker_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with running_broker(tmp_path) as settings:
        # Gives up sooner than ours does.
        kafka = KafkaProducer(
            bootstrap_servers=settings.bootstrap_servers, request_timeout_ms=1_000, delivery_timeout_ms=2_000
        )
        sender = Sender(kafka)
        sender.send(TOPIC, key=None, value=b"before")
        sender.settle()

    sender.send(TOPIC, key=None, value=b"after")

    with pytest.raises(StackError, match="did not take"):
        sender.settle()
    kafka.close(timeout=0)
