"""The facts of a kernel dump, with the bytes that they were read from, and reads of the target's memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Final, NamedTuple, Self

from ..decode import Record, structure
from ..memory.page import PAGE_SIZE
from ..memory.source import ByteSource
from ..memory.walk import AddressSpace
from ..model import Span
from .kernel_pages import NoPages, PageBitmap, PageMap, PageRuns
from .lookup import Lookup, kept_lookup
from .reading import Reading
from .recorded import RecordedModule

# DumpType: tables/kernel_header.toml, DUMP_TYPE
FULL, SUMMARY, HEADER, TRIAGE, BITMAP_FULL, BITMAP_KERNEL, AUTOMATIC, KERNEL, ACTIVE, COMPLETE = range(1, 11)
BITMAPS: Final = frozenset({SUMMARY, BITMAP_FULL, BITMAP_KERNEL})
RANGES: Final = frozenset({KERNEL, ACTIVE, COMPLETE})
PAGED: Final = frozenset({FULL}) | BITMAPS | RANGES
"""Types that hold physical pages."""
READABLE: Final = PAGED | {HEADER, TRIAGE}
"""Types whose layout is known."""

FILL: Final = b"PAGE"
"""The pattern that the kernel fills a header with before it stores fields (docs/format/kernel-header.md#fill)."""
FILL32: Final = int.from_bytes(FILL, "little")
"""A field of 32 bits that was never stored."""
XP: Final = 2600
"""The build of Windows XP."""

MAX_MODULES: Final = 4096
"""How many entries of a module list are followed. Real lists have up to 245."""


def fill(start: int, size: int) -> bytes:
    """``size`` bytes of the fill, as they are at file offset ``start``."""
    return (FILL * (size // 4 + 2))[start % 4 : start % 4 + size]


def is_fill(record: Record, name: str) -> bool:
    """Whether a field holds the fill: its writer never stored it."""
    span = record.span_of(name)
    return record.raw(name) == fill(span.start, len(span))


class DataBlock(NamedTuple):
    """A TRIAGE_DATA_BLOCK whose bytes lie in the file."""

    record: Record
    start: int
    """The address. Addresses of a 32-bit target are sign-extended to 64 bits in the file, not here."""
    offset: int
    size: int

    @classmethod
    def of(cls, record: Record, bits: int) -> Self:
        """``bits``: width of the target's pointers."""
        return cls(record, record["Address"] & ((1 << bits) - 1), record["Offset"], record["Size"])

    @property
    def end(self) -> int:
        return self.start + self.size

    @property
    def span(self) -> Span:
        return Span(self.offset, self.offset + self.size)


@dataclass(frozen=True, slots=True)
class Extent:
    """The target's memory ``[start, end)``, virtual addresses, in the file at ``offset``."""

    start: int
    end: int
    offset: int


@dataclass(frozen=True, slots=True)
class PoolString:
    """A DUMP_STRING of the string pool."""

    offset: int
    length: int
    """UTF-16 units, without the NUL."""
    text: str
    terminated: bool


@dataclass(frozen=True, slots=True)
class BlobFact:
    """A blob of secondary data."""

    record: Record
    """DUMP_BLOB_HEADER."""
    data: Span
    pads: tuple[Span, Span]
    """PrePad before the data, PostPad after it."""


@dataclass
class TriageFacts:
    """A small dump: TRIAGE_DUMP and the parts that its offsets locate."""

    header: Record
    blocks: dict[str, Span] = field(default_factory=dict)
    """The parts that lie in the file, by name: ``mm``, ``unloaded``, ``prcb``, ``process``, ``thread``, ``stack``,
    ``debugger data``, ``drivers``, ``pool``, ``block table``, ``data page``."""
    mm: Record | None = None
    unloaded: list[Record] = field(default_factory=list)
    unloaded_count: int = 0
    drivers: list[Record] = field(default_factory=list)
    strings: dict[int, PoolString] = field(default_factory=dict)
    """By file offset."""
    data_blocks: list[DataBlock] = field(default_factory=list)
    data_end: int = 0
    """File offset after the bytes of the data blocks."""
    layout: str = "A"
    """A or B: docs/format/kernel-small-layouts.md#how-to-tell-a-from-b."""


@dataclass(frozen=True, slots=True)
class ModuleEntry(RecordedModule):
    """An entry of the loaded module list."""

    BASE: ClassVar[str] = "DllBase"
    record: Record
    """KLDR_DATA_TABLE_ENTRY, or DUMP_DRIVER_ENTRY in a small dump."""
    address: int | None
    """The virtual address of the entry; None in a small dump."""


def _page(source: ByteSource, pages: PageMap, pfn: int) -> memoryview | None:
    offset = pages.offset_of(pfn)
    view = None if offset is None else source.view(offset, PAGE_SIZE)
    return view if view is not None and len(view) == PAGE_SIZE else None


@dataclass(frozen=True, slots=True)
class _FilePages:
    """The pages of a dump, for its address space. An address space that held the dump would be a cycle of references,
    and the file would stay mapped until the garbage collector runs.
    """

    source: ByteSource
    pages: PageMap

    def page(self, pfn: int) -> memoryview | None:
        return _page(self.source, self.pages, pfn)


@dataclass
class KernelDump(Reading):
    """A kernel dump, as read."""

    kind: ClassVar[str] = "kernel-dump"

    bits: int = 64
    """Width of the target's pointers, 32 or 64."""
    header: Record | None = None
    """DUMP_HEADER64 or DUMP_HEADER32."""
    context: Record | None = None
    """CONTEXT of the crashing processor; None for an unknown machine."""
    exception: Record | None = None
    descriptor: Record | None = None
    """PHYSICAL_MEMORY_DESCRIPTOR, in the main header or after an RDMP header."""
    runs: list[tuple[int, int]] = field(default_factory=list)
    """(BasePage, PageCount) of that descriptor, in file order."""
    run_size: int = 16
    """Bytes of a run: two numbers as wide as the target's pointers; 64-bit numbers in range dumps."""
    runs_at: int = 0
    """File offset of the first run."""
    page_header: Record | None = None
    """SUMMARY_DUMP, BITMAP_DUMP or RDMP_HEADER."""
    bitmap: Span | None = None
    pages: PageRuns | PageBitmap | NoPages = field(default_factory=NoPages)
    triage: TriageFacts | None = None
    blob_header: Record | None = None
    blobs: list[BlobFact] = field(default_factory=list)
    primary_end: int | None = None
    """File offset after the pages, or after the triage part: secondary data begins here."""
    tail: Span | None = None
    """The bytes after everything that was read."""

    @property
    def header_size(self) -> int:
        """Bytes of the main header: 0x2000 or 0x1000."""
        return 0x2000 if self.bits == 64 else 0x1000

    @property
    def type(self) -> int:
        """DumpType; 0 without a header. A type that was left as fill is read as type 1
        (docs/format/kernel-header-fields.md#dumptype-field).
        """
        stored = 0 if self.header is None else self.header["DumpType"]
        return FULL if stored == FILL32 else stored

    @property
    def paged(self) -> bool:
        """Whether dumps of this type hold physical pages."""
        return self.type in PAGED

    @property
    def build(self) -> int:
        """The build of the target's Windows; 0 without a header."""
        return 0 if self.header is None else self.header["MinorVersion"]

    @property
    def architecture(self) -> str | None:
        """``amd64``, ``arm64`` or ``x86``; None for another machine, or one whose pointers have another width."""
        machine = 0 if self.header is None else self.header["MachineImageType"]
        return {(0x8664, 64): "amd64", (0xAA64, 64): "arm64", (0x14C, 32): "x86"}.get((machine, self.bits))

    @property
    def pointer(self) -> int:
        """Size of the target's pointers, in bytes."""
        return self.bits // 8

    def run_span(self, index: int) -> Span:
        """The bytes of run ``index`` of the descriptor in the file."""
        return Span(self.runs_at + index * self.run_size, self.runs_at + (index + 1) * self.run_size)

    def address(self, value: int) -> int:
        """An address from KDDEBUGGER_DATA64, which sign-extends the pointers of a 32-bit target to 64 bits."""
        return value if self.bits == 64 else value & 0xFFFF_FFFF

    def page(self, pfn: int) -> memoryview | None:
        """The 4096 bytes of a physical page; None unless the dump holds all of them."""
        return _page(self.source, self.pages, pfn)

    @cached_property
    def space(self) -> AddressSpace | None:
        """The address space below DirectoryTableBase; None for a type without pages and for an unknown machine."""
        if self.header is None or not self.paged or self.architecture is None:
            return None
        mode = self.architecture
        if mode == "x86" and self.header["PaeEnabled"] & 1:
            mode = "x86-pae"
        if mode == "amd64" and self.header["PagingLevels"] == 5:
            mode = "amd64-la57"
        return AddressSpace(_FilePages(self.source, self.pages), self.header["DirectoryTableBase"], mode)

    @cached_property
    def _ranges(self) -> Lookup:
        """The virtual memory of a small dump: the stack, the debugger data and the data blocks.

        The file does not say where its other parts are in the target.
        """
        extents: list[Extent | DataBlock] = []
        if self.triage is not None and self.header is not None:
            extents.extend(self.triage.data_blocks)
            for name, address in (
                ("stack", self.triage.header["TopOfStack"]),
                ("debugger data", self.header["KdDebuggerDataBlock"]),
            ):
                span = self.triage.blocks.get(name)
                if span is not None:
                    extents.append(Extent(address, address + len(span), span.start))
        return kept_lookup(self.source, extents)

    def read(self, address: int, size: int) -> bytes | None:
        """``size`` bytes of the target's virtual memory; None unless the dump holds all of them."""
        if self.paged:
            return None if self.space is None else self.space.read(address, size)
        return self._ranges.read(self.source, address, size)

    def captured(self) -> list[tuple[int, int]]:
        """The virtual memory of a small dump: sorted ``[start, end)`` that neither overlap nor touch."""
        return self._ranges.union

    def pages_held(self) -> int:
        """How many pages the dump holds bytes of. Each page counts once."""
        return self.pages.held(self.source.size) if self.paged else self._ranges.pages()

    def pieces(self) -> list[tuple[int, int, int]]:
        """The virtual memory of a small dump: sorted, disjoint ``(start, end, file offset)``."""
        return self._ranges.pieces

    def where(self, address: int) -> int:
        """The file offset of the byte at a virtual address; 0 if the dump does not hold it."""
        if self.paged:
            physical = None if self.space is None else self.space.translate(address)
            offset = None if physical is None else self.pages.offset_of(physical // PAGE_SIZE)
            return 0 if offset is None or physical is None else offset + physical % PAGE_SIZE
        for start, end, offset in self._ranges.pieces:
            if start <= address < end:
                return offset + address - start
        return 0

    def structure(self, name: str, address: int, path: str, size: int | None = None) -> Record | None:
        """A structure in the target's virtual memory; None unless the dump holds it.

        ``size`` is its size in bytes if that differs from the table's.
        """
        table = structure(name)
        data = self.read(address, min(table.size if size is None else size, table.size))
        return None if data is None else Record(table, path, self.where(address), data)

    def pointer_at(self, address: int) -> int | None:
        """The pointer at a virtual address; None unless the dump holds it."""
        data = self.read(address, self.pointer)
        return None if data is None else int.from_bytes(data, "little")

    @cached_property
    def debugger_data(self) -> Record | None:
        """KDDEBUGGER_DATA64, from a small dump's copy or from the target's memory; None if neither is there."""
        if self.header is None:
            return None
        table = structure("KDDEBUGGER_DATA64")
        if self.triage is not None:
            span = self.triage.blocks.get("debugger data")
            if span is None:
                return None
            data = self.source.read(span.start, min(len(span), table.size))
            return Record(table, "debugger data", span.start, data)
        address = self.header["KdDebuggerDataBlock"]
        head = self.structure("KDDEBUGGER_DATA64", address, "debugger data", 0x18)
        if head is None:
            return None
        size = head["Header.Size"] if 0x18 <= head["Header.Size"] <= table.size else table.size
        return self.structure("KDDEBUGGER_DATA64", address, "debugger data", size) or head

    @cached_property
    def modules(self) -> list[ModuleEntry]:
        """The list of loaded modules, as far as its links can be followed."""
        if self.triage is not None:
            return [ModuleEntry(record, None) for record in self.triage.drivers]
        found: list[ModuleEntry] = []
        if self.header is None:
            return found
        head = self.header["PsLoadedModuleList"]
        seen = {head}
        at = self.pointer_at(head)
        name = f"KLDR_DATA_TABLE_ENTRY{self.bits}"
        while at is not None and at not in seen and len(found) < MAX_MODULES:
            seen.add(at)
            record = self.structure(name, at, f"module {len(found)}")
            if record is None:
                break
            found.append(ModuleEntry(record, at))
            at = record["InLoadOrderLinks.Flink"]
        return found

    def processor_block(self, index: int) -> int | None:
        """KiProcessorBlock[index], the address of a KPRCB; None unless the dump holds it."""
        debugger = self.debugger_data
        if debugger is None or not debugger["KiProcessorBlock"]:
            return None
        return self.pointer_at(self.address(debugger["KiProcessorBlock"]) + index * self.pointer)

    def integer(self, address: int, size: int) -> int | None:
        """The unsigned integer of ``size`` bytes at a virtual address; None unless the dump holds it."""
        data = self.read(address, size)
        return None if data is None else int.from_bytes(data, "little")
