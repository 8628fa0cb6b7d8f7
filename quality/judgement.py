"""Judge events against their contract with native Column expressions, so that refusing costs no extra pass."""

from collections.abc import Collection, Iterator, Sequence
from functools import partial, reduce
from operator import and_

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, StringType, TimestampType

from quality.rules import LONGEST_VALUE, VALUE, Rule, is_any_broken
from schemas import Contract, ContractField

CORRUPT = "_corrupt_record"
"""The member of a decoded event that holds the text where some of it could not be decoded."""
EMPTY = "empty: the record has no value"
NOT_UTF8 = "not_utf8: the value is not UTF-8"
NOT_JSON = "not_json: the value is not JSON"
NOT_AN_OBJECT = "not_an_object: the value is JSON but no object"
WRONG_INSIDE = "wrong_type: a value inside a field"
DATE = r"\d{4}-\d{2}-\d{2}"
ESCAPED_NAME = r'\\u[0-9a-fA-F]{4}[^"]*+"\s*+:'


def reasons(contract: Contract, rules: Sequence[Rule], *, event: Column, text: Column, arrival: Column) -> Column:
    """Why an event is refused.

    Args:
        contract: what the event should be.
        rules: what else refuses it, judged where the contract finds nothing; of a row with silver's columns.
        event: the decoded value, a struct of the contract's schema and ``CORRUPT``.
        text: the value as text.
        arrival: when Kafka received the record; times ahead are judged against it, so that a replay judges alike.

    Returns:
        array<string>, one entry ``rule: field (value)`` per broken rule; empty where the event may enter.
    """
    # A function of the contract's reasons, so that they stand in the plan once.
    thorough = F.transform(
        F.array(_broken_rules(contract, event, text, arrival)),
        lambda found: F.when(F.size(found) > 0, found).otherwise(reasons_of(rules)),
    )
    right = is_right(contract, rules, event=event, text=text, arrival=arrival)
    return F.when(right, _no_reasons()).otherwise(thorough[0])


def reasons_of(rules: Sequence[Rule], hidden: Collection[str] = ()) -> Column:
    """array<string>, one entry ``rule: fields (values)`` per broken rule, without the values of hidden fields."""
    broken = [F.when(rule.is_broken(), rule.reason(hidden)) for rule in rules]
    return F.array_compact(F.array(*broken)) if broken else _no_reasons()


def rule_names(contract: Contract, rules: Sequence[Rule]) -> Iterator[str]:
    """Every rule that an event may break, as ``rule_of`` gives it."""
    yield from (EMPTY, NOT_UTF8, NOT_JSON, NOT_AN_OBJECT, WRONG_INSIDE)
    for field in contract.fields:
        for path, part in ((field.name, field), *((f"{field.name}.{m.name}", m) for m in field.fields)):
            yield f"wrong_type: {path}"
            if part.required:
                yield f"missing: {path}"
            yield from (f"{rule}: {path}" for rule, _ in _rules(part, F.lit(None)))
    yield f"ahead: {contract.event_time}"
    yield from (rule.name for rule in rules)


def rule_of(reason: str) -> str:
    """A reason without the value: ``missing: vendor_id`` of ``missing: vendor_id (null)``."""
    return reason.split(VALUE, 1)[0]


def rule_column(reason: Column) -> Column:
    """The same as ``rule_of`` for a column."""
    return F.substring_index(reason, VALUE, 1)


def is_right(contract: Contract, rules: Sequence[Rule], *, event: Column, text: Column, arrival: Column) -> Column:
    """Whether an event breaks no rule, without finding out which; nearly every event goes this way, so it is cheap.

    May be false or null for a right event, whose reasons then turn out to be none, but is not true for a wrong one.
    Takes what ``reasons`` takes.
    """
    checks = [event[CORRUPT].isNull(), F.is_valid_utf8(text), event[contract.event_time] <= _limit(contract, arrival)]
    for field in contract.fields:
        value = event[field.name]
        checks += [_keeps_rules(field, value), ~_is_suspicious(field, value, text)]
        if field.is_array and field.fields:
            checks.append(F.forall(value, partial(_members_keep_rules, field)))
    return reduce(and_, checks, ~is_any_broken(rules))


def _members_keep_rules(field: ContractField, item: Column) -> Column:
    return reduce(and_, (_keeps_rules(member, item[member.name]) for member in field.fields))


def _keeps_rules(field: ContractField, value: Column) -> Column:
    kept = reduce(and_, (~broken for _, broken in _rules(field, value)), F.lit(True))
    return value.isNotNull() & kept if field.required else value.isNull() | kept


def _broken_rules(contract: Contract, event: Column, text: Column, arrival: Column) -> Column:
    """The reasons, found the thorough way."""
    value = F.try_parse_json(text)
    broken = F.array_compact(
        F.concat(
            F.array(
                *(
                    _plain(field, event[field.name], field.name, _given(event, value, field))
                    for field in contract.fields
                ),
                *(_other_type(field, event[field.name], text, value) for field in contract.fields),
                _ahead(contract, event, arrival),
            ),
            *(_items(field, event, value) for field in contract.fields if field.is_array and field.fields),
        )
    )
    corrupt = F.when(event[CORRUPT].isNotNull(), _one(WRONG_INSIDE)).otherwise(_no_reasons())
    return (
        F.when(text.isNull() | ~text.rlike(r"\S"), _one(EMPTY))
        .when(~F.is_valid_utf8(text), _one(NOT_UTF8))
        .when(_is_not_json(event, value), _one(NOT_JSON))
        .when(~F.ltrim(text).startswith("{"), _one(NOT_AN_OBJECT))
        .when(F.size(broken) > 0, F.array_distinct(broken))
        .otherwise(corrupt)
    )


def _is_not_json(event: Column, value: Column) -> Column:
    # Parsing again is dear, so only where decoding already failed.
    return event.isNull() | (event[CORRUPT].isNotNull() & value.isNull())


def _given(event: Column, value: Column, field: ContractField) -> Column:
    """Whether the text gives a field that the decoder had to leave empty."""
    return event[CORRUPT].isNotNull() & _token_type(value, field).isNotNull()


def _other_type(field: ContractField, decoded: Column, text: Column, value: Column) -> Column:
    """A type that the decoder takes but the contract does not: no text for a string, a number or a year for a time."""
    given = F.try_variant_get(value, f"$.{field.name}", "string")
    is_other = _token_type(value, field) != "STRING"
    if (form := _form(field)) is not None:
        is_other = is_other | ~given.rlike(f"^{form}$")
    # An object that has a name twice cannot be looked into; the decoder takes the last.
    is_other = _is_suspicious(field, decoded, text) & F.coalesce(is_other, F.lit(True))
    return F.when(is_other, _reason("wrong_type", field.name, F.coalesce(given, decoded.cast("string"))))


def _is_suspicious(field: ContractField, decoded: Column, text: Column) -> Column:
    """Whether a value may have had another type in its text; cheap, and where it says no, it is right."""
    form = _form(field)
    if form is None and not isinstance(field.data_type, StringType):
        return F.lit(False)
    # Some member of that name, maybe a nested one, is given otherwise; or an escape spells the name.
    quoted = f'"{form}"' if form else '"'
    # Java looks for a pattern that begins with a word several times faster than for one of two.
    is_escaped = text.contains("\\u") & text.rlike(ESCAPED_NAME)
    is_otherwise = text.rlike(rf'"{field.name}"\s*+:\s*+(?!{quoted})') | is_escaped
    if form:
        return decoded.isNotNull() & is_otherwise
    first = F.ascii(decoded)
    looks_like_number = first.between(ord("-"), ord("9"))
    looks_like_other = first.isin(ord("["), ord("{")) | decoded.isin("true", "false")
    return F.coalesce(looks_like_number | looks_like_other, F.lit(False)) & is_otherwise


def _form(field: ContractField) -> str | None:
    """How a time or a date is written (ISO 8601); Spark also takes a year alone, a time of today, a zone's name."""
    if isinstance(field.data_type, TimestampType):
        return DATE + r"[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}(?::?\d{2})?)?"
    return DATE if isinstance(field.data_type, DateType) else None


def _token_type(value: Column, field: ContractField) -> Column:
    """The JSON type of an object's member as its text has it; null where it is missing or JSON's null."""
    token = F.try_variant_get(value, f"$.{field.name}", "variant")
    return F.nullif(F.schema_of_variant(token), F.lit("VOID"))


def _ahead(contract: Contract, event: Column, arrival: Column) -> Column:
    value = event[contract.event_time]
    return F.when(value > _limit(contract, arrival), _reason("ahead", contract.event_time, value))


def _limit(contract: Contract, arrival: Column) -> Column:
    return arrival + F.expr(f"interval {int(contract.ahead_tolerance.total_seconds())} seconds")


def _items(field: ContractField, event: Column, value: Column) -> Column:
    """What is wrong with the objects of an array, as one array."""
    texts = F.try_variant_get(value, f"$.{field.name}", "array<variant>")

    def judge(item: Column, index: Column) -> Column:
        return F.array(
            *(
                _plain(
                    member, item[member.name], f"{field.name}.{member.name}", _given(event, F.get(texts, index), member)
                )
                for member in field.fields
            )
        )

    return F.coalesce(F.flatten(F.transform(event[field.name], judge)), _no_reasons())


def _plain(field: ContractField, value: Column, path: str, given: Column) -> Column:
    """The first rule that a value breaks, or null."""
    verdict = F.when(value.isNull() & given, F.lit(f"wrong_type: {path}"))
    if field.required:
        verdict = verdict.when(value.isNull(), F.lit(f"missing: {path}"))
    # Of a huge array, as much as is shown: Spark writes items out one by one, and slowly.
    shown = F.slice(value, 1, LONGEST_VALUE) if field.is_array else value
    for rule, broken in _rules(field, value):
        verdict = verdict.when(broken, _reason(rule, path, shown))
    return verdict


def _rules(field: ContractField, value: Column) -> Iterator[tuple[str, Column]]:
    if field.allowed:
        yield "not_allowed", ~value.isin(*field.allowed)
    if field.minimum is not None:
        yield "below_minimum", value < field.minimum
    if field.maximum is not None:
        yield "above_maximum", value > field.maximum
    if field.min_length is not None:
        yield "too_short", F.length(value) < field.min_length
    if field.max_length is not None:
        yield "too_long", F.length(value) > field.max_length
    if field.pattern is not None:
        yield "wrong_format", ~value.rlike(field.pattern)
    if field.min_items is not None:
        yield "too_few_items", F.size(value) < field.min_items
    if field.max_items is not None:
        yield "too_many_items", F.size(value) > field.max_items


def _reason(rule: str, path: str, value: Column) -> Column:
    return F.concat(F.lit(f"{rule}: {path}{VALUE}"), F.substring(value.cast("string"), 1, LONGEST_VALUE), F.lit(")"))


def _no_reasons() -> Column:
    return F.array().cast("array<string>")


def _one(reason: str) -> Column:
    return F.array(F.lit(reason))
