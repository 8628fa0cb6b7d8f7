"""Send refused records to Kafka again, so that they go through ``live`` under the rules of today."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pyarrow as pa
from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

from jobs.quarantine import note_release, waiting
from jobs.settings import Settings
from schemas import Contract
from stack.exceptions import StackError
from stack.produce import LONGEST_ANSWER, producer

RELEASED = "sluice-released"
"""The header of a record that is sent again: ``partition:offset`` of the first time."""
COLUMNS = ("key", "value", "headers", "partition", "offset")


def release(contract: Contract, settings: Settings, *, rule: str | None = None) -> int:
    """Release the records of an entity from quarantine.

    What Kafka has taken is noted as released, some records at a time. Should this process die between Kafka's answer
    and the note of it, those are sent a second time by the next release: ``live`` takes an event once however often it
    comes.

    Args:
        contract: of the entity.
        settings: where Kafka and the lake are.
        rule: only records with a reason that begins like this, such as ``missing`` or ``missing: vendor_id``.

    Returns:
        the number of records that were sent.

    Raises:
        StackError: Kafka did not take some records, which go on waiting. One that is too large keeps no other from it.
    """
    released = 0
    left: list[tuple[int, int, KafkaError]] = []
    with producer(settings) as kafka:
        for rows in waiting(contract, settings.lake_url, COLUMNS, rule=rule):
            errors = _send(kafka, contract.topic, rows)
            taken = rows.filter(pa.array([error is None for error in errors]))
            if taken.num_rows:
                note_release(contract, taken, settings.lake_url)
            released += taken.num_rows
            places = zip(rows["partition"].to_pylist(), rows["offset"].to_pylist(), errors, strict=True)
            left += [(partition, offset, error) for partition, offset, error in places if error is not None]
            if not all(isinstance(error, MessageSizeTooLargeError) for *_, error in left):
                break
    if left:
        partition, offset, error = left[0]
        raise StackError(
            f"Kafka did not take {len(left):,} of the records of {contract.topic}; {released:,} were released. "
            f"The first is that of partition {partition}, offset {offset}: {error}"
        )
    return released


def _send(kafka: KafkaProducer, topic: str, rows: pa.RecordBatch) -> list[KafkaError | None]:
    """Send records and wait for Kafka; returns for each why it was not taken, or None."""
    answers = [_answer(kafka, topic, row) for row in rows.to_pylist()]
    with suppress(KafkaTimeoutError):
        kafka.flush(LONGEST_ANSWER)
    missing = KafkaTimeoutError(f"no answer within {LONGEST_ANSWER:.0f} s")
    return [
        answer if isinstance(answer, KafkaError) else answer.exception if answer.is_done else missing
        for answer in answers
    ]


def _answer(kafka: KafkaProducer, topic: str, row: dict[str, Any]) -> Any:
    """What will be Kafka's answer, or why the client does not even ask."""
    try:
        return kafka.send(topic, key=_key(row), value=row["value"], headers=list(_headers(row)))
    except KafkaError as error:
        return error


def _key(row: dict[str, Any]) -> bytes | None:
    """The record's key; the client refuses to send a record that has neither key nor value."""
    key: bytes | None = row["key"]
    return b"" if key is None and row["value"] is None else key


def _headers(row: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """The headers that the record came with, and where it was refused.

    Kafka has headers without a value, the client has not: they become empty.
    """
    for header in row["headers"] or ():
        if header["key"] != RELEASED:
            yield header["key"] or "", header["value"] or b""
    yield RELEASED, f"{row['partition']}:{row['offset']}".encode()
