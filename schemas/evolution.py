"""What a new version of a contract may change.

Backward compatible means: every event that the old version accepts is accepted by the new one, and every column of
silver keeps its name and meaning, so that a job restarts with the new version on tables and topics of the old one.
"""

import io
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from schemas.contract import Contract, ContractField
from schemas.data_types import is_widened
from schemas.exceptions import ContractError, Problem
from schemas.loader import DIRECTORY, load_contracts
from schemas.yaml_source import Location, YamlSource

ADVICE = "an incompatible change needs a new topic with a contract of its own"


def earlier_contracts(source: str) -> tuple[Contract, ...]:
    """The contracts of an earlier version.

    Args:
        source: a folder of contracts, or a git revision of this repository.

    Raises:
        ContractError: there is no such version, or its contracts are wrong.
    """
    if Path(source).is_dir():
        return load_contracts(Path(source), documented=False)
    archive = subprocess.run(
        ["git", "-C", DIRECTORY, "archive", "--format=zip", "--end-of-options", source],
        capture_output=True,
        check=False,
    )
    if archive.returncode != 0:
        message = f"there is no earlier version '{source}': it is neither a folder nor a git revision"
        raise ContractError([Problem(DIRECTORY, 1, f"{message} ({archive.stderr.decode().strip()})")])
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(io.BytesIO(archive.stdout)) as files:
            files.extractall(folder)
        return load_contracts(Path(folder), documented=False)


def broken_promises(
    earlier: Sequence[Contract], contracts: Sequence[Contract], *, whole: bool = True
) -> Iterator[Problem]:
    """What contracts break of their earlier versions; a topic that had no contract is free.

    Args:
        earlier: all contracts of the earlier version.
        contracts: those of today.
        whole: they are all, so that an earlier one without successor is missing.
    """
    now = {contract.topic: contract for contract in contracts}
    for before in earlier:
        if before.topic in now:
            yield from breaking_changes(before, now[before.topic])
        elif whole:
            message = f"the contract of '{before.topic}' is gone, but its topic and tables remain; restore it"
            yield Problem(DIRECTORY / before.domain / before.path.name, 1, message)


def breaking_changes(before: Contract, after: Contract) -> Iterator[Problem]:
    """What in the new version of a contract breaks the promise above, with the lines of the new version."""
    source = YamlSource(after.path)
    for name in ("key", "message_key", "event_time"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            what = name.replace("_", " ")
            yield source.problem(("schema", 0), f"the {what} was '{old}' and is now '{new}'; {ADVICE}")
    yield from _changes_of_fields(before.fields, after.fields, source, ("schema", 0, "properties"))


def _changes_of_fields(
    before: tuple[ContractField, ...], after: tuple[ContractField, ...], source: YamlSource, place: Location
) -> Iterator[Problem]:
    new = {field.name: (index, field) for index, field in enumerate(after)}
    for field in before:
        if field.name in new:
            index, successor = new.pop(field.name)
            yield from _changes_of_field(field, successor, source, (*place, index))
        elif field.required:
            message = f"the required field '{field.name}' is gone, which readers rely on"
            yield source.problem(place, f"{message}; make it optional in one version before it is retired")
    for index, field in new.values():
        if field.required:
            message = f"the new field '{field.name}' is required, but events of the old version lack it"
            yield source.problem((*place, index), f"{message}; make it optional")


def _changes_of_field(
    before: ContractField, after: ContractField, source: YamlSource, place: Location
) -> Iterator[Problem]:
    name = after.name
    if after.required and not before.required:
        message = f"the field '{name}' was optional and is now required"
        yield source.problem((*place, "required"), f"{message}, but events of the old version may lack it")
    if after.protection != before.protection:
        was, is_now = before.protection or "none", after.protection or "none"
        message = f"the protection of '{name}' was {was} and is now {is_now}; rows of the old version keep the old form"
        yield source.problem((*place, "customProperties"), f"{message}; {ADVICE}")
    if before.item and after.item:
        yield from _changes_of_field(before.item, after.item, source, (*place, "items"))
    elif before.fields and after.fields and before.is_array == after.is_array:
        yield from _changes_of_fields(before.fields, after.fields, source, (*place, "properties"))
    elif not is_widened(before.data_type, after.data_type):
        old, new = before.data_type.simpleString(), after.data_type.simpleString()
        message = f"the field '{name}' was {old} and is now {new}, which cannot hold every old value"
        yield source.problem((*place, "physicalType"), f"{message}; {ADVICE}")
    for what, old, new, option in _tightened(before, after):
        message = f"the {what} of '{name}' was {old} and is now {new}, which refuses events that were right"
        yield source.problem((*place, *option), message)


def _tightened(before: ContractField, after: ContractField) -> Iterator[tuple[str, Any, Any, Location]]:
    """Limits that are narrower than before: what it is, the old one, the new one, and where it stands in the field."""
    options = "logicalTypeOptions"
    for what, old, new, option in (
        ("minimum", before.minimum, after.minimum, "minimum"),
        ("shortest length", before.min_length, after.min_length, "minLength"),
        ("least number of items", before.min_items, after.min_items, "minItems"),
    ):
        if new is not None and (old is None or new > old):
            yield what, _limit(old), new, (options, option)
    for what, old, new, option in (
        ("maximum", before.maximum, after.maximum, "maximum"),
        ("greatest length", before.max_length, after.max_length, "maxLength"),
        ("greatest number of items", before.max_items, after.max_items, "maxItems"),
    ):
        if new is not None and (old is None or new < old):
            yield what, _limit(old), new, (options, option)
    if after.pattern is not None and after.pattern != before.pattern:
        yield "pattern", _limit(before.pattern), after.pattern, (options, "pattern")
    gone = set(before.allowed) - set(after.allowed)
    if after.allowed and (gone or not before.allowed):
        yield "list of values", _limit(", ".join(before.allowed)), ", ".join(after.allowed), ("enum",)


def _limit(value: Any) -> Any:
    return "open" if value in (None, "") else value
