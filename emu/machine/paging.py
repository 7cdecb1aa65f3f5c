"""Builds and walks amd64 four-level page tables in RAM.

Unicorn's own walker obeys the current privilege level and overwrites CR2
(docs/format/emulation.md#memory-access-by-the-host), so this file has its own.
It reads 4 KiB, 2 MiB and 1 GiB pages. `map` creates 4 KiB pages and `map_large` 2 MiB pages.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from .ram import PAGE_SIZE, Ram

# Page-table entry bits: AMD64 Architecture Programmer's Manual vol. 2, 5.4.1; Intel SDM vol. 3A, 4.5.
PRESENT = 1 << 0
WRITABLE = 1 << 1
USER = 1 << 2
ACCESSED = 1 << 5
DIRTY = 1 << 6
LARGE = 1 << 7  # in a page-directory entry (2 MiB) or page-directory-pointer entry (1 GiB)
NO_EXECUTE = 1 << 63
FRAME = 0x000F_FFFF_FFFF_F000

ENTRIES = 512
LARGE_PAGE_SIZE = 0x20_0000
_MASK64 = (1 << 64) - 1


class PagingError(Exception):
    """A request to map, unmap or protect pages is invalid."""


class PageNotPresent(PagingError):  # noqa: N818 - the term of the architecture
    """The host read or wrote a virtual address without a mapping. `va` is that address."""

    def __init__(self, va: int) -> None:
        super().__init__(f"virtual address {va:#x}: no page is mapped there")
        self.va = va


@dataclass(frozen=True, slots=True)
class Translation:
    """The mapping of one virtual address. `pa` is exact to the byte; `size` is the page size in bytes."""

    pa: int
    write: bool
    user: bool
    execute: bool
    size: int


def is_canonical(va: int) -> bool:
    """Whether bits 47 to 63 of `va` are all equal (AMD64 manual vol. 2, 1.1.3)."""
    return 0 <= va < 1 << 47 or (1 << 64) - (1 << 47) <= va < 1 << 64


class PageTables:
    """One address space. `root` is the physical address of its top table, the value for CR3.

    With `root`, the object uses existing tables. Without, it allocates an empty top table.

    `generation` grows with every change to a mapping. `code_generation` grows with every change of bytes or mappings
    that a processor may have translated. A Cpu with these tables checks both before it runs.
    """

    def __init__(self, ram: Ram, root: int | None = None) -> None:
        self._ram = ram
        self._words = ram.view.cast("Q")
        self.root = ram.allocate_page() if root is None else root & FRAME
        self.generation = 0
        self.code_generation = 0

    # --- changing mappings -----------------------------------------------------------------------------------------

    def map(self, va: int, pa: int, count: int, *, write: bool, user: bool, execute: bool) -> None:
        """Maps `count` 4 KiB pages at `va` to the contiguous physical pages at `pa`. Both are page-aligned.

        Raises PagingError, without any change, if a page of the range is mapped already.
        """
        self._check_range(va, count, PAGE_SIZE)
        if pa % PAGE_SIZE:
            raise PagingError(f"physical address {pa:#x}: expected a multiple of {PAGE_SIZE:#x}")
        for taken, _, _ in self.runs(va, count * PAGE_SIZE):
            raise PagingError(f"virtual address {taken:#x}: mapped already")
        first = pa | _flags(write=write, user=user, execute=execute)
        for base, index, length in self._leaf_tables(va, count):
            entry = first + (base - va)
            start = self._leaf_table(base) // 8 + index
            self._words[start : start + length] = array("Q", range(entry, entry + length * PAGE_SIZE, PAGE_SIZE))
        self._changed(code=execute)

    def map_large(self, va: int, pa: int, count: int, *, write: bool, user: bool, execute: bool) -> None:
        """Maps `count` 2 MiB pages; `va` and `pa` are multiples of 2 MiB.

        Raises PagingError if a page of the range is mapped already; the pages before it stay mapped.
        """
        self._check_range(va, count, LARGE_PAGE_SIZE)
        if pa % LARGE_PAGE_SIZE:
            raise PagingError(f"physical address {pa:#x}: expected a multiple of {LARGE_PAGE_SIZE:#x}")
        for number in range(count):
            directory = self._table(va + number * LARGE_PAGE_SIZE, levels=2)
            slot = directory // 8 + ((va + number * LARGE_PAGE_SIZE) >> 21) % ENTRIES
            if self._words[slot] & PRESENT:
                raise PagingError(f"virtual address {va + number * LARGE_PAGE_SIZE:#x}: mapped already")
            flags = _flags(write=write, user=user, execute=execute)
            self._words[slot] = (pa + number * LARGE_PAGE_SIZE) | flags | LARGE
        self._changed(code=execute)

    def unmap(self, va: int, count: int) -> None:
        """Removes `count` 4 KiB mappings from `va`, skipping holes. The physical pages stay allocated.

        Raises PagingError if the range contains a large page.
        """
        for start, length in self._present_leaves(va, count):
            self._words[start : start + length] = array("Q", bytes(8 * length))
        # The frames may be reused with other bytes, so code translated from them must be dropped.
        self._changed(code=True)

    def protect(self, va: int, count: int, *, write: bool, user: bool, execute: bool) -> None:
        """Changes the rights of the mapped pages among the `count` 4 KiB pages from `va`. Keeps their A and D bits.

        Raises PagingError if the range contains a large page.
        """
        keep = ~(WRITABLE | USER | NO_EXECUTE) & _MASK64
        flags = _flags(write=write, user=user, execute=execute)
        for start, length in self._present_leaves(va, count):
            old = self._words[start : start + length].tolist()
            self._words[start : start + length] = array("Q", [e & keep | flags if e & PRESENT else e for e in old])
        self._changed(code=execute)

    def set_self_map(self, index: int) -> None:
        """Points entry `index` (0 to 511) of the top table to the top table, supervisor only, as Windows does."""
        self._words[self.root // 8 + index] = self.root | PRESENT | WRITABLE | NO_EXECUTE
        self._changed(code=False)

    # --- looking up ------------------------------------------------------------------------------------------------

    def translate(self, va: int) -> Translation | None:
        """The mapping of `va`; None if no page is mapped there or the address is not canonical."""
        found = self._walk(va)
        if found is None:
            return None
        entry, rights, size = found
        return Translation(
            pa=(entry & FRAME & ~(size - 1)) + va % size,
            write=bool(rights & WRITABLE),
            user=bool(rights & USER),
            execute=not rights & NO_EXECUTE,
            size=size,
        )

    def runs(self, va: int, size: int) -> Iterator[tuple[int, int, int]]:
        """The mapped pieces of `size` bytes from `va`, ascending, as (va, pa, length in bytes).

        Each piece is physically contiguous and as long as possible. Unmapped parts are skipped.
        """
        start, pa, length = 0, 0, 0
        for piece, frame, piece_length in self._pieces(va, va + size):
            if length and piece == start + length and frame == pa + length:
                length += piece_length
                continue
            if length:
                yield start, pa, length
            start, pa, length = piece, frame, piece_length
        if length:
            yield start, pa, length

    def read(self, va: int, size: int) -> bytes:
        """`size` bytes from `va`; ignores protections. Raises PageNotPresent for the first missing byte."""
        if 0 < size <= PAGE_SIZE - va % PAGE_SIZE:  # fast path: most accesses of system services fit one page
            page = self.translate(va)
            if page is None:
                raise PageNotPresent(va)
            return self._ram.read(page.pa, size)
        return b"".join(self._ram.read(pa, length) for _, pa, length in self._whole(va, size))

    def write(self, va: int, data: bytes | bytearray | memoryview) -> None:
        """Writes `data` at `va`; ignores protections. Raises PageNotPresent, without a write, if a page is missing.

        Sets no D bit, because D bits record the writes of the guest only.
        """
        source = memoryview(data)
        if 0 < len(source) <= PAGE_SIZE - va % PAGE_SIZE:
            page = self.translate(va)
            if page is None:
                raise PageNotPresent(va)
            self._ram.write(page.pa, source)
            self.code_generation += page.execute
            return
        for piece, pa, length in list(self._whole(va, len(source))):
            self._ram.write(pa, source[piece - va : piece - va + length])
        # Checking several pages for execute rights costs more than translating the code again.
        self.code_generation += 1

    def take_dirty(self, va: int, count: int) -> list[int]:
        """Addresses of the pages that the guest wrote, among the `count` 4 KiB pages from `va`. Clears their D bits."""
        dirty = []
        for base, index, length in self._leaf_tables(va, count):
            table = self._find_table(base)
            if table is None:
                continue
            for number in range(length):
                slot = table // 8 + index + number
                if self._words[slot] & (PRESENT | DIRTY) == PRESENT | DIRTY:
                    self._words[slot] &= ~DIRTY & _MASK64
                    dirty.append(base + number * PAGE_SIZE)
        if dirty:
            self._changed(code=False)
        return dirty

    # --- the walker ------------------------------------------------------------------------------------------------

    def _walk(self, va: int) -> tuple[int, int, int] | None:
        """(leaf entry, effective rights as bits of an entry, page size) of `va`."""
        if not is_canonical(va):
            return None
        table, allowed, denied = self.root, WRITABLE | USER, 0
        for shift in (39, 30, 21, 12):
            slot = table // 8 + (va >> shift) % ENTRIES
            entry = self._words[slot] if slot < len(self._words) else 0
            if not entry & PRESENT:
                return None
            allowed &= entry
            denied |= entry & NO_EXECUTE
            if shift == 12 or (shift < 39 and entry & LARGE):
                return entry, allowed | denied, 1 << shift
            table = entry & FRAME
        raise AssertionError("unreachable: the last level is always a leaf")

    def _pieces(self, va: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Mapped pieces page by page. Skips the whole range of a missing table in one step."""
        while va < end:
            if not is_canonical(va):
                if va >= 1 << 63 or end <= (1 << 64) - (1 << 47):
                    return
                va = (1 << 64) - (1 << 47)
            table = self.root
            for shift in (39, 30, 21, 12):
                slot = table // 8 + (va >> shift) % ENTRIES
                entry = self._words[slot] if slot < len(self._words) else 0
                size = 1 << shift
                step = min(size - va % size, end - va)
                if not entry & PRESENT:
                    va += step
                    break
                if shift == 12:
                    # Reads the rest of the table at once. This is the hot path of every capture.
                    count = min(ENTRIES - (va >> 12) % ENTRIES, (end - va + va % PAGE_SIZE + 0xFFF) // PAGE_SIZE)
                    for leaf in self._words[slot : slot + count].tolist():
                        offset = va % PAGE_SIZE
                        length = min(PAGE_SIZE - offset, end - va)
                        if leaf & PRESENT:
                            yield va, (leaf & FRAME) + offset, length
                        va += length
                    break
                if shift < 39 and entry & LARGE:
                    yield va, (entry & FRAME & ~(size - 1)) + va % size, step
                    va += step
                    break
                table = entry & FRAME

    def _whole(self, va: int, size: int) -> list[tuple[int, int, int]]:
        """The pieces of a range. Raises PageNotPresent unless every byte is mapped."""
        pieces, expected = [], va
        for piece in self.runs(va, size):
            if piece[0] != expected:
                break
            pieces.append(piece)
            expected += piece[2]
        if expected != va + size:
            raise PageNotPresent(expected)
        return pieces

    # --- tables ----------------------------------------------------------------------------------------------------

    def _leaf_tables(self, va: int, count: int) -> Iterator[tuple[int, int, int]]:
        """Splits a run of 4 KiB pages at leaf-table boundaries: (first va, index in the table, number of entries)."""
        self._check_range(va, count, PAGE_SIZE)
        while count:
            index = (va >> 12) % ENTRIES
            length = min(count, ENTRIES - index)
            yield va, index, length
            va += length * PAGE_SIZE
            count -= length

    def _present_leaves(self, va: int, count: int) -> list[tuple[int, int]]:
        """(first word, number of words) of the entries of a run of pages. Skips missing leaf tables."""
        found = ((self._find_table(base), index, length) for base, index, length in self._leaf_tables(va, count))
        return [(table // 8 + index, length) for table, index, length in found if table is not None]

    def _find_table(self, va: int) -> int | None:
        """Physical address of the leaf table of `va`, or None. Raises PagingError if a large page maps `va`."""
        table = self.root
        for shift in (39, 30, 21):
            entry = self._words[table // 8 + (va >> shift) % ENTRIES]
            if not entry & PRESENT:
                return None
            if shift < 39 and entry & LARGE:
                raise PagingError(f"virtual address {va:#x}: lies in a large page, expected 4 KiB pages")
            table = entry & FRAME
        return table

    def _leaf_table(self, va: int) -> int:
        return self._table(va, levels=3)

    def _table(self, va: int, *, levels: int) -> int:
        """Physical address of the table `levels` below the top on the path to `va`. Creates missing tables.

        Entries of upper levels allow every access, so the leaf alone decides.
        """
        table = self.root
        for shift in (39, 30, 21)[:levels]:
            slot = table // 8 + (va >> shift) % ENTRIES
            entry = self._words[slot]
            if not entry & PRESENT:
                entry = self._words[slot] = self._ram.allocate_page() | PRESENT | WRITABLE | USER
            elif shift < 39 and entry & LARGE:
                raise PagingError(f"virtual address {va:#x}: mapped already, by a large page")
            table = entry & FRAME
        return table

    def _check_range(self, va: int, count: int, unit: int) -> None:
        end = va + count * unit
        if va % unit or count < 0:
            raise PagingError(f"pages {va:#x}+{count}: expected an address that is a multiple of {unit:#x}")
        if count and not (is_canonical(va) and is_canonical(end - 1) and va >> 47 == (end - 1) >> 47):
            raise PagingError(f"pages {va:#x}+{count}: not within one canonical half of the address space")

    def _changed(self, *, code: bool) -> None:
        self.generation += 1
        self.code_generation += code


def _flags(*, write: bool, user: bool, execute: bool) -> int:
    return PRESENT | write * WRITABLE | user * USER | (not execute) * NO_EXECUTE
