"""Writes and reads the members of the truth format (docs/truth-format.md).

A missing member, an unknown member and a value of the wrong form raise ``BadValue``. It has the place below the value
that was read; whoever reads the value around it adds its own step. ``at_file`` turns it into TruthError.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import DumptruthError

LONGEST_ARRAY = 1 << 20
"""Elements (docs/truth-format.md#ceilings)."""
_PLAIN_NAME = re.compile("[A-Za-z0-9_]{1,60}")
_HEX = re.compile("0x(?:0|[1-9a-f][0-9a-f]{0,15})")
_HEX_LINES = re.compile(rf"(?:{_HEX.pattern}\n)*{_HEX.pattern}")
_EXCERPT = 60


class TruthError(DumptruthError):
    """A truth directory cannot be read or written. The text names the file and the member."""


class BadValue(Exception):  # noqa: N818 - it becomes a TruthError, which names the file
    """A value that the format does not allow: its place, what the format expects there, and what was found."""

    def __init__(self, expected: str, found: str, *place: str | int) -> None:
        super().__init__(expected, found, *place)
        self.expected, self.found, self.place = expected, found, place

    def inside(self, *steps: str | int) -> BadValue:
        """Return the same for the value around this one. A step is a member's name or an element's index."""
        return BadValue(self.expected, self.found, *steps, *self.place)

    @property
    def member(self) -> str:
        """The place as text, such as ``threads[3].teb``."""
        text = ""
        for step in self.place:
            plain = isinstance(step, str) and _PLAIN_NAME.fullmatch(step)
            text += (f".{step}" if text else str(step)) if plain else f"[{ascii(step)[:_EXCERPT]}]"
        return text


@contextmanager
def at_file(path: Path) -> Iterator[None]:
    """Turn BadValue into TruthError."""
    try:
        yield
    except BadValue as bad:
        member = f"{bad.member}: " if bad.place else ""
        raise TruthError(f"{path}: {member}expected {bad.expected}, found {bad.found}") from None


def excerpt(value: Any) -> str:
    """Return a JSON value as one short line, however large or deep it is."""
    match value:
        case dict():
            return f"an object with {len(value)} members"
        case list():
            return f"an array of {len(value)}"
        case int() if value.bit_length() > 128:
            return f"a number of {value.bit_length()} bits"
        case str() if len(value) > _EXCERPT:
            return json.dumps(value[:_EXCERPT])[:_EXCERPT] + "..."
        case _:
            return json.dumps(value)


@dataclass(frozen=True)
class Kind:
    """Writes and reads one kind of member. ``read`` raises BadValue."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


@dataclass(frozen=True)
class Scalar(Kind):
    """A value that is no object and no array. ``rows`` reads it from the text."""

    pattern: bytes
    """Finds the value in JSON text, and has one group. A value of another form is for ``read``."""
    convert: Callable[[Sequence[bytes]], Sequence[Any]]
    """Makes values from what the group found in many rows. Raises ValueError for what ``read`` is to judge."""


@dataclass(frozen=True)
class Optional(Kind):
    """A value or null."""

    kind: Kind
    null: Any = None
    """What null stands for in the snapshot."""


@dataclass(frozen=True)
class List(Kind):
    """An array."""

    item: Kind
    least: int
    most: int


@dataclass(frozen=True)
class Named(Kind):
    """An object with any names."""

    item: Kind


@dataclass(frozen=True)
class Object(Kind):
    """An object with these members."""

    make: Callable[..., Any]
    members: Mapping[str, Kind]
    later: Mapping[str, Later]


class Rows(tuple[Any, ...]):
    """The items of an array that ``rows`` has read already."""

    __slots__ = ()


@dataclass(frozen=True)
class Later:
    """A member that a later version of the format added. An older truth lacks it; then it has its default.

    A member with its default is not written, unless ``always`` is set: absence of such a member means "not known".
    """

    kind: Kind
    default: Any = None
    always: bool = False
    nullable: bool = True
    """Whether null stands for the default."""


NOTHING: Mapping[str, Later] = MappingProxyType({})


def integer(low: int, high: int) -> Scalar:
    """Return a number from ``low`` to ``high``."""

    def read(value: Any) -> int:
        if type(value) is int and low <= value <= high:  # a bool is an int in Python, but not in JSON
            return value
        raise BadValue(f"an integer from {low} to {high}", excerpt(value))

    def convert(texts: Sequence[bytes]) -> list[int]:
        values = list(map(int, texts))
        if min(values) < low or max(values) > high:
            raise ValueError
        return values

    return Scalar(int, read, _INTEGER, convert)


def code(*choice: int) -> Scalar:
    """Return a number that is one of ``choice``."""

    def read(value: Any) -> int:
        if type(value) is int and value in choice:
            return value
        raise BadValue(f"one of {', '.join(map(str, choice))}", excerpt(value))

    def convert(texts: Sequence[bytes]) -> list[int]:
        known = {text: int(text) for text in set(texts)}
        if not choices.issuperset(known.values()):
            raise ValueError
        return [known[text] for text in texts]

    choices = frozenset(choice)
    return Scalar(int, read, _INTEGER, convert)


def _read_hex(value: Any) -> int:
    if type(value) is str and _HEX.fullmatch(value):
        return int(value, 16)
    raise BadValue('up to 64 bits as a lower-case hexadecimal string, such as "0x1f"', excerpt(value))


def _read_text(value: Any) -> str:
    if type(value) is str:
        return value
    raise BadValue("a string", excerpt(value))


def _read_bool(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise BadValue("true or false", excerpt(value))


def bytes_of(size: int | None = None) -> Scalar:
    """Return a string of bytes; with ``size``, of exactly so many."""

    def read(value: Any) -> bytes:
        try:
            data = bytes.fromhex(value)  # it allows upper case and blanks, the format does not
        except (TypeError, ValueError):
            data = None
        if data is None or data.hex() != value:
            raise BadValue("bytes in lower-case hexadecimal without prefix", excerpt(value))
        if size not in (None, len(data)):
            raise BadValue(f"{size} bytes", str(len(data)))
        return data

    def convert(texts: Sequence[bytes]) -> list[bytes]:
        found = [bytes.fromhex(text.decode("ascii")) for text in texts]
        if any(data.hex().encode() != text for data, text in zip(found, texts, strict=True)):
            raise ValueError
        if size is not None and any(len(data) != size for data in found):
            raise ValueError
        return found

    return Scalar(bytes.hex, read, rb'"([^"]*+)"', convert)


def _texts(found: Sequence[bytes]) -> list[str]:
    known: dict[bytes, str] = {text: json.loads(f'"{text.decode()}"') for text in set(found)}
    return [known[text] for text in found]


_INTEGER = rb"(-?(?:0|[1-9][0-9]{0,9}+))"
U8, U16, U32 = (integer(0, (1 << bits) - 1) for bits in (8, 16, 32))
I32 = integer(-(1 << 31), (1 << 31) - 1)
HEX = Scalar(hex, _read_hex, rb'"0x(0|[1-9a-f][0-9a-f]{0,15}+)"', lambda texts: list(map(int, texts, repeat(16))))
TEXT = Scalar(str, _read_text, rb'"((?:[^"\\]++|\\.)*+)"', _texts)
BYTES = bytes_of()
BOOL = Scalar(bool, _read_bool, b"(true|false)", lambda texts: [text == b"true" for text in texts])


def word(*choice: str) -> Kind:
    """Return a string that is one of ``choice``."""

    def read(value: Any) -> str:
        if type(value) is str and value in choice:
            return value
        raise BadValue(f"one of {', '.join(choice)}", excerpt(value))

    return Kind(str, read)


def optional(kind: Kind) -> Kind:
    """Return ``kind`` or null."""
    return Optional(
        lambda value: None if value is None else kind.write(value),
        lambda value: None if value is None else kind.read(value),
        kind,
    )


def list_of(kind: Kind, length: int | None = None, *, most: int = LONGEST_ARRAY) -> Kind:
    """Return an array of ``kind``, a tuple in the snapshot; with ``length``, of exactly so many items."""
    least, most = (0, most) if length is None else (length, length)

    def read(value: Any) -> tuple[Any, ...]:
        if type(value) is Rows:
            return value
        if type(value) is not list:
            raise BadValue("an array", excerpt(value))
        if not least <= len(value) <= most:
            raise BadValue(f"{least} to {most} elements", str(len(value)))
        items: list[Any] = []
        try:
            for item in value:
                items.append(kind.read(item))
        except BadValue as bad:
            raise bad.inside(len(items)) from None
        return tuple(items)

    return List(lambda value: [kind.write(item) for item in value], read, kind, least, most)


def object_of(make: Callable[..., Any], members: Mapping[str, Kind], later: Mapping[str, Later] = NOTHING) -> Kind:
    """Return an object with exactly these members, which ``make`` takes by name. Those of ``later`` may be missing."""

    def write(value: Any) -> dict[str, Any]:
        return write_members(value, members, later)

    def read(value: Any) -> Any:
        return make(**read_members(value, members, later))

    return Object(write, read, make, members, later)


def write_members(value: Any, members: Mapping[str, Kind], later: Mapping[str, Later]) -> dict[str, Any]:
    """Return the members of ``value`` as JSON values."""
    written = {name: kind.write(getattr(value, name)) for name, kind in members.items()}
    for name, member in later.items():
        if member.always or getattr(value, name) != member.default:
            written[name] = member.kind.write(getattr(value, name))
    return written


def read_members(found: Any, members: Mapping[str, Kind], later: Mapping[str, Later]) -> dict[str, Any]:
    """Return the snapshot's values of the members of the object ``found``. Raises BadValue."""
    expect_members(found, members, later)
    values: dict[str, Any] = {}
    name = ""
    try:
        for name, kind in members.items():
            values[name] = kind.read(found[name])
        for name, member in later.items():
            absent = found[name] is None and member.nullable if name in found else True
            values[name] = member.default if absent else member.kind.read(found[name])
    except BadValue as bad:
        raise bad.inside(name) from None
    return values


def expect_members(found: Any, members: Collection[str], later: Collection[str] = ()) -> None:
    """Raise BadValue unless ``found`` is an object with all of ``members``, and others of ``later`` at most."""
    if type(found) is not dict:
        raise BadValue("an object", excerpt(found))
    if len(found) == len(members) and all(map(found.__contains__, members)):
        return
    for name in members:
        if name not in found:
            raise BadValue("a value", "none", name)
    for name in found:
        if name not in members and name not in later:
            raise BadValue("no such member", excerpt(found[name]), name)


def named(kind: Kind, name_of: Kind = TEXT) -> Kind:
    """Return an object with any members, (name, value) pairs in the snapshot. ``name_of`` is the kind of the names."""

    def read(value: Any) -> tuple[tuple[Any, Any], ...]:
        if type(value) is not dict:
            raise BadValue("an object", excerpt(value))
        pairs: list[tuple[Any, Any]] = []
        name = ""
        try:
            for name, item in value.items():
                pairs.append((name_of.read(name), kind.read(item)))
        except BadValue as bad:
            raise bad.inside(name) from None
        return tuple(pairs)

    return Named(lambda pairs: {name_of.write(name): kind.write(value) for name, value in pairs}, read, kind)


def _read_registers(value: Any) -> tuple[tuple[str, int], ...]:
    """Registers are most of a large truth: check them as one text, and only a bad one by itself."""
    try:
        if _HEX_LINES.fullmatch("\n".join(value.values())):
            return tuple(zip(value, map(int, value.values(), repeat(16)), strict=True))
    except (AttributeError, TypeError, ValueError):  # no object, no strings, a string of two lines
        pass
    pairs: tuple[tuple[str, int], ...] = _EACH_REGISTER.read(value)
    return pairs


_EACH_REGISTER = named(HEX)
REGISTERS = Named(_EACH_REGISTER.write, _read_registers, HEX)


def tuple_of(members: Mapping[str, Kind]) -> Kind:
    """Return an object with these members, a tuple of their values in the snapshot."""

    def read(value: Any) -> tuple[Any, ...]:
        return tuple(read_members(value, members, NOTHING).values())

    def write(values: Any) -> dict[str, Any]:
        return {name: kind.write(value) for (name, kind), value in zip(members.items(), values, strict=True)}

    return Object(write, read, tuple, members, NOTHING)


def pair_of(*names: str) -> Kind:
    """Return an object of hexadecimal members, a tuple of numbers in the snapshot."""
    return tuple_of(dict.fromkeys(names, HEX))
