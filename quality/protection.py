"""Protect fields that identify a person, as their contract says, with native Column expressions."""

import hashlib
import hmac
from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

from quality.rules import HIDDEN
from schemas import Contract

BLOCK = hashlib.sha256().block_size


def protect(name: str, protection: str | None, key: bytes) -> Column:
    """The value of a column as silver and gold may hold it.

    ``hash`` gives the same pseudonym for the same value wherever it occurs, so that tables still join; without the
    key nobody can tell the value from it, or try values out (HMAC-SHA-256, 64 hexadecimal digits). ``mask`` leaves the
    first character, and the host of an e-mail address.
    """
    value = F.col(name)
    if protection == "hash":
        return _hmac(value, key)
    if protection == "mask":
        host = F.when(value.contains("@"), F.concat(F.lit("@"), F.substring_index(value, "@", -1))).otherwise("")
        return F.concat(F.substring(value, 1, 1), F.lit(HIDDEN), host)
    return value


def pseudonym(value: str, key: bytes) -> str:
    """What ``hash`` makes of a value."""
    return hmac.new(key, value.encode(), hashlib.sha256).hexdigest()


def protected_fields(contract: Contract) -> Sequence[str]:
    """The fields whose original only bronze and quarantine have."""
    return [field.name for field in contract.fields if field.protection is not None]


def _hmac(value: Column, key: bytes) -> Column:
    """RFC 2104, out of Spark's own SHA-256; null stays null."""
    padded = (hashlib.sha256(key).digest() if len(key) > BLOCK else key).ljust(BLOCK, b"\0")
    inner, outer = (bytes(byte ^ pad for byte in padded) for pad in (0x36, 0x5C))
    digest = F.unhex(F.sha2(F.concat(F.lit(inner), value.cast("binary")), 256))
    return F.sha2(F.concat(F.lit(outer), digest), 256)
