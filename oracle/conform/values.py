"""Checks the values that a reader reports, and brings them to the form of the expected ones."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable
from typing import Any, Final

from .protocol import DUMP_KINDS, ProtocolError

_DIGITS: Final = 132
"""Characters of the longest number: 512 bits in hexadecimal."""
_GUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class FactsError(ProtocolError):
    """A fact breaks the protocol. The text is one line."""


def bad(where: str, value: object, expected: str) -> FactsError:
    """The error for a value that breaks the protocol."""
    return FactsError(f"answered facts.{where} {repr(value)[:40]}: expected {expected}")


def number(value: object, where: str) -> int:
    """A JSON number, or its text: numbers of many languages hold less than 64 bits. Raises FactsError."""
    found = _integer(value)
    if found is None or found < 0:
        raise bad(where, value, 'a number, or a string such as "0x1f"')
    return found


def signed(value: object, where: str) -> int:
    """A field of 32 bits that is signed, or the same bits as a number without sign. Raises FactsError."""
    found = _integer(value)
    if found is None:
        raise bad(where, value, 'a number, or a string such as "-3"')
    return found - (1 << 32) if 1 << 31 <= found < 1 << 32 else found


def _integer(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and len(value) <= _DIGITS:
        try:
            value = int(value, 16 if value.lstrip("-")[:2] in ("0x", "0X") else 10)
        except ValueError:
            return None
    return value if isinstance(value, int) and abs(value) < 1 << 512 else None


def text(value: object, where: str) -> str:
    """Text. A lone surrogate becomes U+FFFD, as the oracle reads it: UTF-8 cannot encode one. Raises FactsError."""
    if not isinstance(value, str):
        raise bad(where, value, "text")
    return "".join("\ufffd" if "\ud800" <= unit <= "\udfff" else unit for unit in value)


def kind(value: object, where: str) -> str:
    """A word for the kind of a dump. Raises FactsError."""
    found = text(value, where)
    if found not in DUMP_KINDS:
        raise bad(where, value, ", ".join(DUMP_KINDS))
    return found


def guid(value: object, where: str) -> str:
    """A GUID as text, in lower case and without braces. Raises FactsError."""
    found = text(value, where).strip("{}").lower()
    if not _GUID.fullmatch(found):
        raise bad(where, value, 'a GUID such as "6ba7b810-9dad-11d1-80b4-00c04fd430c8"')
    return found


def digest(value: object, where: str) -> str:
    """A digest in lower case. Raises FactsError for one of unknown length."""
    found = text(value, where).lower()
    if len(found) not in (8, 16, 64):
        raise FactsError(
            f"answered facts.{where} of {len(found)} digits: expected 8 (CRC-32), 16 (BLAKE2b) or 64 (SHA-256)"
        )
    return found


def numbers(value: object, where: str) -> tuple[int, ...]:
    """A list of numbers. Raises FactsError."""
    if not isinstance(value, list):
        raise bad(where, value, "a list of numbers")
    return tuple(number(item, f"{where}[{index}]") for index, item in enumerate(value))


def registers(value: object, where: str) -> dict[str, int]:
    """Registers by name, in lower case. A register that is null is left out. Raises FactsError."""
    if not isinstance(value, dict):
        raise bad(where, value, "an object of registers")
    return {name.lower(): number(item, f"{where}.{name[:20]}") for name, item in value.items() if item is not None}


PARSERS: Final[dict[str, Callable[[object, str], Any]]] = {
    "number": number,
    "signed": signed,
    "text": text,
    "guid": guid,
    "digest": digest,
    "numbers": numbers,
    "registers": registers,
}
"""Kind of a member -> its check."""


def is_digest(said: str, data: bytes) -> bool:
    """Whether ``said`` is the digest of ``data``. Its length tells the kind: CRC-32, BLAKE2b of 8 bytes, or SHA-256."""
    if len(said) == 8:
        return said == f"{zlib.crc32(data):08x}"
    if len(said) == 16:
        return said == hashlib.blake2b(data, digest_size=8).hexdigest()
    return said == hashlib.sha256(data).hexdigest()


def shown(value: object) -> str:
    """A value for a line of a report."""
    if value is None:
        return "none"
    if isinstance(value, int):
        return hex(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(map(shown, value[:6])) + (", ..." if len(value) > 6 else "") + "]"
    return repr(value[:80]) if isinstance(value, str) else repr(value)[:80]
