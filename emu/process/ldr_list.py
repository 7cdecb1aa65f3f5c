"""Keeps PEB_LDR_DATA and its three lists of LDR_DATA_TABLE_ENTRY in the target's memory up to date.

The loader of Windows allocates them on the process heap. Here they have a private region, because the system writes
them before a heap exists.
"""

from __future__ import annotations

import struct

from ..constants import MEM_COMMIT, MEM_RESERVE, PAGE_READWRITE
from ..image import Image
from .layouts import LDR_DATA_TABLE_ENTRY, LDR_DATA_TABLE_ENTRY_SIZE, PEB_LDR_DATA, PEB_LDR_DATA_SIZE, Structure
from .memory import GuestMemory
from .winnt import PAGE_SIZE

LDRP_IMAGE_DLL = 0x4  # ntldr: flags of LDR_DATA_TABLE_ENTRY (public symbols)
LDRP_ENTRY_PROCESSED = 0x4000
_PINNED_COUNT = 0xFFFF
_RESERVE = 0x100000


class _Room:
    """Allocates blocks in a growing region. Reuses freed blocks of the same size."""

    def __init__(self, memory: GuestMemory) -> None:
        self._memory = memory
        self._base, _ = memory.space.allocate(0, _RESERVE, MEM_RESERVE, PAGE_READWRITE)
        self._next = self._committed = self._base
        memory.space.secure(self._base)
        self._free: dict[int, list[int]] = {}

    def take(self, size: int) -> int:
        """A zeroed block of ``size`` bytes, 16-byte aligned."""
        size = (size + 15) & ~15
        if self._free.get(size):
            address = self._free[size].pop()
        else:
            address, self._next = self._next, self._next + size
            if self._next > self._committed:
                end = (self._next + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1)
                self._memory.space.allocate(self._committed, end - self._committed, MEM_COMMIT, PAGE_READWRITE)
                self._committed = end
        self._memory.poke(address, bytes(size))
        return address

    def give(self, address: int, size: int) -> None:
        self._free.setdefault((size + 15) & ~15, []).append(address)


class LoaderLists:
    """PEB_LDR_DATA and its lists. ``address`` is the value for PEB.Ldr."""

    _HEADS = (
        ("InLoadOrderModuleList", "InLoadOrderLinks"),
        ("InMemoryOrderModuleList", "InMemoryOrderLinks"),
        ("InInitializationOrderModuleList", "InInitializationOrderLinks"),
    )

    def __init__(self, memory: GuestMemory) -> None:
        self._memory = memory
        self._room = _Room(memory)
        self.address = self._room.take(PEB_LDR_DATA_SIZE)
        self._loaded: list[int] = []
        self._initialized: list[int] = []
        self._sizes: dict[int, int] = {}
        ldr = Structure(memory, self.address, PEB_LDR_DATA)
        ldr["Length"] = PEB_LDR_DATA_SIZE
        ldr["Initialized"] = 1
        self._link()

    def add(self, base: int, image: Image, path: str, references: int | None, now: int) -> int:
        """Append an entry to the load order and memory order lists and return its address.

        ``references`` is None for a pinned module. ``now`` is the load time (FILETIME).
        """
        text = path.encode("utf-16-le", "surrogatepass")
        base_name = path.rpartition("\\")[2].encode("utf-16-le", "surrogatepass")
        size = LDR_DATA_TABLE_ENTRY_SIZE + len(text) + 2
        address = self._room.take(size)
        self._sizes[address] = size
        buffer = address + LDR_DATA_TABLE_ENTRY_SIZE
        self._memory.poke(buffer, text)
        entry = self._entry(address)
        entry["DllBase"] = base
        entry["EntryPoint"] = base + image.entry_point if image.entry_point else 0
        entry["SizeOfImage"] = image.size_of_image
        entry.set_unicode_string("FullDllName", buffer, len(text))
        entry.set_unicode_string("BaseDllName", buffer + len(text) - len(base_name), len(base_name))
        entry["Flags"] = LDRP_ENTRY_PROCESSED | (LDRP_IMAGE_DLL if image.is_dll else 0)
        entry["TimeDateStamp"] = image.time_date_stamp
        entry["OriginalBase"] = image.image_base
        entry["LoadTime"] = now
        for field in ("HashLinks", "InInitializationOrderLinks"):
            entry.set_bytes(field, struct.pack("<2Q", entry.at(field), entry.at(field)))
        self._loaded.append(address)
        self.set_references(address, references)
        self._link()
        return address

    def add_initialized(self, address: int) -> None:
        """Append the entry to the initialization order list. The program itself is never in that list."""
        self._initialized.append(address)
        self._link()

    def set_references(self, address: int, references: int | None) -> None:
        """Set the load count of an entry; None for a pinned module."""
        self._entry(address)["ObsoleteLoadCount"] = _PINNED_COUNT if references is None else min(references, 0xFFFE)

    def remove(self, address: int) -> None:
        """Unlink an entry and free its memory."""
        self._loaded.remove(address)
        if address in self._initialized:
            self._initialized.remove(address)
        self._link()
        self._room.give(address, self._sizes.pop(address))

    def _entry(self, address: int) -> Structure:
        return Structure(self._memory, address, LDR_DATA_TABLE_ENTRY)

    def _link(self) -> None:
        """Rewrite every LIST_ENTRY (Flink, Blink)."""
        head = Structure(self._memory, self.address, PEB_LDR_DATA)
        for (list_field, link_field), order in zip(
            self._HEADS, (self._loaded, self._loaded, self._initialized), strict=True
        ):
            offset = LDR_DATA_TABLE_ENTRY[link_field][0]
            ring = [head.at(list_field), *(address + offset for address in order)]
            for index, link in enumerate(ring):
                self._memory.poke(link, struct.pack("<2Q", ring[(index + 1) % len(ring)], ring[index - 1]))
