"""Holds the target's memory: the pages of the region table, and access to them with the rights of user code.

Services access the caller's memory through ``read`` and ``write``. They obey the page protections and raise
``StatusError`` (ACCESS_VIOLATION) where an instruction of user code would fault.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from ..constants import (
    PAGE_EXECUTE,
    PAGE_EXECUTE_READ,
    PAGE_EXECUTE_READWRITE,
    PAGE_EXECUTE_WRITECOPY,
    PAGE_GUARD,
    PAGE_READWRITE,
    PAGE_WRITECOPY,
    readable_protection,
)
from ..machine.paging import PageTables
from ..machine.ram import Ram, RamExhausted
from .address_space import USER_END, AddressSpace, page_floor
from .ceilings import Ceilings
from .winnt import PAGE_SIZE, Status, StatusError

WRITABLE = PAGE_READWRITE | PAGE_EXECUTE_READWRITE
COPY_ON_WRITE = PAGE_WRITECOPY | PAGE_EXECUTE_WRITECOPY
EXECUTABLE = PAGE_EXECUTE | PAGE_EXECUTE_READ | PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY

_COPIED_AT_ONCE = 1 << 20

_PRIVATE_COPY = {PAGE_WRITECOPY: PAGE_READWRITE, PAGE_EXECUTE_WRITECOPY: PAGE_EXECUTE_READWRITE}


class GuestMemory:
    """The physical pages of one address space. Implements ``Pages`` for the region table ``space``.

    ``on_guard`` is called with the address when a service touches a guard page. It returns whether to retry the access.
    """

    def __init__(self, ram: Ram, tables: PageTables, *, bottom_up: int, meter: Ceilings | None = None) -> None:
        self._meter = meter or Ceilings()
        self._ram = ram
        self._tables = tables
        self._shared: set[int] = set()  # physical pages that belong to sections
        self.pages_given = 0
        """Number of pages that were ever mapped. Each counts as one page fault."""
        self.pages_mapped = 0
        self.peak_pages_mapped = 0
        self.space = AddressSpace(self, bottom_up=bottom_up, meter=self._meter)
        self.on_guard: Callable[[int], bool] = lambda _address: False

    # --- Pages

    def commit(self, start: int, count: int, protect: int) -> None:
        physical = self.new_pages(count)
        try:
            self._map(start, physical, count, protect)
        except StatusError:
            self._free(physical, count)
            raise

    def decommit(self, start: int, count: int) -> None:
        self._release(start, count)

    def protect(self, start: int, count: int, protect: int) -> None:
        self._tables.protect(start, count, **_rights(protect))

    # --- views and images

    def new_pages(self, count: int) -> int:
        """Zeroed contiguous physical pages. Raises StatusError (COMMITMENT_LIMIT)."""
        try:
            return self._ram.allocate_pages(count)
        except RamExhausted:
            raise self._meter.refused("memory", count * PAGE_SIZE) from None

    def share(self, physical: int, count: int) -> None:
        """Mark pages as owned by a section, so that unmapping a view does not free them."""
        self._shared.update(range(physical, physical + count * PAGE_SIZE, PAGE_SIZE))

    def unshare(self, physical: int, count: int) -> None:
        """Free the pages of a section that has no handle and no view left."""
        self._shared.difference_update(range(physical, physical + count * PAGE_SIZE, PAGE_SIZE))
        self._free(physical, count)

    def _free(self, physical: int, count: int) -> None:
        for page in range(physical, physical + count * PAGE_SIZE, PAGE_SIZE):
            self._ram.free_page(page)

    def fill(self, physical: int, data: bytes) -> None:
        """Write physical pages that no view maps yet."""
        self._ram.write(physical, data)

    def physical(self, physical: int, size: int) -> bytes:
        """Read physical memory."""
        return self._ram.read(physical, size)

    def map_view(self, base: int, size: int, physical: int, protect: int, view_type: int) -> None:
        """Map a view of contiguous physical pages. Raises CONFLICTING_ADDRESSES if the range is not free."""
        if not self.space.is_free(base, size):
            raise StatusError(Status.CONFLICTING_ADDRESSES)
        self._map(base, physical, size // PAGE_SIZE, protect)
        self.space.insert_view(base, size, protect, view_type)

    def map_private(self, base: int, size: int, protect: int, view_type: int) -> None:
        """Map a view with new zeroed pages, for images and KUSER_SHARED_DATA. Raises as ``map_view``."""
        physical = self.new_pages(size // PAGE_SIZE)
        try:
            self.map_view(base, size, physical, protect, view_type)
        except StatusError:
            self._free(physical, size // PAGE_SIZE)
            raise

    def unmap_view(self, address: int) -> tuple[int, int]:
        """Unmap the view that covers ``address``. Returns (base, size). Raises NOT_MAPPED_VIEW."""
        base, size = self.space.remove_view(address)
        self._release(base, size // PAGE_SIZE)
        return base, size

    def _map(self, start: int, physical: int, count: int, protect: int) -> None:
        try:
            self._tables.map(start, physical, count, **_rights(protect))
        except RamExhausted:  # no page left for a page table
            self._tables.unmap(start, count)
            raise self._meter.refused("memory", count * PAGE_SIZE) from None
        self.pages_given += count
        self.pages_mapped += count
        self.peak_pages_mapped = max(self.peak_pages_mapped, self.pages_mapped)

    def _release(self, start: int, count: int) -> None:
        self.pages_mapped -= count
        frames = list(self._tables.runs(start, count * PAGE_SIZE))
        self._tables.unmap(start, count)
        for _, physical, length in frames:
            for page in range(physical, physical + length, PAGE_SIZE):
                if page not in self._shared:
                    self._ram.free_page(page)

    # --- access with the system's rights

    def peek(self, address: int, size: int) -> bytes:
        """Read committed pages; ignores protections. Raises PageNotPresent."""
        return self._tables.read(address, size)

    def poke(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Write committed pages; ignores protections. Raises PageNotPresent."""
        self._tables.write(address, data)

    # --- access with the caller's rights

    def readable_bytes(self, address: int, size: int) -> bytes | None:
        """Read as a debugger does: None if a byte is not committed, PAGE_NOACCESS or PAGE_GUARD."""
        if address < 0 or address + size > USER_END:
            return None
        for page in range(page_floor(address), address + size, PAGE_SIZE):
            if not readable_protection(self.space.protection(page)):
                return None
        return self.peek(address, size)

    def read(self, address: int, size: int) -> bytes:
        """Read with the caller's rights. Raises ACCESS_VIOLATION."""
        self._probe(address, size, write=False)
        return self.peek(address, size) if size else b""

    def write(self, address: int, data: bytes) -> None:
        """Write with the caller's rights. Raises ACCESS_VIOLATION without a write."""
        self._probe(address, len(data), write=True)
        if data:
            self.poke(address, data)

    def copy(self, target: int, source: int, size: int) -> None:
        """Copy memory that the caller may read to memory that it may write. Raises ACCESS_VIOLATION without a copy."""
        self._probe(source, size, write=False)
        self._probe(target, size, write=True)
        pieces = [(at, min(_COPIED_AT_ONCE, size - at)) for at in range(0, size, _COPIED_AT_ONCE)]
        for at, length in reversed(pieces) if target > source else pieces:  # the ranges may overlap
            self.poke(target + at, self.peek(source + at, length))

    def probe_read(self, address: int, size: int) -> None:
        """Check that ``read`` would succeed. Raises ACCESS_VIOLATION."""
        self._probe(address, size, write=False)

    def probe_write(self, address: int, size: int) -> None:
        """Check that ``write`` would succeed, as ProbeForWrite does. Raises ACCESS_VIOLATION."""
        self._probe(address, size, write=True)

    def _probe(self, address: int, size: int, *, write: bool) -> None:
        if size == 0:
            return
        if address < 0 or size < 0 or address + size > USER_END:
            raise StatusError(Status.ACCESS_VIOLATION)
        for page in range(page_floor(address), address + size, PAGE_SIZE):
            protect = self.space.protection(page)
            if protect & PAGE_GUARD and self.on_guard(max(page, address)):
                protect = self.space.protection(page)
            if not readable_protection(protect):
                raise StatusError(Status.ACCESS_VIOLATION)
            if write and not protect & WRITABLE and not self.copy_on_write(page):
                raise StatusError(Status.ACCESS_VIOLATION)

    def copy_on_write(self, address: int) -> bool:
        """Make a PAGE_WRITECOPY page private and writable after a write. False if the page has another protection.

        Every image has its own pages here, so nothing is copied and only the protection changes.
        """
        protect = self.space.protection(address)
        if not protect & COPY_ON_WRITE or protect & PAGE_GUARD:
            return False
        page = page_floor(address)
        self.space.set_protection(page, page + PAGE_SIZE, _PRIVATE_COPY[protect])
        return True

    # --- typed access with the caller's rights

    def u8(self, address: int) -> int:
        return self.read(address, 1)[0]

    def u16(self, address: int) -> int:
        return int.from_bytes(self.read(address, 2), "little")

    def u32(self, address: int) -> int:
        return int.from_bytes(self.read(address, 4), "little")

    def u64(self, address: int) -> int:
        return int.from_bytes(self.read(address, 8), "little")

    def i64(self, address: int) -> int:
        return int.from_bytes(self.read(address, 8), "little", signed=True)

    def put_u32(self, address: int, value: int) -> None:
        self.write(address, struct.pack("<I", value & 0xFFFFFFFF))

    def put_u64(self, address: int, value: int) -> None:
        self.write(address, struct.pack("<Q", value & 0xFFFFFFFFFFFFFFFF))

    def unicode_string(self, address: int) -> str:
        """The text of a UNICODE_STRING (ntdef.h: Length and MaximumLength in bytes, Buffer at 8 on amd64)."""
        length, _, buffer = struct.unpack("<HH4xQ", self.read(address, 16))
        return self.read(buffer, length & ~1).decode("utf-16-le", "surrogatepass")


def _rights(protect: int) -> dict[str, bool]:
    """Rights of the page-table entry. A page that user code must not access stays mapped as a supervisor page."""
    return {
        "write": bool(protect & WRITABLE),
        "user": readable_protection(protect),
        "execute": bool(protect & EXECUTABLE),
    }
