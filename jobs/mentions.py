"""What a record names: every text in it that may be a person's id, decoded, whatever serializer wrote it.

A value that is JSON is looked into field by field, for another field may well have the same text as a person's id: an
order may be called what a customer is called. Of what is no JSON, and of keys and headers, every word counts.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from schemas import Contract, ContractField

Headers: TypeAlias = Sequence[Mapping[str, Any]] | None
"""Headers of a record, each with ``key`` (text) and ``value`` (bytes); a value may be missing."""

ESCAPE = re.compile(r'(?:\\u[0-9a-fA-F]{4})+|\\["\\/bfnrt]')
BETWEEN_QUOTES = re.compile(r'(?:[^"\\]|\\.|\\$)+', re.DOTALL)
SEPARATORS = (
    re.compile(r"[,;|\t\r\n\x00\ufeff\ufffd]+"),
    re.compile(r"[\s,;|'{}\[\]()<>=&?\x00-\x1f\ufeff\ufffd]+"),
    re.compile(r"[\s,;|'{}\[\]()<>=&?\x00-\x1f\ufeff\ufffd:/]+"),
)
"""What words lie between; an id may have a colon, a slash or a space in it, so first without and then with them."""
OPENING = ("{", "[")
"""How JSON begins that may be in a text."""
DEEPEST = 3
"""So often is text decoded that was encoded inside other text."""
WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
NARROW = ("cp1252", "latin-1")


class _Number(str):
    """A number as its text has it."""


_Object: TypeAlias = tuple[tuple[str, Any], ...]
"""A JSON object with every member, also those whose name comes again later."""
_Declared: TypeAlias = "Mapping[str, _Declared | None]"
"""The fields that a contract declares, with the fields inside of them; None for one that is about a person."""


class Meanings:
    """Which fields of a topic's events have another meaning than to name a person.

    Args:
        contract: of the topic; without one, nothing is known of its fields.
        personal: names of fields that identify a person, in any contract.
    """

    def __init__(self, contract: Contract | None, personal: frozenset[str]) -> None:
        self.personal = personal
        self.declared = _declared(contract.fields if contract else (), personal)
        is_plain = contract is not None and self.declared[contract.message_key] is not None
        self.plain_key = contract.message_key if contract is not None and is_plain else None
        """The field that the messages' key repeats, where it is not about a person."""


def mentions(key: bytes | None, value: bytes | None, headers: Headers, meanings: Meanings) -> Iterator[str]:
    """Every text in a record that may be a person's id."""
    parsed = parse(value)
    if isinstance(parsed, tuple):
        yield from _of_event(parsed, meanings)
    else:
        yield from _of_text(value, parsed)
    if key is not None and not _repeats_plain_field(key, parsed, meanings):
        yield from _of_text(key)
    for header in headers or ():
        yield header["key"]
        yield from _of_text(header["value"])


def parse(value: bytes | None) -> Any:
    """A value as JSON: objects are tuples of name and value, numbers are text; None where it is no JSON."""
    try:
        return _decoded(value.decode("utf-8-sig")) if value else None
    except UnicodeDecodeError:
        return None


def member(parsed: Any, name: str) -> Any:
    """The last member of that name of what ``parse`` gives; None where there is none."""
    return dict(parsed).get(name) if isinstance(parsed, tuple) else None


def pattern(person: str) -> str:
    """A regular expression (RE2, over bytes) that every record matches in which ``mentions`` finds the person.

    Each character may be there as it is, in any encoding that is looked into, or escaped, also more than once; what
    escapes a backslash, or the letter of an escape, may hold anything.
    """
    escaped = "|".join(_joined(map(_any_case, code)) for code in ("005c", "0075"))
    return f"{_joined(map(_forms, person))}|u\\x00*(?:{escaped})"


def _declared(fields: Sequence[ContractField], personal: frozenset[str]) -> _Declared:
    return {
        field.name: None if field.protection or field.name in personal else _declared(field.fields, personal)
        for field in fields
    }


def _of_event(event: _Object, meanings: Meanings) -> Iterator[str]:
    """Texts in an event, but for those of fields with another meaning; numbers where a field is personal."""
    # Not recursive: what Spark takes may be nested deeper than Python calls.
    left: list[tuple[Any, bool, _Declared | None]] = [(event, False, meanings.declared)]
    while left:
        value, is_personal, known = left.pop()
        is_object = isinstance(value, tuple)
        members: Iterable[tuple[Any, Any]] = value if is_object else ((None, item) for item in value)
        for name, inner in members:
            of_person, inside = is_personal, known
            if is_object and known is not None and name in known:
                inside = known[name]
                of_person = inside is None
            elif is_object:
                yield name
                of_person, inside = is_personal or name in meanings.personal, None
            if isinstance(inner, tuple | list):
                left.append((inner, of_person, inside))
            elif isinstance(inner, str):
                # Of a declared field, only what was put into its text as JSON counts.
                if of_person or (inside is None and not isinstance(inner, _Number)):
                    yield inner
                if inner.lstrip()[:1] in OPENING and (embedded := _decoded(inner)):
                    left.append((embedded, of_person, None))


def _of_text(data: bytes | None, parsed: Any = None) -> Iterator[str]:
    """Every text and number of JSON that is no object, and every word of what is no JSON."""
    if not data:
        return
    parsed = parse(data) if parsed is None else parsed
    if parsed is not None:
        left = [parsed]
        while left:
            value = left.pop()
            if isinstance(value, tuple):
                left += [part for pair in value for part in pair]
            elif isinstance(value, list):
                left += value
            elif isinstance(value, str):
                yield value
                if not isinstance(value, _Number):
                    yield from _words(value)
        return
    for encoding in _encodings(data):
        yield from _words(data.decode(encoding, errors="replace"))


def _encodings(data: bytes) -> Iterator[str]:
    yield "utf-8"
    if b"\x00" in data:
        yield from WIDE
    try:
        data.decode()
    except UnicodeDecodeError:
        yield from NARROW


def _words(text: str, depth: int = 1) -> Iterator[str]:
    """The words of a text, long ones and their parts; escapes are decoded."""
    yield text
    for part in BETWEEN_QUOTES.findall(text):
        decoded = ESCAPE.sub(_unescape, part)
        yield decoded
        for separators in SEPARATORS:
            words = separators.split(decoded)
            if len(words) > 1:
                yield from (word.strip() for word in words)
        if decoded != part and depth < DEEPEST:
            yield from _words(decoded, depth + 1)


def _unescape(escaped: re.Match[str]) -> str:
    return str(json.loads(f'"{escaped[0]}"'))


def _decoded(text: str) -> Any:
    """A text as JSON, or None."""
    if not text or text.isspace():
        return None
    try:
        return json.loads(text, object_pairs_hook=tuple, parse_int=_Number, parse_float=_Number, parse_constant=_Number)
    except (ValueError, RecursionError):
        return None


def _repeats_plain_field(key: bytes, parsed: Any, meanings: Meanings) -> bool:
    """Whether the key is what a field of the event says that is not about a person."""
    field = meanings.plain_key
    return field is not None and key.decode(errors="replace") == member(parsed, field)


def _joined(parts: Iterable[str]) -> str:
    """Wide encodings have zeros between the bytes."""
    return r"\x00*".join(parts)


def _forms(character: str) -> str:
    forms = {_bytes(character.encode(errors="surrogatepass"))}
    for encoding in (*NARROW, *WIDE):
        wide = encoding in WIDE
        try:
            encoded = character.encode(encoding)
        except UnicodeEncodeError:
            continue
        forms.add(_bytes(encoded.strip(b"\x00") if wide else encoded))
    utf16 = character.encode("utf-16-be", errors="surrogatepass")
    units = [utf16[place : place + 2].hex() for place in range(0, len(utf16), 2)]
    forms.add(_joined(_joined((r"(?:\\\x00*)+u", *map(_any_case, unit))) for unit in units))
    if (short := json.dumps(character)[1:-1]).startswith("\\") and len(short) == 2:
        forms.add(r"(?:\\\x00*)+" + _bytes(short[1:].encode()))
    if character == "/":
        forms.add(r"(?:\\\x00*)+/")
    return f"(?:{'|'.join(sorted(forms))})"


def _bytes(encoded: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in encoded)


def _any_case(digit: str) -> str:
    return f"[{digit}{digit.upper()}]" if digit.isalpha() else digit
