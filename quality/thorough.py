r"""Decode an event the thorough way: every value as it was sent, at every depth, and what is wrong with it.

Spark's parser decides by the type that is asked for, and tells afterwards neither what was written nor that it has
changed it. So the text is marked first: each string becomes ``"text:"`` and each number ``":1.50"``. Then text is all
that needs to be asked for, and its last character tells what it was.
"""

from collections.abc import Callable, Iterable, Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
)

from quality.first_sight import CORRUPT, DATE, SPACE, STRICT, TIME, has_lone_surrogate, latest
from quality.limits import is_in_range, limits
from quality.rules import LONGEST_VALUE, VALUE
from schemas import Contract, ContractField

MINUTES_AND_ZONE = r"\A(.{16})([Z+-])"
EMPTY = "empty: the record has no value"
NOT_UTF8 = "not_utf8: the value is not UTF-8"
LONE_SURROGATE = "not_utf8: an escape is half of a character"
NOT_JSON = "not_json: the value is not JSON"
BYTE_ORDER_MARK = "not_json: begins with a byte order mark"
REGISTRY_FRAME = "not_json: begins with the frame of a schema registry"
MORE_FOLLOWS = "not_json: more follows after the object"
NOT_AN_OBJECT = "not_an_object: the value is JSON but no object"
DEBEZIUM = "envelope: a change event of Debezium, not the row in it"
CLOUD_EVENT = "envelope: a CloudEvent, not the data in it"
OF_RECORDS = (
    *(EMPTY, NOT_UTF8, LONE_SURROGATE, NOT_JSON, BYTE_ORDER_MARK, REGISTRY_FRAME, MORE_FOLLOWS, NOT_AN_OBJECT),
    *(DEBEZIUM, CLOUD_EVENT),
)
"""Reasons that name no field."""
MOST_REASONS = 100
ENVELOPES = ("op", "before", "after", "payload", "schema", "specversion")
END = "$end"
"""The member that we add as the last; the mark in every other name makes it none of the sender's."""
# Possessive throughout: each character is read once, whatever the text is.
NUMBER = r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+"
TOKEN = rf'\G([^"0-9-]*+)(?:"((?:[^"\\]++|\\.)*+)"|({NUMBER}))'
MARKED = r'$1"$2:$3"'
PLAIN_DECIMAL = r"\A-?+[0-9]++(?:\.[0-9]++)?+:\z"
MOST_DIGITS = 400
"""Of a number that any type could hold, with room for zeros."""


def judged(contract: Contract, *, text: Column, arrival: Column) -> Column:
    """What an event is, and why it is refused.

    Returns:
        struct<event: struct of the contract's schema, reasons: array<string>>. One reason ``rule: field (value)`` per
        field that breaks a rule, up to ``MOST_REASONS``; none where the contract accepts the event.
    """
    refused = _refusal(contract)
    return (
        F.when(text.isNull() | ~text.rlike(r"\S"), refused(EMPTY))
        .when(text.startswith("\0") & ~text.startswith("\0{"), refused(REGISTRY_FRAME))
        .when(~F.is_valid_utf8(text), refused(NOT_UTF8))
        .when(text.startswith("\ufeff"), refused(BYTE_ORDER_MARK))
        .otherwise(
            _let(F.regexp_replace(text, TOKEN, MARKED), lambda marked: _of_json(contract, text, marked, arrival))
        )
    )


def _of_json(contract: Contract, text: Column, marked: Column, arrival: Column) -> Column:
    refused = _refusal(contract)
    completed = F.when(marked.rlike(rf"\A{SPACE}*+\{{{SPACE}*+\}}{SPACE}*+\z"), F.lit(f'{{"{END}":""}}')).otherwise(
        F.regexp_replace(marked, rf"\}}{SPACE}*+\z", f',"\\{END}":""}}')
    )
    is_object = marked.rlike(rf"\A{SPACE}*+\{{")
    alone = F.from_json(F.concat(F.lit("["), marked, F.lit("]")), ArrayType(StringType()), STRICT)
    first = F.from_json(marked, _texts([]).add(CORRUPT, StringType()), {"columnNameOfCorruptRecord": CORRUPT, **STRICT})
    names = dict.fromkeys([*(field.name for field in contract.fields), *ENVELOPES])
    return _let(
        F.from_json(completed, _texts(names).add(END, StringType()), STRICT),
        lambda members: (
            F.when(
                is_object & members[END].isNotNull(),
                F.when(has_lone_surrogate(text), refused(LONE_SURROGATE)).otherwise(_event(contract, members, arrival)),
            )
            .when(is_object & first[CORRUPT].isNull(), refused(MORE_FOLLOWS))
            .when(~is_object & (F.size(alone) == 1), refused(NOT_AN_OBJECT))
            .otherwise(refused(NOT_JSON))
        ),
    )


def _event(contract: Contract, members: Column, arrival: Column) -> Column:
    """What the members of an event are, and why it is refused."""

    def given(name: str) -> Column:
        return members[f"{name}:"].isNotNull()

    def with_reasons(found: Column) -> Column:
        value = found["value"]
        event_time = value[contract.event_time]
        is_ahead = event_time > latest(contract, arrival)
        ahead = _reason(F.lit(f"ahead: {contract.event_time}"), members[f"{contract.event_time}:"])
        broken = F.array_append(found["reasons"], F.when(is_ahead, ahead))
        broken = F.slice(F.array_distinct(F.array_compact(broken)), 1, MOST_REASONS)
        is_change = given("op") & (given("before") | given("after")) | given("payload") & given("schema")
        reasons = (
            F.when(~given(contract.key) & is_change, F.array(F.lit(DEBEZIUM)))
            .when(~given(contract.key) & given("specversion"), F.array(F.lit(CLOUD_EVENT)))
            .otherwise(broken)
        )
        return F.struct(value.alias("event"), reasons.alias("reasons"))

    return _let(_members(contract.fields, members, ""), with_reasons)


def _members(fields: Sequence[ContractField], members: Column, prefix: str) -> Column:
    """struct<value, reasons> of an object's members, given as marked text."""
    parts = [_judged(field, members[f"{field.name}:"], prefix + field.name).alias(field.name) for field in fields]
    return _let(
        F.struct(*parts),
        lambda part: _found(
            F.struct(*(part[field.name]["value"].alias(field.name) for field in fields)),
            F.concat(*(part[field.name]["reasons"] for field in fields)),
        ),
    )


def _judged(field: ContractField, given: Column, path: str) -> Column:
    """struct<value, reasons> of marked text, which is null where there is no value."""
    if field.item is not None:
        return _array(field, field.item, given, path)
    if field.fields:
        return _object(field, given, path)
    if isinstance(field.data_type, DecimalType | IntegerType | LongType):
        return _let(_digits(_number(field, given)), lambda digits: _exact(field, given, digits, path))
    return _let(_plain_value(field, given), lambda value: _limited(field, given, value, path))


def _object(field: ContractField, given: Column, path: str) -> Column:
    members = F.from_json(F.when(given.endswith("}"), given), _texts(inner.name for inner in field.fields), STRICT)
    own = _reasons(field, given, F.when(~given.endswith("}"), F.lit("wrong_type")), path)
    # Members are told by the place of their list, not of its items.
    inside = _let(members, lambda known: _members(field.fields, known, f"{path.replace('[]', '')}."))
    return F.when(given.endswith("}"), inside).otherwise(_found(F.lit(None).cast(field.data_type), own))


def _array(field: ContractField, item: ContractField, given: Column, path: str) -> Column:
    items = F.from_json(F.when(given.endswith("]"), given), ArrayType(StringType()), STRICT)

    def of_items(known: Column) -> Column:
        found = F.transform(known, lambda one: _judged(item, one, f"{path}[]"))
        return _let(found, lambda all_: _found(_each(all_, "value"), F.flatten(_each(all_, "reasons"))))

    def of_array(known: Column) -> Column:
        own = _reasons(field, given, _broken(field, known), path)
        nothing = F.lit(None).cast(field.data_type)
        # A list that is refused anyway is not looked into: it may be as long as a message.
        return _let(
            own,
            lambda why: F.when((F.size(why) == 0) & known.isNotNull(), of_items(known)).otherwise(_found(nothing, why)),
        )

    return _let(items, of_array)


def _each(structs: Column, name: str) -> Column:
    return F.transform(structs, lambda one: one[name])


def _limited(field: ContractField, given: Column, value: Column, path: str) -> Column:
    return _found(value, _reasons(field, given, _broken(field, value), path))


def _broken(field: ContractField, value: Column, otherwise: Column | None = None) -> Column:
    """The name of the first rule that a value breaks, or null; one that there is none of has the wrong type."""
    broken = F.when(value.isNull(), F.lit("wrong_type") if otherwise is None else otherwise)
    for rule, is_broken in limits(field, value):
        broken = broken.when(is_broken, F.lit(rule))
    return broken


def _reasons(field: ContractField, given: Column, broken: Column, path: str) -> Column:
    """Why a value is refused, by the rule that it breaks, or null; empty where it is not."""
    missing = F.lit(f"missing: {path}" if field.required else None)
    why = F.when(given.isNull(), missing).otherwise(_reason(F.concat(broken, F.lit(f": {path}")), given))
    return F.array_compact(F.array(why))


def _reason(rule: Column, given: Column) -> Column:
    return F.concat(rule, F.lit(VALUE), _shown(given), F.lit(")"))


def _plain_value(field: ContractField, given: Column) -> Column:
    """What marked text is, null where it is of another type than the field."""
    text = F.when(given.endswith(":"), given.substr(F.lit(1), F.length(given) - 1))
    if isinstance(field.data_type, StringType):
        return text
    if isinstance(field.data_type, BooleanType):
        return F.when(given.isin("true", "false"), given == "true")
    if isinstance(field.data_type, DoubleType):
        value = _sent_number(given).try_cast(field.data_type)
    else:
        form = DATE if isinstance(field.data_type, DateType) else TIME
        # Between minutes and a zone, Spark wants seconds; Java leaves out those that are 0.
        whole = F.regexp_replace(text, MINUTES_AND_ZONE, "$1:00$2")
        value = F.when(text.rlike(rf"\A{form}\z"), whole).try_cast(field.data_type)
    return _let(value, lambda known: F.when(_in_range(field, known), known))


def _in_range(field: ContractField, value: Column) -> Column:
    in_range = is_in_range(field, value)
    assert in_range is not None
    return in_range


def _exact(field: ContractField, given: Column, digits: Column, path: str) -> Column:
    """struct<value, reasons> of a whole number or a decimal, which is as it was sent or none."""
    data_type = field.data_type
    precision, scale = (data_type.precision, data_type.scale) if isinstance(data_type, DecimalType) else (19, 0)
    whole, fraction = digits["whole"], digits["fraction"]
    fits, is_exact = F.length(whole) <= precision - scale, F.length(fraction) <= scale
    text = (
        F.concat(digits["sign"], F.lit("0"), whole, F.lit("."), fraction, F.lit("0"))
        if scale
        else F.concat(digits["sign"], F.lit("0"), whole)
    )
    otherwise = (
        F.when(fits & ~is_exact, F.lit("too_precise")).otherwise("wrong_type")
        if isinstance(data_type, DecimalType)
        else None
    )
    return _let(
        F.when(fits & is_exact, text).try_cast(data_type),
        lambda value: _found(value, _reasons(field, given, _broken(field, value, otherwise), path)),
    )


def _number(field: ContractField, given: Column) -> Column:
    """The number in marked text, null where there is none; a decimal may be given as text."""
    number = _sent_number(given)
    if isinstance(field.data_type, DecimalType):
        return F.when(given.rlike(PLAIN_DECIMAL), F.substring_index(given, ":", 1)).otherwise(number)
    return number


def _sent_number(given: Column) -> Column:
    return F.when(given.startswith(":") & ~given.endswith(":"), given.substr(F.lit(2), F.length(given)))


def _digits(number: Column) -> Column:
    """struct<sign, whole, fraction> of a number: its digits in plain notation, without zeros at either end.

    Null where there are so many that no type holds them.
    """
    lower = F.lower(number)
    mantissa = F.ltrim(F.substring_index(lower, "e", 1), F.lit("-"))
    power = F.when(lower.contains("e"), F.substring_index(lower, "e", -1)).otherwise("0").try_cast("bigint")
    before = F.substring_index(mantissa, ".", 1)
    after = F.when(mantissa.contains("."), F.substring_index(mantissa, ".", -1)).otherwise("")
    read = F.struct(
        F.when(lower.startswith("-"), "-").otherwise("").alias("sign"),
        F.rtrim(F.concat(before, after), F.lit("0")).alias("digits"),
        F.try_add(F.length(before), power).alias("point"),
    )

    def written(sign: Column, digits: Column, point: Column) -> Column:
        whole = F.when(point > 0, F.rpad(F.left(digits, point), point, "0")).otherwise("")
        zeros = F.repeat(F.lit("0"), F.greatest(-point, F.lit(0)))
        fraction = F.concat(zeros, digits.substr(F.greatest(point, F.lit(0)) + 1, F.length(digits)))
        return F.struct(sign.alias("sign"), F.ltrim(whole, F.lit("0")).alias("whole"), fraction.alias("fraction"))

    def of(known: Column) -> Column:
        sign, digits, point = known["sign"], known["digits"], known["point"]
        is_short = (F.length(digits) <= MOST_DIGITS) & point.between(-MOST_DIGITS, MOST_DIGITS)
        # The point of zero may stand anywhere.
        place = F.when(digits == "", F.lit(0)).when(is_short, point.cast("int"))
        return _let(place, lambda at: F.when(at.isNotNull(), written(sign, digits, at)))

    return _let(read, of)


def _shown(given: Column) -> Column:
    """Marked text as it was sent, cut where it is long."""
    # Marks and escapes are no more than half of it.
    start = F.left(given, F.lit(3 * LONGEST_VALUE))
    plain = (
        F.when(given.endswith(":"), F.left(given, F.least(F.length(given) - 1, F.lit(LONGEST_VALUE))))
        .when(given.startswith(":"), start.substr(2, LONGEST_VALUE))
        .otherwise(F.regexp_replace(F.regexp_replace(start, rf'":({NUMBER})"', "$1"), r':"(?=[:,\]}]|\z)', '"'))
    )
    return F.left(plain, F.lit(LONGEST_VALUE))


def _texts(names: Iterable[str]) -> StructType:
    """An object whose members are marked text."""
    return StructType([StructField(f"{name}:", StringType()) for name in names])


def _refusal(contract: Contract) -> Callable[[str], Column]:
    """Makes the verdict on a record that is no event."""
    nothing = F.lit(None).cast(contract.spark_schema).alias("event")
    return lambda reason: F.struct(nothing, F.array(F.lit(reason)).alias("reasons"))


def _found(value: Column, reasons: Column) -> Column:
    return F.struct(value.alias("value"), reasons.alias("reasons"))


def _let(value: Column, use: Callable[[Column], Column]) -> Column:
    """What is made of a value, which stands in the plan once, however often it is used."""
    return F.get(F.transform(F.array(value), use), 0)
