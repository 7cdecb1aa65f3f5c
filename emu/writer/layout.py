"""Sections, labels and cites: where bytes go in a file. This engine knows no format.

A *section* is a run of parts that stay together. A *label* is a number not yet known: where a section or a part starts,
how long a section is. A *cite* is a place in a part where a label's value is to be written. ``Layout.freeze`` gives
every placed section its offset, fills every cite with a checked width, and returns the map of all that was placed;
``Layout.emit`` then writes exactly the bytes that were reserved. Bulk data is never copied: parts keep the buffers
that they were given.

After a design of Crashpad's MinidumpWritable and Breakpad's test_assembler.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

Buffer = bytes | bytearray | memoryview
FieldMap = Mapping[str, tuple[int, int]]
NO_FIELDS: FieldMap = MappingProxyType({})

_CHUNK = 1 << 16
"""Parts shorter than this are joined before they are written; longer ones go to the sink as they are."""


class LayoutError(Exception):
    """The layout cannot be what it was asked to be."""


class LayoutOverflow(LayoutError):  # noqa: N818 - named after the fault
    """A value does not fit the field that should hold it."""

    def __init__(self, place: str, value: int, width: int) -> None:
        super().__init__(f"{place}: {value:#x} does not fit {width} bytes")
        self.place = place
        self.beyond_4_gib = width == 4 and value >> 32 > 0
        """Whether it is an offset or size that 32 bits cannot say."""


class UnplacedLabel(LayoutError):  # noqa: N818 - named after the fault
    """A field cites something that was never placed."""


class Overlap(LayoutError):  # noqa: N818 - named after the fault
    """A section is to start inside another."""


class DuplicatePath(LayoutError):  # noqa: N818 - named after the fault
    """Two things would have one name in the map."""


class Label:
    """A number that is known once the layout is frozen."""

    __slots__ = ("_value", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._value: int | None = None

    @property
    def value(self) -> int:
        """Raises UnplacedLabel before the layout is frozen, and after it when nothing placed what the label names."""
        if self._value is None:
            raise UnplacedLabel(f"{self.name} was never placed")
        return self._value

    def resolve(self, value: int) -> None:
        """Give the label its value, once. Raises LayoutError on a second time."""
        if self._value is not None:
            raise LayoutError(f"{self.name} was placed twice")
        self._value = value


@dataclass(frozen=True, slots=True)
class Cite:
    """A field of a part, ``at`` bytes into it and ``width`` bytes wide, that will hold a label's value."""

    field: str
    at: int
    width: int
    label: Label


@dataclass(frozen=True, slots=True)
class Entry:
    """One part of the file, as placed: what it is called, of which type, and where. ``fields``: name -> (at, size)."""

    path: str
    kind: str
    offset: int
    size: int
    fields: FieldMap = field(default_factory=dict)

    @property
    def end(self) -> int:
        return self.offset + self.size


@dataclass(slots=True)
class _Part:
    path: str
    kind: str
    data: memoryview | int
    """The bytes; a number: so many zeros."""
    fields: FieldMap
    cites: Sequence[Cite]
    start: Label

    @property
    def size(self) -> int:
        return self.data if isinstance(self.data, int) else self.data.nbytes


class Section:
    """A contiguous run of parts. ``start`` and ``length`` may be cited before the section is complete."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.start = Label(f"{path} (start)")
        self.length = Label(f"{path} (length)")
        self.size = 0
        self.placed = False
        self._parts: list[_Part] = []
        self._frozen = False

    def add(
        self, path: str, kind: str, data: Buffer, *, fields: FieldMap = NO_FIELDS, cites: Sequence[Cite] = ()
    ) -> Label:
        """Append a part and return the label of its start. Raises LayoutError once the layout is frozen."""
        if self._frozen:
            raise LayoutError(f"{self.path}: {path} comes after the freeze")
        view = memoryview(data)
        for cite in cites:
            if not 0 <= cite.at <= view.nbytes - cite.width:
                raise LayoutError(f"{path}.{cite.field}: cited outside its part")
        if cites:
            view = memoryview(bytearray(view))
        start = Label(path)
        self._parts.append(_Part(path, kind, view, fields, cites, start))
        self.size += view.nbytes
        return start

    def add_zeros(self, path: str, kind: str, size: int) -> Label:
        """Append ``size`` zero bytes, which take no memory, and in a file that can have holes no disk either."""
        if self._frozen:
            raise LayoutError(f"{self.path}: {path} comes after the freeze")
        start = Label(path)
        self._parts.append(_Part(path, kind, size, NO_FIELDS, (), start))
        self.size += size
        return start

    def freeze(self) -> Iterable[_Part]:
        """No more parts from here on."""
        self._frozen = True
        return self._parts


class LayoutMap:
    """What is where in the file: every byte belongs to exactly one entry. A section groups contiguous entries."""

    def __init__(self, entries: Sequence[Entry], sections: Sequence[Entry]) -> None:
        self.entries = tuple(entries)
        self.sections = tuple(sections)
        self._by_path = _by_path(self.entries)
        self._sections_by_path = _by_path(self.sections)

    @property
    def size(self) -> int:
        """The file's size."""
        return self.entries[-1].end if self.entries else 0

    def __contains__(self, path: object) -> bool:
        return path in self._by_path

    def entry(self, path: str) -> Entry:
        """The part of that name, such as ``ThreadList.Threads[2]``. Raises KeyError."""
        return self._by_path[path]

    def section(self, path: str) -> Entry:
        """The section of that name: a whole stream with its list, such as ``ThreadList``. Raises KeyError."""
        return self._sections_by_path[path]

    def field(self, path: str, field: str) -> tuple[int, int]:
        """File offset and size of a field, such as ``ThreadContext.Rva``. Raises KeyError."""
        entry = self._by_path[path]
        at, size = entry.fields[field]
        return entry.offset + at, size

    def matching(self, kind: str) -> tuple[Entry, ...]:
        """Every part of one type, in file order."""
        return tuple(entry for entry in self.entries if entry.kind == kind)


def _by_path(entries: Iterable[Entry]) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for entry in entries:
        if found.setdefault(entry.path, entry) is not entry:
            raise DuplicatePath(f"{entry.path}: placed at {found[entry.path].offset:#x} and at {entry.offset:#x}")
    return found


class Sink(Protocol):
    """Where the bytes go: in order, then patches of bytes already written."""

    def write(self, data: Buffer) -> None: ...

    def write_zeros(self, size: int) -> None: ...

    def patch(self, offset: int, data: bytes) -> None: ...


class Layout:
    """Sections in the order of the file. Lower phases come first, whatever the order they are placed in."""

    def __init__(self) -> None:
        self._placed: list[tuple[int, int | None, int, Section]] = []
        self._parts: list[memoryview | int] = []
        self._map: LayoutMap | None = None

    def place(self, section: Section, *, at: int | None = None, align: int = 1, phase: int = 0) -> None:
        """Give the section the next place; ``at`` fixes its offset, ``align`` rounds it up. Gaps become zeros."""
        if self._map is not None:
            raise LayoutError(f"{section.path}: placed after the freeze")
        if section.placed:
            raise LayoutError(f"{section.path}: placed twice")
        section.placed = True
        self._placed.append((phase, at, align, section))

    def freeze(self) -> LayoutMap:
        """Fix all offsets and fill all cites. Raises Overlap, UnplacedLabel, LayoutOverflow or DuplicatePath."""
        if self._map is not None:
            return self._map
        entries: list[Entry] = []
        sections: list[Entry] = []
        parts: list[_Part] = []
        end = 0
        for _, at, align, section in sorted(self._placed, key=lambda item: item[0]):
            start = -(-end // align) * align if at is None else at
            if start < end:
                raise Overlap(f"{section.path} is to start at {start:#x}, but {sections[-1].path} ends at {end:#x}")
            if start > end:
                entries.append(Entry(f"Padding[{end:#x}]", "padding", end, start - end))
                self._parts.append(start - end)
            section.start.resolve(start)
            end = start
            for part in section.freeze():
                part.start.resolve(end)
                entries.append(Entry(part.path, part.kind, end, part.size, part.fields))
                self._parts.append(part.data)
                parts.append(part)
                end += part.size
            section.length.resolve(end - start)
            sections.append(Entry(section.path, "section", start, end - start))
        for part in parts:
            _fill(part)
        self._map = LayoutMap(entries, sections)
        return self._map

    def emit(self, sink: Sink, *, last: tuple[str, str] | None = None) -> None:
        """Write the frozen layout. The field ``last`` (path, field) is written as zeros first and filled in at the end.

        Raises LayoutError when the layout is not frozen, or when written and reserved sizes differ.
        """
        if self._map is None:
            raise LayoutError("emit before freeze")
        held = self._map.field(*last) if last else None
        chunk = bytearray()
        written = 0
        kept = b""
        for entry, data in zip(self._map.entries, self._parts, strict=True):
            size = data if isinstance(data, int) else data.nbytes
            if size != entry.size or entry.offset != written:
                raise LayoutError(f"{entry.path}: reserved {entry.size:#x} bytes, writes {size:#x}")
            written += size
            if isinstance(data, int):
                if size < _CHUNK:
                    chunk += bytes(size)
                else:
                    if chunk:
                        sink.write(chunk)
                        chunk = bytearray()
                    sink.write_zeros(size)
            elif held and entry.offset <= held[0] < entry.end:
                at = held[0] - entry.offset
                kept = bytes(data[at : at + held[1]])
                content = bytearray(data)
                content[at : at + held[1]] = bytes(held[1])
                chunk += content
            elif data.nbytes < _CHUNK:
                chunk += data
            else:
                if chunk:
                    sink.write(chunk)
                    chunk = bytearray()
                sink.write(data)
            if len(chunk) >= _CHUNK:
                sink.write(chunk)
                chunk = bytearray()
        if chunk:
            sink.write(chunk)
        if held:
            sink.patch(held[0], kept)


def _fill(part: _Part) -> None:
    if isinstance(part.data, int):
        return
    for cite in part.cites:
        try:
            value = cite.label.value
        except UnplacedLabel as error:
            raise UnplacedLabel(f"{part.path}.{cite.field}: {error}") from None
        if value.bit_length() > 8 * cite.width:
            raise LayoutOverflow(f"{part.path}.{cite.field}", value, cite.width)
        part.data[cite.at : cite.at + cite.width] = value.to_bytes(cite.width, "little")
