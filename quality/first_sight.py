r"""Decode an event the fast way, and tell whether that is beyond doubt.

Spark's parser of JSON is lenient where a contract is not: it makes text of any value, rounds a decimal that has more
digits than its type, writes out every zero of ``1e300000000``, knows years alone as times, and stops reading after the
first of two objects. Each of these shows in the text, cheaply: by how a member of that name is written, wherever it
stands. What shows nothing of the kind is right beyond doubt; all else is looked at by ``quality.thorough``.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from operator import and_, or_

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from quality.limits import is_in_range, limits
from schemas import Contract, ContractField

STRICT = {"allowSingleQuotes": "false", "allowNonNumericNumbers": "false"}
"""By default Spark takes more than JSON."""
CORRUPT = "_corrupt_record"
"""The member of a decoded event that holds the text where some of it could not be decoded."""
END = "$end"
"""The member that we add as the last of an event, and that is decoded only where nothing follows the object."""
LAST = f',"{END}":true}}'
SPACE = r"[ \t\n\r]"
DATE = r"\d{4}-\d{2}-\d{2}"
TIME = DATE + r"[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}(?::?\d{2})?)?"
"""ISO 8601; Spark also takes a year alone, a time of today, a zone's name."""
STRING = r'"(?:[^"\\]++|\\.)*+"'
# The text up to the first string with an escape that a colon follows. Possessive throughout: each character is read
# once, whatever the text is.
ESCAPED_NAME = rf'\A(?:[^"]++|"[^"\\]*+"|{STRING}(?!\s*+:))*+"'
HIGH, LOW = r"\\u[dD][89abAB][0-9a-fA-F]{2}", r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
ESCAPE = rf"{HIGH}{LOW}|\\u(?![dD][89a-fA-F])|\\[^u]"


def decode(contract: Contract, value: Column, text: Column) -> Column:
    """A struct of the contract's schema, ``CORRUPT`` and ``END``; null where the text must not be decoded this way.

    Args:
        contract: what the event should be.
        value: of the record, bytes.
        text: the value as text.
    """
    last = F.lit(LAST.encode())
    whole = F.concat(value.substr(F.lit(1), F.octet_length(value) - 1), last).cast("string")
    trimmed = F.regexp_replace(text, rf"\}}{SPACE}++\z", LAST.replace("$", r"\$"))
    completed = F.when(text.endswith("}"), whole).otherwise(trimmed)
    decimals = _is_otherwise(text, _names_by_form(_all_fields(contract.fields), DecimalType))
    is_unsafe = text.contains(f'"{END}"') | _has_escaped_name(text) | decimals
    schema = StructType([*contract.spark_schema, StructField(CORRUPT, StringType()), StructField(END, BooleanType())])
    options = {"columnNameOfCorruptRecord": CORRUPT, **STRICT}
    return F.from_json(F.when(~is_unsafe, completed), schema, options)


def is_right(contract: Contract, *, event: Column, text: Column, arrival: Column) -> Column:
    """Whether an event keeps its contract, without finding out what is wrong; nearly every event goes this way.

    May be false or null for a right event, but is not true for a wrong one, nor for one that ``decode`` has changed.
    """
    fields = list(_all_fields(contract.fields))
    # Of an event's own text, the value tells more cheaply whether it may have been something else.
    own_text = [field for field in contract.fields if isinstance(field.data_type, StringType)]
    times = _is_otherwise(text, _names_by_form(fields, TimestampType, DateType))
    inner_text = _is_otherwise(text, _names_by_form((f for f in fields if f not in own_text), StringType))
    checks = [
        event[END].isNotNull(),
        event[CORRUPT].isNull(),
        F.is_valid_utf8(text),
        event[contract.event_time] <= latest(contract, arrival),
        *(_keeps(field, event[field.name]) for field in contract.fields),
        ~times,
        ~inner_text,
        *(~_may_be_no_text(field, event[field.name], text) for field in own_text),
        ~has_lone_surrogate(text),
    ]
    return reduce(and_, checks)


def latest(contract: Contract, arrival: Column) -> Column:
    """The latest event time of a record that Kafka received at some time."""
    return arrival + F.expr(f"interval {int(contract.ahead_tolerance.total_seconds())} seconds")


def has_lone_surrogate(text: Column) -> Column:
    r"""Whether a text has half of a character, such as ``\ud83d`` alone, which UTF-8 cannot hold."""
    # All whole escapes are taken away, so that a backslash which is left begins half a character.
    may_have = text.contains(r"\ud") | text.contains(r"\uD")
    return may_have & F.regexp_replace(text, ESCAPE, "").contains("\\")


def _keeps(field: ContractField, value: Column) -> Column:
    checks = [~broken for _, broken in limits(field, value)]
    if (in_range := is_in_range(field, value)) is not None:
        checks.append(in_range)
    if field.item is not None and _has_rules(field.item):
        item = field.item
        checks.append(F.forall(value, lambda one: _keeps(item, one)))
    elif field.item is None:
        checks += [_keeps(member, value[member.name]) for member in field.fields if _has_rules(member)]
    kept = reduce(and_, checks, F.lit(True))
    return value.isNotNull() & kept if field.required else value.isNull() | kept


def _has_rules(field: ContractField) -> bool:
    is_limited = any(True for _ in limits(field, F.lit(None))) or is_in_range(field, F.lit(None)) is not None
    inner = (field.item,) if field.item is not None else field.fields
    return field.required or is_limited or any(map(_has_rules, inner))


def _may_be_no_text(field: ContractField, decoded: Column, text: Column) -> Column:
    """Whether what was decoded as text may be another value in JSON."""
    first = F.ascii(decoded)
    looks_like_number = first.between(ord("-"), ord("9"))
    # A number beyond all doubles becomes "Infinity", with its quotation marks.
    looks_like_other = first.isin(*map(ord, '[{"')) | decoded.isin("true", "false")
    looks_otherwise = F.coalesce(looks_like_number | looks_like_other, F.lit(False))
    return looks_otherwise & _is_otherwise(text, {'"': [field.name]})


def _is_otherwise(text: Column, names: dict[str, list[str]]) -> Column:
    """Whether some member, maybe a nested one, is written in another form than those of its name are, or null."""
    # Java looks for a pattern that begins with a word several times faster than for one of two.
    found = (text.rlike(rf'"{name}"\s*+:\s*+(?!{form}|null)') for form, group in names.items() for name in group)
    return reduce(or_, found, F.lit(False))


def _has_escaped_name(text: Column) -> Column:
    """Whether an escape may spell a name."""
    return text.contains("\\u") & text.rlike(ESCAPED_NAME)


def _names_by_form(fields: Iterable[ContractField], *types: type[DataType]) -> dict[str, list[str]]:
    """The names of the fields of some types, or of lists of them, by how their values are written."""
    names: dict[str, list[str]] = defaultdict(list)
    for field in fields:
        if isinstance(_plain(field.data_type), types):
            names[_form(field.data_type)].append(field.name)
    return names


def _all_fields(fields: Sequence[ContractField]) -> Iterator[ContractField]:
    """Fields, and the members of their objects at any depth."""
    for field in fields:
        yield field
        inner = field
        while inner.item is not None:
            inner = inner.item
        yield from _all_fields(inner.fields)


def _plain(data_type: DataType) -> DataType:
    return _plain(data_type.elementType) if isinstance(data_type, ArrayType) else data_type


def _form(data_type: DataType) -> str:
    """How a value begins that Spark's parser takes as it is."""
    if isinstance(data_type, ArrayType):
        is_text = isinstance(data_type.elementType, StringType)
        item = rf"(?:{STRING if is_text else _form(data_type.elementType)}|null)\s*+"
        return rf"\[\s*+(?:{item}(?:,\s*+{item})*+)?+\]"
    if isinstance(data_type, DecimalType):
        return _decimal_form(data_type)
    if isinstance(data_type, TimestampType):
        return f'"{TIME}"'
    return f'"{DATE}"' if isinstance(data_type, DateType) else '"'


def _decimal_form(data_type: DecimalType) -> str:
    """A number, or a text, that the type holds as it is."""
    whole = max(1, data_type.precision - data_type.scale)
    fraction = rf"(?:\.[0-9]{{1,{data_type.scale}}}+)?+" if data_type.scale else ""
    number = rf"-?+[0-9]{{1,{whole}}}+{fraction}"
    return rf'(?:"{number}"|{number}(?=[\s,\]}}]))'
