"""Send refused records to Kafka again, so that they go through ``live`` under the rules of today."""

from collections.abc import Iterator
from typing import Any

from jobs.quarantine import note_release, waiting
from jobs.settings import Settings
from schemas import Contract
from stack.produce import sender

RELEASED = "sluice-released"
"""The header of a record that is sent again: ``partition:offset`` of the first time."""
COLUMNS = ("key", "value", "headers", "partition", "offset")


def release(contract: Contract, settings: Settings, *, rule: str | None = None) -> int:
    """Release the records of an entity from quarantine.

    Should this process die between Kafka's answer and the note of it, a record is sent a second time by the next
    release: ``live`` takes an event once however often it comes.

    Args:
        contract: of the entity.
        settings: where Kafka and the lake are.
        rule: only records with a reason that begins like this, such as ``missing`` or ``missing: vendor_id``.

    Returns:
        the number of records that were sent.

    Raises:
        StackError: Kafka did not take a record; those before it are noted as released.
    """
    released = 0
    with sender(settings) as kafka:
        for rows in waiting(contract, settings.lake_url, COLUMNS, rule=rule):
            for row in rows.to_pylist():
                kafka.send(contract.topic, key=_key(row), value=row["value"], headers=_headers(row))
            kafka.settle()
            note_release(contract, rows, settings.lake_url)
            released += rows.num_rows
    return released


def _key(row: dict[str, Any]) -> bytes | None:
    """The record's key; the client refuses to send a record that has neither key nor value."""
    key: bytes | None = row["key"]
    return b"" if key is None and row["value"] is None else key


def _headers(row: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """The headers that the record came with, and where it was refused."""
    for header in row["headers"] or ():
        if header["key"] != RELEASED:
            yield header["key"], header["value"]
    yield RELEASED, f"{row['partition']}:{row['offset']}".encode()
