"""Loads the structure tables of ``oracle/tables`` and decodes records of a file by them.

Decoding never raises on content. If the file ends inside a structure, the missing fields read as 0 and ``complete`` is
False. The reader that asked for the record reports the defect.
"""

from __future__ import annotations

import re
import struct
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, reduce
from operator import or_
from pathlib import Path
from typing import Any, Final, NamedTuple

from .memory.source import ByteSource
from .model import Grade, Source, Span

# Kind of a field -> bytes of one element, whether it is signed. "bytes" has any width and is not decoded; "utf16" is a
# fixed array of UTF-16LE units, padded with NULs.
KINDS: Final[Mapping[str, tuple[int, bool]]] = {
    "u8": (1, False),
    "u16": (2, False),
    "u32": (4, False),
    "u64": (8, False),
    "i32": (4, True),
    "bytes": (1, False),
    "utf16": (2, False),
}


_SECTION: Final = re.compile(r"^\[(structures|enumerations)\.(\w+)\]$", re.MULTILINE)
"""The first line of a structure or an enumeration in a table."""


CODES: Final = {(1, False): "B", (2, False): "H", (4, False): "I", (8, False): "Q", (4, True): "i"}
"""Width in bytes, and whether the integer is signed -> the code of ``struct``."""
_UNPACK: Final = {kind: struct.Struct(f"<{code}").unpack_from for kind, code in CODES.items()}
_AT_ONCE: Final = 24
"""Fields. A record with more, such as a CONTEXT, decodes the few that are asked for."""


class TableError(Exception):
    """A table is malformed. This is a bug in the oracle, not a property of a dump."""


@dataclass(frozen=True, slots=True)
class Field:
    """One row of a structure table."""

    name: str
    """The member's C path: ``Stack.Memory.Rva``."""
    offset: int
    """From the start of the structure, in bytes."""
    width: int
    """In bytes, of the whole array if the row is an array."""
    kind: str
    source: Source

    @property
    def count(self) -> int:
        """Elements: 1 unless the row is an array."""
        return self.width // KINDS[self.kind][0]


class Structure(NamedTuple):
    """One structure of a format, as its table has it."""

    name: str
    size: int
    """In bytes."""
    fields: Mapping[str, Field]
    """By name, in table order, which is file order."""
    source: Source
    header: str | None
    """The public C header that declares it; None if no public header does."""
    c_type: str
    """Its name in that header."""
    architectures: tuple[str, ...]
    """The targets for which the header declares it; empty means all."""
    integers: Mapping[str, tuple[int, int, bool]]
    """Field -> start, end, whether it is signed. Precomputed for reads of integers."""
    decoders: Mapping[str, tuple[Callable[[bytes, int], tuple[int]], int]]
    """Field -> what decodes it in a whole record, and its start; of the integers whose size ``struct`` knows."""
    whole: Callable[[bytes], tuple[int, ...]] | None
    """Decodes all integers of a whole record at once, in the order of ``decoders``; None for a large structure."""


@dataclass(frozen=True)
class Enumeration:
    """Names of numbers, or of the bits of a flags field."""

    name: str
    members: Mapping[str, int]
    source: Source
    header: str | None
    """The public C header that declares the members, or None."""
    undeclared: frozenset[str]
    """Members that ``header`` does not declare: newer headers or other writers define them."""

    def __getitem__(self, name: str) -> int:
        return self.members[name]

    @cached_property
    def names(self) -> Mapping[int, str]:
        """The name of each number. Of several members with one number the first counts."""
        return {number: name for name, number in reversed(tuple(self.members.items()))}

    def name_of(self, value: int) -> str:
        """The name of the member, or the value in hexadecimal if no member has it."""
        return self.names.get(value) or f"{value:#x}"

    @cached_property
    def mask(self) -> int:
        """All bits of the members, for an enumeration of flags."""
        return reduce(or_, self.members.values(), 0)


def _source(row: Mapping[str, Any]) -> Source:
    return Source(row["source"], Grade(row.get("grade", "DOCUMENTED")), tuple(row.get("versions", ())))


def _structure(name: str, table: Mapping[str, Any]) -> Structure:
    source = _source(table)
    fields: dict[str, Field] = {}
    for row in table["fields"]:
        field, offset, width, kind, *rest = row
        override = rest[0] if rest else {}
        if kind not in KINDS or width % KINDS[kind][0] or offset + width > table["size"] or field in fields:
            raise TableError(
                f"{name}.{field}: bad offset {offset:#x}, width {width} or kind {kind!r}, or a repeated name"
            )
        fields[field] = Field(
            field,
            offset,
            width,
            kind,
            _source({"source": source.where, "grade": source.grade, "versions": source.versions} | override)
            if override
            else source,
        )
    integers = {item.name: (item.offset, item.offset + item.width, KINDS[item.kind][1]) for item in fields.values()}
    decoders = {
        name: (_UNPACK[end - start, sign], start)
        for name, (start, end, sign) in integers.items()
        if (end - start, sign) in _UNPACK
    }
    return Structure(
        name,
        table["size"],
        fields,
        source,
        table.get("header"),
        table.get("c_type", name),
        tuple(table.get("architectures", ())),
        integers,
        decoders,
        _whole(table["size"], [integers[name] for name in decoders]) if len(decoders) <= _AT_ONCE else None,
    )


def _whole(size: int, integers: Sequence[tuple[int, int, bool]]) -> Callable[[bytes], tuple[int, ...]] | None:
    """What decodes these integers of a record of ``size`` bytes; None if they overlap or do not ascend."""
    at, codes = 0, "<"
    for start, end, signed in integers:
        if start < at:
            return None
        codes += f"{start - at}x{CODES[end - start, signed]}"
        at = end
    return struct.Struct(f"{codes}{size - at}x").unpack


@cache
def _sections() -> Mapping[str, Mapping[str, str]]:
    """The text of each structure and each enumeration, by name. Parsing all of them takes longer than most checks."""
    found: dict[str, dict[str, str]] = {"structures": {}, "enumerations": {}}
    for entry in sorted(Path(__file__).with_name("tables").glob("*.toml")):
        head, *parts = _SECTION.split(entry.read_text(encoding="utf-8"))
        if tomllib.loads(head):
            raise TableError(f"{entry.name}: the first line is neither a comment nor a structure or enumeration")
        for kind, name, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
            if name in found[kind]:
                raise TableError(f"{entry.name}: {name} is declared twice in the {kind}")
            found[kind][name] = f"[{kind}.{name}]{text}"
    return found


def _table(kind: str, name: str) -> Mapping[str, Any]:
    """Raises KeyError if no table has it."""
    document = tomllib.loads(_sections()[kind][name])
    if list(document) != [kind] or list(document[kind]) != [name]:
        raise TableError(f"the section of {kind}.{name} holds another table")
    table: Mapping[str, Any] = document[kind][name]
    return table


def structures() -> Mapping[str, Structure]:
    """Every structure of the tables, by name."""
    return {name: structure(name) for name in _sections()["structures"]}


def enumerations() -> Mapping[str, Enumeration]:
    """Every enumeration of the tables, by name."""
    return {name: enumeration(name) for name in _sections()["enumerations"]}


@cache
def structure(name: str) -> Structure:
    """Raises KeyError if no table has it."""
    return _structure(name, _table("structures", name))


@cache
def enumeration(name: str) -> Enumeration:
    """Raises KeyError if no table has it."""
    table = _table("enumerations", name)
    return Enumeration(
        name, table["members"], _source(table), table.get("header"), frozenset(table.get("undeclared", ()))
    )


class Record(dict[str, int]):
    """One structure in a file: field -> value of an integer field, decoded when one is first read.

    Records are equal only if they are the same.
    """

    __slots__ = ("_data", "offset", "path", "structure")

    def __init__(self, structure: Structure, path: str, offset: int, data: bytes) -> None:
        self.structure = structure
        self.path = path
        """Its name in a report: ``thread 2``, ``module 0``."""
        self.offset = offset
        """Where it begins in the file."""
        self._data = data

    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__  # type: ignore[assignment]

    def __bool__(self) -> bool:
        return True

    @property
    def span(self) -> Span:
        """The bytes of the file that it takes."""
        return Span(self.offset, self.offset + self.structure.size)

    @property
    def type(self) -> str:
        """The name of the structure."""
        return self.structure.name

    @property
    def complete(self) -> bool:
        """Whether the file holds all of its bytes."""
        return len(self._data) == self.structure.size

    def __missing__(self, name: str) -> int:
        """Decode an integer field and keep its value. Raises KeyError if the table has no such field."""
        table = self.structure
        try:
            unpack, start = table.decoders[name]
            if table.whole is not None:
                self.update(zip(table.decoders, table.whole(self._data), strict=True))
                return self[name]
            value = unpack(self._data, start)[0]
        except (KeyError, struct.error):
            start, end, signed = table.integers[name]
            value = int.from_bytes(self._data[start:end], "little", signed=signed)
        self[name] = value
        return value

    def array(self, name: str) -> tuple[int, ...]:
        """The elements of an array of integers."""
        field = self.structure.fields[name]
        width, signed = KINDS[field.kind]
        start, end = field.offset, field.offset + field.width
        return tuple(
            int.from_bytes(self._data[at : at + width], "little", signed=signed) for at in range(start, end, width)
        )

    def raw(self, name: str) -> bytes:
        """The bytes of a field of any kind; fewer if the file ends inside it."""
        field = self.structure.fields[name]
        return self._data[field.offset : field.offset + field.width]

    def text(self, name: str) -> str:
        """The text of a fixed UTF-16 array, up to its first NUL. Invalid units read as U+FFFD."""
        return self.raw(name).decode("utf-16-le", "replace").partition("\0")[0]

    def data(self) -> bytes:
        """All bytes of the record that the file holds."""
        return self._data

    def span_of(self, name: str) -> Span:
        """The bytes of the file that hold the field."""
        field = self.structure.fields[name]
        start = self.offset + field.offset
        return Span(start, start + field.width)

    def __repr__(self) -> str:
        return f"<{self.structure.name} {self.path} at {self.span}>"


def decode(source: ByteSource, offset: int, structure_name: str, path: str) -> Record:
    """Decode the structure at file offset ``offset``. ``path`` names the record in a report."""
    table = structure(structure_name)
    return Record(table, path, offset, source.read(offset, table.size))
