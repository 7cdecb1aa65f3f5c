"""Writes and reads the members of the truth format (docs/truth-format.md).

A missing member, an unknown member and a value of the wrong form raise TruthError, which names the member.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import DumptruthError


class TruthError(DumptruthError):
    """A truth directory cannot be read or written. The text names the file and the member."""


@dataclass(frozen=True)
class Where:
    """A place in a document, for errors. ``where / name`` is a member of it, ``where / 3`` an element."""

    file: Path
    member: str

    def __truediv__(self, name: str | int) -> Where:
        step = f"[{name}]" if isinstance(name, int) else f".{name}" if self.member else name
        return Where(self.file, self.member + step)

    def error(self, message: str) -> TruthError:
        """Return the error for this place; the caller raises it."""
        return TruthError(f"{self.file}: {self.member + ': ' if self.member else ''}{message}")


@dataclass(frozen=True)
class Kind:
    """Writes and reads one kind of member. ``read`` raises TruthError."""

    write: Callable[[Any], Any]
    read: Callable[[Any, Where], Any]


@dataclass(frozen=True)
class Later:
    """A member that a later version of the format added. An older truth lacks it; then it has its default.

    A member with its default is not written, unless ``always`` is set: absence of such a member means "not known".
    """

    kind: Kind
    default: Any = None
    always: bool = False


NOTHING: Mapping[str, Later] = MappingProxyType({})


def _read_number(value: Any, where: Where) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise where.error(f"expected a number, found {json.dumps(value)[:40]}")
    return value


def _read_hex(value: Any, where: Where) -> int:
    if not isinstance(value, str) or not re.fullmatch(r"0x[0-9a-f]+", value):
        raise where.error(f"expected a string of lower-case hexadecimal with 0x, found {json.dumps(value)[:40]}")
    return int(value, 0)


def _read_text(value: Any, where: Where) -> str:
    if not isinstance(value, str):
        raise where.error(f"expected a string, found {json.dumps(value)[:40]}")
    return value


def _read_bytes(value: Any, where: Where) -> bytes:
    if not isinstance(value, str) or not re.fullmatch(r"([0-9a-f]{2})*", value):
        raise where.error("expected bytes in lower-case hexadecimal without prefix")
    return bytes.fromhex(value)


def _read_bool(value: Any, where: Where) -> bool:
    if not isinstance(value, bool):
        raise where.error(f"expected true or false, found {json.dumps(value)[:40]}")
    return value


NUMBER = Kind(int, _read_number)
HEX = Kind(hex, _read_hex)
TEXT = Kind(str, _read_text)
BYTES = Kind(bytes.hex, _read_bytes)
BOOL = Kind(bool, _read_bool)


def optional(kind: Kind) -> Kind:
    """Return ``kind`` or null."""
    return Kind(
        lambda value: None if value is None else kind.write(value),
        lambda value, where: None if value is None else kind.read(value, where),
    )


def list_of(kind: Kind, length: int | None = None) -> Kind:
    """Return an array of ``kind``, a tuple in the snapshot; with ``length``, of exactly so many items."""

    def read(value: Any, where: Where) -> tuple[Any, ...]:
        if not isinstance(value, list) or (length is not None and len(value) != length):
            raise where.error(f"expected an array{f' of {length}' if length is not None else ''}")
        return tuple(kind.read(item, where / index) for index, item in enumerate(value))

    return Kind(lambda value: [kind.write(item) for item in value], read)


def object_of(make: Callable[..., Any], members: Mapping[str, Kind], later: Mapping[str, Later] = NOTHING) -> Kind:
    """Return an object with exactly these members, which ``make`` takes by name. Those of ``later`` may be missing."""

    def write(value: Any) -> dict[str, Any]:
        return write_members(value, members, later)

    def read(value: Any, where: Where) -> Any:
        found = members_of(value, where, members, later)
        return make(**read_members(found, where, members, later))

    return Kind(write, read)


def write_members(value: Any, members: Mapping[str, Kind], later: Mapping[str, Later]) -> dict[str, Any]:
    """Return the members of ``value`` as JSON values."""
    written = {name: kind.write(getattr(value, name)) for name, kind in members.items()}
    for name, member in later.items():
        if member.always or getattr(value, name) != member.default:
            written[name] = member.kind.write(getattr(value, name))
    return written


def read_members(
    found: Mapping[str, Any], where: Where, members: Mapping[str, Kind], later: Mapping[str, Later]
) -> dict[str, Any]:
    """Return the snapshot's values of the members in ``found``. Raises TruthError."""
    values = {name: kind.read(found[name], where / name) for name, kind in members.items()}
    for name, member in later.items():
        absent = found.get(name) is None
        values[name] = member.default if absent else member.kind.read(found[name], where / name)
    return values


def members_of(
    value: Any, where: Where, expected: Mapping[str, Any] | Sequence[str], later: Collection[str] = ()
) -> dict[str, Any]:
    """Return the members of an object. Those of ``expected`` are required, those of ``later`` allowed.

    Raises TruthError for a value that is no object, a missing member or an unknown member.
    """
    if not isinstance(value, dict):
        raise where.error("expected an object")
    for name in expected:
        if name not in value:
            raise (where / name).error("missing")
    for name in value:
        if name not in expected and name not in later:
            raise (where / name).error("unknown member")
    return value


def pair_of(*names: str) -> Kind:
    """Return an object of hexadecimal members, a tuple of numbers in the snapshot."""

    def read(value: Any, where: Where) -> tuple[int, ...]:
        found = members_of(value, where, names)
        return tuple(_read_hex(found[name], where / name) for name in names)

    return Kind(lambda numbers: {name: hex(number) for name, number in zip(names, numbers, strict=True)}, read)
