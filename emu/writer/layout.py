"""Places sections in a file and fills in offsets and sizes. The engine knows no dump format.

- A *section* is a run of parts that stay together.
- A *label* is a number that is not known yet: the start of a section or a part, or the length of a section.
- A *cite* is a place in a part that receives a label's value.

``Layout.freeze`` gives every placed section its offset, fills every cite with a checked width and returns the map of
the file. ``Layout.emit`` then writes exactly the reserved bytes. Bulk data is never copied: parts keep their buffers.

The design follows Crashpad's MinidumpWritable and Breakpad's test_assembler.
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
"""Shorter parts are joined before they are written. Longer parts go to the sink as they are."""


class LayoutError(Exception):
    """The layout is inconsistent."""


class LayoutOverflow(LayoutError):  # noqa: N818 - named after the fault
    """A value does not fit its field."""

    def __init__(self, place: str, value: int, width: int, unit: str = "bytes") -> None:
        super().__init__(f"{place}: {value:#x} does not fit in {width} {unit}")
        self.place = place
        self.beyond_4_gib = width == 4 and value >> 32 > 0
        """Whether the value is an offset or size of more than 32 bits in a 32-bit field."""


class UnplacedLabel(LayoutError):  # noqa: N818 - named after the fault
    """A field cites a section or part that was never placed."""


class Overlap(LayoutError):  # noqa: N818 - named after the fault
    """A section starts inside another one."""


class DuplicatePath(LayoutError):  # noqa: N818 - named after the fault
    """Two parts or two sections have the same name."""


class Label:
    """A number that is known once the layout is frozen."""

    __slots__ = ("_value", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._value: int | None = None

    @property
    def value(self) -> int:
        """The number. Raises UnplacedLabel before the layout is frozen, and for a label that was never placed."""
        if self._value is None:
            raise UnplacedLabel(f"label {self.name}: never placed")
        return self._value

    def resolve(self, value: int) -> None:
        """Set the value. Raises LayoutError when it is set already."""
        if self._value is not None:
            raise LayoutError(f"label {self.name}: placed twice")
        self._value = value


@dataclass(frozen=True, slots=True)
class Cite:
    """A field that receives a label's value: ``width`` bytes wide, ``at`` bytes from the start of its part."""

    field: str
    at: int
    width: int
    label: Label


@dataclass(frozen=True, slots=True)
class Entry:
    """A placed part of the file: name, type, offset, size. ``fields`` gives (offset in the part, size) by name."""

    path: str
    kind: str
    offset: int
    size: int
    fields: FieldMap = field(default_factory=dict)

    @property
    def end(self) -> int:
        """The offset after the last byte."""
        return self.offset + self.size


@dataclass(slots=True)
class _Part:
    path: str
    kind: str
    data: memoryview | int
    """The bytes, or a number of zeros."""
    fields: FieldMap
    cites: Sequence[Cite]
    start: Label

    @property
    def size(self) -> int:
        return self.data if isinstance(self.data, int) else self.data.nbytes


class Section:
    """A contiguous run of parts. ``start`` and ``length`` can be cited before the section is complete."""

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
        """Append a part and return the label of its start. Raises LayoutError after the freeze."""
        if self._frozen:
            raise LayoutError(f"{self.path}: {path} comes after the freeze")
        view = memoryview(data)
        for cite in cites:
            if not 0 <= cite.at <= view.nbytes - cite.width:
                raise LayoutError(f"{path}.{cite.field}: the cited field lies outside its part")
        if cites:
            view = memoryview(bytearray(view))
        start = Label(path)
        self._parts.append(_Part(path, kind, view, fields, cites, start))
        self.size += view.nbytes
        return start

    def add_zeros(self, path: str, kind: str, size: int) -> Label:
        """Append ``size`` zero bytes and return the label of their start. They take no memory, and no disk if sparse.

        Raises LayoutError after the freeze.
        """
        if self._frozen:
            raise LayoutError(f"{self.path}: {path} comes after the freeze")
        start = Label(path)
        self._parts.append(_Part(path, kind, size, NO_FIELDS, (), start))
        self.size += size
        return start

    def freeze(self) -> Iterable[_Part]:
        """Return the parts. No part can be added any more."""
        self._frozen = True
        return self._parts


class LayoutMap:
    """The map of a file: every byte belongs to exactly one entry, and a section groups contiguous entries."""

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
        """The section of that name, such as the stream ``ThreadList`` with its entries. Raises KeyError."""
        return self._sections_by_path[path]

    def field(self, path: str, field: str) -> tuple[int, int]:
        """File offset and size of a field, such as ``ThreadContext.Rva``. Raises KeyError."""
        entry = self._by_path[path]
        at, size = entry.fields[field]
        return entry.offset + at, size

    def matching(self, kind: str) -> tuple[Entry, ...]:
        """Every part of type ``kind``, in file order."""
        return tuple(entry for entry in self.entries if entry.kind == kind)


def _by_path(entries: Iterable[Entry]) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for entry in entries:
        if found.setdefault(entry.path, entry) is not entry:
            raise DuplicatePath(f"{entry.path}: placed at {found[entry.path].offset:#x} and at {entry.offset:#x}")
    return found


class Sink(Protocol):
    """Takes the bytes of a file in order, then patches of bytes that it has already."""

    def write(self, data: Buffer) -> None:
        """Take the next bytes of the file."""

    def write_zeros(self, size: int) -> None:
        """Take ``size`` zero bytes."""

    def patch(self, offset: int, data: bytes) -> None:
        """Replace bytes at ``offset`` that were written before."""


class Layout:
    """The sections of a file, in file order. Sections of a lower phase come first."""

    def __init__(self) -> None:
        self._placed: list[tuple[int, int | None, int, Section]] = []
        self._parts: list[memoryview | int] = []
        self._map: LayoutMap | None = None

    def place(self, section: Section, *, at: int | None = None, align: int = 1, phase: int = 0) -> None:
        """Place ``section`` after the last one of its phase. Raises LayoutError after the freeze, or if placed twice.

        ``at`` fixes the offset, ``align`` rounds it up. Gaps become zeros.
        """
        if self._map is not None:
            raise LayoutError(f"{section.path}: placed after the freeze")
        if section.placed:
            raise LayoutError(f"{section.path}: placed twice")
        section.placed = True
        self._placed.append((phase, at, align, section))

    def freeze(self) -> LayoutMap:
        """Fix all offsets, fill all cites and return the map.

        Raises Overlap, UnplacedLabel, LayoutOverflow or DuplicatePath.
        """
        if self._map is not None:
            return self._map
        entries: list[Entry] = []
        sections: list[Entry] = []
        parts: list[_Part] = []
        end = 0
        for _, at, align, section in sorted(self._placed, key=lambda item: item[0]):
            start = -(-end // align) * align if at is None else at
            if start < end:
                raise Overlap(f"{section.path} starts at {start:#x}, but {sections[-1].path} ends at {end:#x}")
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
        """Write the frozen layout. The field ``last`` (path, field) is written as zeros and patched at the end.

        Raises LayoutError when the layout is not frozen, or when the size of a part differs from the reserved size.
        """
        if self._map is None:
            raise LayoutError("emit was called before freeze")
        held = self._map.field(*last) if last else None
        chunk = bytearray()
        written = 0
        kept = b""
        for entry, data in zip(self._map.entries, self._parts, strict=True):
            size = data if isinstance(data, int) else data.nbytes
            if size != entry.size or entry.offset != written:
                raise LayoutError(
                    f"{entry.path}: {size:#x} bytes at {written:#x}, expected {entry.size:#x} at {entry.offset:#x}"
                )
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
