"""Holds physical memory: one private anonymous host buffer for the processor, the page tables and the dump writer.

Unicorn gets the buffer by `mem_map_ptr`, so memory is never copied in bulk.
"""

import ctypes
import mmap
import struct
import sys
from collections.abc import Iterable
from functools import cached_property

PAGE_SIZE = 0x1000  # amd64 small page; AMD64 Architecture Programmer's Manual vol. 2, 5.3

# Linux mman.h MAP_NORESERVE, which Python's mmap names since 3.13. With it a machine may have more RAM than the host,
# since only touched pages count. Other systems do not count untouched memory, or refuse to give it.
_MAP_NORESERVE = 0x4000 if sys.platform == "linux" else 0


class RamExhausted(MemoryError):  # noqa: N818 - says what happened
    """No free physical page, or no contiguous run of the requested length, is left."""


class Ram:
    """`size` bytes of physical memory from physical address 0 up, all zero.

    `size` is a multiple of 4096 and at least 8192. Physical page 0 is never allocated, so that 0 can mean "none" in a
    page table. A page costs the host no memory until it is written.
    """

    def __init__(self, size: int) -> None:
        if size < 2 * PAGE_SIZE or size % PAGE_SIZE:
            raise ValueError(f"RAM size {size:#x}: expected a multiple of {PAGE_SIZE:#x}, at least two pages")
        # Python's mmap defaults to MAP_SHARED, where a scan allocates every page that it reads
        # (docs/format/emulation.md#memory-of-the-host). Windows has neither the flag nor the problem.
        if hasattr(mmap, "MAP_PRIVATE"):
            self._mmap = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE)
        else:
            self._mmap = mmap.mmap(-1, size)
        self._pin = (ctypes.c_char * size).from_buffer(self._mmap)
        self._view = memoryview(self._mmap)
        self._size = size
        self._search_from = 1  # no free page below this number
        self._fresh_from = 1  # pages from here on were never allocated, so they are still zero

    @cached_property
    def _used(self) -> bytearray:
        """A byte for each page: 1 if it is allocated. Made at the first use: a dump's memory is never allocated."""
        used = bytearray(self._size // PAGE_SIZE)
        used[0] = 1
        return used

    @property
    def size(self) -> int:
        """Bytes of physical memory."""
        return self._size

    @property
    def view(self) -> memoryview:
        """All of physical memory, writable, format 'B'."""
        return self._view

    @property
    def address(self) -> int:
        """Host address of physical address 0, valid while this object lives."""
        return ctypes.addressof(self._pin)

    def read(self, pa: int, size: int) -> bytes:
        """`size` bytes from physical address `pa`. Raises IndexError outside RAM."""
        return bytes(self._view[self._checked(pa, size)])

    def write(self, pa: int, data: bytes | bytearray | memoryview) -> None:
        """Writes `data` at physical address `pa`. Raises IndexError outside RAM."""
        self._view[self._checked(pa, len(data))] = data

    def read_u64(self, pa: int) -> int:
        """The little-endian 64-bit word at physical address `pa`."""
        self._checked(pa, 8)
        word: int = struct.unpack_from("<Q", self._mmap, pa)[0]
        return word

    def write_u64(self, pa: int, value: int) -> None:
        """Writes `value` (0 to 2**64 - 1) little-endian at physical address `pa`."""
        self._checked(pa, 8)
        struct.pack_into("<Q", self._mmap, pa, value)

    def allocate_page(self) -> int:
        """Physical address of a zeroed page, the lowest free one. Raises RamExhausted."""
        return self.allocate_pages(1)

    def allocate_pages(self, count: int) -> int:
        """Physical address of the lowest run of `count` free contiguous pages, zeroed. Raises RamExhausted."""
        if count < 1:
            raise ValueError(f"page count {count}: expected at least 1")
        page = self._used.find(bytes(count), self._search_from)
        if page < 0:
            raise RamExhausted(f"no {count} contiguous free pages in {self._size:#x} bytes of RAM")
        end = page + count
        self._used[page:end] = b"\1" * count
        if page == self._search_from:
            self._search_from = end
        for stale in range(page, min(end, self._fresh_from)):
            self._view[stale * PAGE_SIZE : (stale + 1) * PAGE_SIZE] = bytes(PAGE_SIZE)
        self._fresh_from = max(self._fresh_from, end)
        return page * PAGE_SIZE

    def free_page(self, pa: int) -> None:
        """Frees the page at `pa`. Raises ValueError unless it is page-aligned and allocated."""
        page, offset = divmod(pa, PAGE_SIZE)
        if offset or not 0 < page < len(self._used) or not self._used[page]:
            raise ValueError(f"physical address {pa:#x}: not an allocated page")
        self._used[page] = 0
        self._search_from = min(self._search_from, page)

    @property
    def free_pages(self) -> int:
        """Number of pages that are not allocated."""
        return self._used.count(0)

    def windows(self) -> Iterable[tuple[int, int]]:
        """(physical address, bytes) of each range of RAM that a new processor maps."""
        return ((0, self._size),)

    def open_window(self, pa: int) -> tuple[int, int] | None:  # noqa: ARG002 - subclasses use it
        """(physical address, bytes) of a range of RAM around `pa` that is not mapped yet; None if there is no RAM."""
        return None

    def is_device(self, pa: int) -> bool:  # noqa: ARG002 - subclasses use it
        """Whether ``pa`` is an address of a device that does not answer: it reads as all ones, and writes are lost."""
        return False

    def _checked(self, pa: int, size: int) -> slice:
        if pa < 0 or size < 0 or pa + size > self._size:
            raise IndexError(f"physical range {pa:#x}+{size:#x}: outside {self._size:#x} bytes of RAM")
        return slice(pa, pa + size)
