"""Read contracts: the standard's own JSON schema first, then what Sluice asks on top of it."""

import datetime as dt
import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import jsonschema
from jsonschema.protocols import Validator
from open_data_contract_standard.model import OpenDataContractStandard, SchemaObject, SchemaProperty
from pyspark.sql.types import ArrayType, DataType

from schemas.contract import Contract, ContractField, Protection, struct_type
from schemas.data_types import KNOWN, plain_type
from schemas.exceptions import ContractError, Problem
from schemas.yaml_source import Location, YamlSource

DIRECTORY = Path(__file__).parent
DURATION = re.compile(r"(\d+) (second|minute|hour|day)s?")
NAME = re.compile(r"[a-z][a-z0-9_]*")
COMPATIBILITIES = ("backward",)
PERSONAL = "personal"
PROTECTIONS = get_args(Protection)
SECONDS = {"s": 1, "min": 60, "h": 3600}
NUMBERS = ("integer", "number")
SCHEMA: Location = ("schema", 0)
FIELDS: Location = (*SCHEMA, "properties")
RESERVED = (
    *("key", "value", "headers", "topic", "partition", "offset", "timestamp", "arrival_date"),
    *("event", "record", "reasons", "marks", "noted", "is_released", "bytes"),
)
"""What the tables call other things than an event's fields."""


def load_contracts(directory: Path = DIRECTORY, *, documented: bool = True) -> tuple[Contract, ...]:
    """Read every ``<domain>/<entity>.yaml`` below a directory, in order of topic.

    Args:
        directory: where they lie.
        documented: refuse those that lack what only people need: owner, purpose, examples, units.

    Raises:
        ContractError: with every problem of every file, or two contracts for one topic.
    """
    return load_files(sorted(directory.glob("*/*.yaml")), documented=documented)


def load_files(paths: Sequence[Path], *, documented: bool = True) -> tuple[Contract, ...]:
    """Read contracts, in order of topic; ``documented`` as in ``load_contracts``.

    Raises:
        ContractError: with every problem of every file, or two contracts for one topic.
    """
    contracts: list[Contract] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            contracts.append(load_contract(path, documented=documented))
        except ContractError as error:
            problems += error.problems
    problems += _repeated_topics(contracts)
    if problems:
        raise ContractError(problems)
    return tuple(sorted(contracts, key=lambda contract: contract.topic))


def load_contract(path: Path, *, documented: bool = True) -> Contract:
    """Read one contract; ``documented`` as in ``load_contracts``.

    Raises:
        ContractError: with every problem of the file.
    """
    source = YamlSource(path)
    problems = list(_violations_of_the_standard(source)) or list(_violations_of_structure(source))
    if documented and not problems:
        problems = list(_violations_of_documentation(source))
    if problems:
        raise ContractError(sorted(problems))
    return _contract(path, OpenDataContractStandard.model_validate(source.content))


@cache
def _standard() -> Validator:
    schema = json.loads(resources.files("open_data_contract_standard").joinpath("schema.json").read_text())
    return jsonschema.validators.validator_for(schema)(schema)


def _violations_of_the_standard(source: YamlSource) -> Iterator[Problem]:
    for error in _standard().iter_errors(source.content):
        cause = jsonschema.exceptions.best_match([error])
        yield source.problem(tuple(cause.absolute_path), cause.message)


def _violations_of_structure(source: YamlSource) -> Iterator[Problem]:
    content = source.content
    tables = content.get("schema") or []
    if len(tables) != 1:
        yield source.problem(("schema",), f"has {len(tables)} objects; give exactly one, for one topic")
        return
    table = tables[0]
    topic = f"{content.get('domain')}.{table['name']}"
    if table.get("physicalName") != topic:
        yield source.problem((*SCHEMA, "physicalName"), f"must be the topic, <domain>.<name>: {topic}")
    fields = table.get("properties") or []
    yield from _violations_of_freshness(source)
    yield from _violations_of_fields(source, fields, FIELDS)
    yield from _violations_of_key(source, fields)
    yield from _violations_of_times(source, table, fields)


def _violations_of_documentation(source: YamlSource) -> Iterator[Problem]:
    for section, key, what in (
        ("description", "purpose", "what the events are for"),
        ("team", "name", "who owns them"),
    ):
        if not (source.content.get(section) or {}).get(key):
            yield source.problem((section,), f"needs '{section}.{key}', which says {what}")
    if "completeness" not in _service_levels(source):
        message = "needs the property 'completeness', such as value: 100 and unit: percent"
        yield source.problem(("slaProperties",), message)
    table = source.content["schema"][0]
    index, compatibility = _custom_properties(table).get("compatibility", (None, None))
    if index is None:
        yield source.problem(
            SCHEMA, "needs the custom property 'compatibility', which says how it may evolve: backward"
        )
    elif compatibility not in COMPATIBILITIES:
        message = f"the compatibility '{compatibility}' is unknown; use one of {', '.join(COMPATIBILITIES)}"
        yield source.problem((*SCHEMA, "customProperties", index, "value"), message)
    yield from _undocumented_fields(source, table["properties"], (*SCHEMA, "properties"))


def _violations_of_protection(source: YamlSource, field: Any, place: Location) -> Iterator[Problem]:
    is_personal = field.get("classification") == PERSONAL
    index, protection = _custom_properties(field).get("protection", (None, None))
    if is_personal and place[:-1] != FIELDS:
        message = f"the personal field '{field['name']}' is inside another; only fields of the event are protected"
        yield source.problem(place, message)
    elif is_personal and field.get("physicalType") != "string":
        yield source.problem(place, f"the personal field '{field['name']}' must be a string, to be protected")
    elif is_personal and index is None:
        message = f"the personal field '{field['name']}' needs the custom property 'protection': "
        yield source.problem(place, message + " or ".join(PROTECTIONS))
    elif index is not None and not is_personal:
        message = f"'{field['name']}' is protected but not personal; give it 'classification: {PERSONAL}'"
        yield source.problem((*place, "customProperties", index), message)
    elif index is not None and protection not in PROTECTIONS:
        message = f"the protection '{protection}' is unknown; use one of {', '.join(PROTECTIONS)}"
        yield source.problem((*place, "customProperties", index, "value"), message)


def _undocumented_fields(source: YamlSource, fields: Sequence[Any], location: Location) -> Iterator[Problem]:
    for index, field in enumerate(fields):
        place = (*location, index)
        name, logical_type = field["name"], field.get("logicalType")
        if not field.get("description"):
            yield source.problem(place, f"the field '{name}' needs a 'description'")
        if not field.get("examples") and logical_type not in ("array", "object"):
            yield source.problem(place, f"the field '{name}' needs 'examples' with at least one value")
        yield from _violations_of_protection(source, field, place)
        if logical_type in NUMBERS and "unit" not in _custom_properties(field):
            message = f"the number '{name}' needs the custom property 'unit', such as 'EUR' or 'units'"
            yield source.problem(place, message)
        yield from _undocumented_fields(source, field.get("properties") or [], (*place, "properties"))
        members = (field.get("items") or {}).get("properties") or []
        yield from _undocumented_fields(source, members, (*place, "items", "properties"))


def _violations_of_freshness(source: YamlSource) -> Iterator[Problem]:
    levels = _service_levels(source)
    if "freshness" not in levels:
        yield source.problem(("slaProperties",), "needs the property 'freshness', such as value: 5 and unit: s")
        return
    index, level = levels["freshness"]
    value, unit = level.get("value"), level.get("unit")
    place = ("slaProperties", index)
    if unit not in SECONDS:
        yield source.problem((*place, "unit"), f"the unit '{unit}' is unknown; use one of {', '.join(SECONDS)}")
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        yield source.problem((*place, "value"), f"the freshness '{value}' must be a number above 0")


def _violations_of_fields(source: YamlSource, fields: Sequence[Any], location: Location) -> Iterator[Problem]:
    if not fields:
        yield source.problem(location, "has no fields; list at least one under 'properties'")
    seen: set[str] = set()
    for index, field in enumerate(fields):
        place = (*location, index)
        name = field.get("name", "")
        if not NAME.fullmatch(name):
            message = f"the field name '{name}' must be lower case letters, digits and underscores"
            yield source.problem((*place, "name"), message)
        if name in RESERVED and location == FIELDS:
            yield source.problem((*place, "name"), f"the field name '{name}' is taken by Sluice itself; choose another")
        if name in seen:
            yield source.problem((*place, "name"), f"the field '{name}' is already defined; rename one of the two")
        seen.add(name)
        yield from _violations_of_type(source, field, place)


def _violations_of_type(source: YamlSource, field: Any, place: Location) -> Iterator[Problem]:
    if field.get("logicalType") == "array":
        items = field.get("items") or {}
        if items.get("logicalType") == "object":
            yield from _violations_of_fields(source, items.get("properties") or [], (*place, "items", "properties"))
        else:
            yield from _violations_of_type(source, items, (*place, "items"))
    elif field.get("logicalType") == "object":
        yield from _violations_of_fields(source, field.get("properties") or [], (*place, "properties"))
    elif plain_type(str(field.get("physicalType"))) is None:
        message = f"the type '{field.get('physicalType')}' of '{field.get('name', 'items')}' is unknown"
        yield source.problem((*place, "physicalType"), f"{message}; use one of {', '.join(KNOWN)}")


def _violations_of_key(source: YamlSource, fields: Sequence[Any]) -> Iterator[Problem]:
    keys = [field for field in fields if field.get("primaryKey")]
    if len(keys) != 1:
        message = f"has {len(keys)} fields with 'primaryKey: true'; mark the one that identifies an event"
        yield source.problem((*SCHEMA, "properties"), message)
    for field in keys:
        if not field.get("required") or field.get("physicalType") != "string":
            place = (*SCHEMA, "properties", fields.index(field))
            yield source.problem(place, f"the key '{field['name']}' must be a required string")


def _violations_of_times(source: YamlSource, table: Any, fields: Sequence[Any]) -> Iterator[Problem]:
    properties = _custom_properties(table)
    for name in ("watermarkDelay", "aheadTolerance"):
        index, value = properties.get(name, (None, None))
        if index is None:
            yield source.problem(SCHEMA, f"needs the custom property '{name}', such as '10 minutes'")
        elif not DURATION.fullmatch(str(value)):
            place = (*SCHEMA, "customProperties", index, "value")
            yield source.problem(place, f"'{value}' is no duration; write it as '30 seconds' or '10 minutes'")
    names = [field.get("name") for field in fields]
    index, message_key = properties.get("messageKey", (None, None))
    if index is not None and message_key not in names:
        place = (*SCHEMA, "customProperties", index, "value")
        yield source.problem(place, f"the message key '{message_key}' is no field; name one of {', '.join(names)}")
    index, event_time = properties.get("eventTime", (None, None))
    if index is None:
        yield source.problem(SCHEMA, "needs the custom property 'eventTime' with the name of a timestamp field")
    elif not any(
        f.get("name") == event_time and f.get("physicalType") == "timestamp" and f.get("required") for f in fields
    ):
        place = (*SCHEMA, "customProperties", index, "value")
        yield source.problem(place, f"the event time '{event_time}' must be a required field of type timestamp")


def _custom_properties(holder: Any) -> dict[str, tuple[int, Any]]:
    """Position and value of each custom property of a table or field."""
    customs = holder.get("customProperties") or []
    return {custom["property"]: (index, custom.get("value")) for index, custom in enumerate(customs)}


def _service_levels(source: YamlSource) -> dict[str, tuple[int, Any]]:
    """Position and content of each service level."""
    levels = source.content.get("slaProperties") or []
    return {level["property"]: (index, level) for index, level in enumerate(levels)}


def _repeated_topics(contracts: Sequence[Contract]) -> Iterator[Problem]:
    first: dict[str, Contract] = {}
    for contract in contracts:
        other = first.setdefault(contract.topic, contract)
        if other is not contract:
            yield Problem(contract.path, 1, f"the topic '{contract.topic}' already has a contract: {other.path}")


def _contract(path: Path, standard: OpenDataContractStandard) -> Contract:
    assert standard.schema_ is not None
    assert standard.domain is not None
    table: SchemaObject = standard.schema_[0]
    assert table.name is not None
    custom = {p.property: str(p.value) for p in table.customProperties or ()}
    freshness = next(level for level in standard.slaProperties or () if level.property == "freshness")
    key = next(p.name or "" for p in table.properties or () if p.primaryKey)
    fields = tuple(_field(p) for p in table.properties or ())
    return Contract(
        path=path,
        domain=standard.domain,
        entity=table.name,
        topic=f"{standard.domain}.{table.name}",
        fields=fields,
        key=key,
        message_key=custom.get("messageKey", key),
        event_time=custom["eventTime"],
        watermark_delay=_duration(custom["watermarkDelay"]),
        ahead_tolerance=_duration(custom["aheadTolerance"]),
        freshness=dt.timedelta(seconds=float(freshness.value or 0) * SECONDS[freshness.unit or ""]),
    )


def _field(standard: SchemaProperty, name: str = "") -> ContractField:
    options = standard.logicalTypeOptions or {}
    name = name or standard.name or ""
    holder = standard.items if standard.items is not None else standard
    fields = tuple(_field(member) for member in holder.properties or ())
    # Nothing is no object that has what is required.
    is_item = name.endswith("[]")
    required = bool(standard.required) or (is_item and any(member.required for member in fields))
    return ContractField(
        name=name,
        data_type=_data_type(standard),
        required=required,
        label=standard.businessName or name,
        description=standard.description or "",
        minimum=options.get("minimum"),
        maximum=options.get("maximum"),
        min_length=options.get("minLength"),
        max_length=options.get("maxLength"),
        pattern=options.get("pattern"),
        min_items=options.get("minItems"),
        max_items=options.get("maxItems"),
        allowed=tuple(str(value.value) for value in standard.enum or ()),
        protection=next((p.value for p in standard.customProperties or () if p.property == "protection"), None),
        fields=fields,
        item=_field(standard.items, f"{name}[]") if standard.items is not None else None,
    )


def _data_type(standard: SchemaProperty) -> DataType:
    if standard.items is not None:
        return ArrayType(_data_type(standard.items))
    if standard.properties is not None:
        return struct_type(tuple(_field(member) for member in standard.properties))
    data_type = plain_type(str(standard.physicalType))
    assert data_type is not None, "checked by _violations_of_type"
    return data_type


def _duration(text: str) -> dt.timedelta:
    match = DURATION.fullmatch(text)
    assert match is not None, "checked by _violations_of_times"
    return dt.timedelta(**{f"{match[2]}s": int(match[1])})
