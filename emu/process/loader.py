"""Loads images: maps them like sections of type SEC_IMAGE, binds their imports and updates PEB.Ldr.

The base of an image depends on its name only. It lies above 0x7FF6'00000000 (programs) or 0x7FF8'00000000 (DLLs), as
with address space layout randomisation. An image without relocations or without IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE
gets its preferred base.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from ..constants import (
    IMAGE_SCN_MEM_EXECUTE,
    IMAGE_SCN_MEM_READ,
    IMAGE_SCN_MEM_WRITE,
    MEM_COMMIT,
    MEM_IMAGE,
    MEM_RESERVE,
    PAGE_EXECUTE,
    PAGE_EXECUTE_READ,
    PAGE_EXECUTE_WRITECOPY,
    PAGE_NOACCESS,
    PAGE_READONLY,
    PAGE_WRITECOPY,
)
from ..image import Image, Import
from .address_space import page_ceiling
from .api_sets import host_of
from .ldr_list import LoaderLists
from .library import FoundImage, ImageLibrary
from .memory import GuestMemory
from .missing_imports import MissingImport
from .winnt import ALLOCATION_GRANULARITY, PAGE_SIZE, Status, StatusError

IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE = 0x40  # winnt.h
PROGRAM_ARENA = (0x7FF600000000, 0x7FF700000000)
DLL_ARENA = (0x7FF800000000, 0x7FFC00000000)
UNLOAD_TRACE_LENGTH = 64
"""RTL_UNLOAD_EVENT_TRACE_NUMBER (winnt.h, RtlGetUnloadEventTrace): number of unloaded modules that Windows keeps."""

# Protection of a section by (execute, read, write): PE format, "Section Flags", and the rules of the memory manager.
_PROTECTIONS = {
    (False, False, False): PAGE_NOACCESS,
    (False, True, False): PAGE_READONLY,
    (False, False, True): PAGE_WRITECOPY,
    (False, True, True): PAGE_WRITECOPY,
    (True, False, False): PAGE_EXECUTE,
    (True, True, False): PAGE_EXECUTE_READ,
    (True, False, True): PAGE_EXECUTE_WRITECOPY,
    (True, True, True): PAGE_EXECUTE_WRITECOPY,
}
_STUB_AREA = 0x10000


def preferred_place(image: Image) -> int:
    """The base of the image if that range is free."""
    if not _relocatable(image):
        return image.image_base
    low, high = DLL_ARENA if image.is_dll else PROGRAM_ARENA
    slots = (high - low) // ALLOCATION_GRANULARITY
    return low + zlib.crc32(image.name.lower().encode()) % slots * ALLOCATION_GRANULARITY


def _relocatable(image: Image) -> bool:
    return bool(image.relocations) and bool(image.dll_characteristics & IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE)


@dataclass(eq=False)
class LoadedModule:
    """A loaded image. ``references`` counts LoadLibrary calls. The program and its imports are pinned: never unloaded.

    ``load_time`` is a FILETIME.
    """

    base: int
    path: str
    image: Image
    ldr_entry: int
    pinned: bool
    load_time: int
    references: int = 1

    @property
    def name(self) -> str:
        return self.path.rpartition("\\")[2]

    @property
    def entry_point(self) -> int:
        """Address of the entry point; 0 if the image has none."""
        return self.base + self.image.entry_point if self.image.entry_point else 0

    @property
    def end(self) -> int:
        return self.base + self.image.size_of_image


class Loader:
    """The images of a process. ``unloaded`` lists the unloaded ones, oldest first, as (base, image, base name)."""

    def __init__(
        self, memory: GuestMemory, library: ImageLibrary, lists: LoaderLists, missing_import_service: int
    ) -> None:
        self._memory = memory
        self._library = library
        self._lists = lists
        self._missing_import_service = missing_import_service
        self.modules: list[LoadedModule] = []
        self.unloaded: list[tuple[int, Image, str]] = []
        self.missing: list[MissingImport] = []
        self._pending: list[LoadedModule] = []
        self._stubs = 0

    def find(self, name: str) -> LoadedModule | None:
        """A loaded module by base name or full path. Ignores case."""
        wanted = name.lower()
        return next((m for m in self.modules if wanted in (m.name.lower(), m.path.lower())), None)

    def at(self, base: int) -> LoadedModule | None:
        """The module with that base, or None."""
        return next((m for m in self.modules if m.base == base), None)

    def covering(self, address: int) -> LoadedModule | None:
        """The module that contains ``address``, or None."""
        return next((m for m in self.modules if m.base <= address < m.end), None)

    # --- mapping

    def load_process(self, program: FoundImage, now: int) -> LoadedModule:
        """Load the program, ntdll, kernel32 and all their imports, all pinned. Returns the program's module."""
        module = self._map(program, now, pinned=True)
        for name in ("ntdll.dll", "kernel32.dll"):
            self._load(name, now, pinned=True)
        self._bind(module, now, pinned=True)
        return module

    def load_dll(self, name: str, now: int) -> LoadedModule:
        """Map a DLL and its imports for LoadLibrary, or add a reference to a loaded DLL.

        Raises DLL_NOT_FOUND, with nothing left mapped, if the DLL or one of its imports is missing. Imported DLLs stay
        loaded until the process ends.
        """
        loaded = self._already(name)
        if loaded is not None:
            loaded.references += 1
            self._lists.set_references(loaded.ldr_entry, None if loaded.pinned else loaded.references)
            return loaded
        before = list(self.modules)
        try:
            return self._load(name, now, pinned=False)
        except StatusError:
            for module in self.modules[len(before) :]:
                self._unmap(module)
            raise

    def _already(self, name: str) -> LoadedModule | None:
        name = host_of(name)
        base = name.replace("/", "\\").rpartition("\\")[2]
        return self.find(name if "." in base else name + ".dll")

    def _load(self, name: str, now: int, *, pinned: bool) -> LoadedModule:
        loaded = self._already(name)
        if loaded is not None:
            return loaded
        found = self._library.find(host_of(name))
        if found is None:
            raise StatusError(Status.DLL_NOT_FOUND)
        module = self._map(found, now, pinned=pinned)
        self._bind(module, now, pinned=pinned)
        self._lists.add_initialized(module.ldr_entry)
        self._pending.append(module)
        return module

    def _map(self, found: FoundImage, now: int, *, pinned: bool) -> LoadedModule:
        image = found.image
        base = self._choose_base(image)
        mapped = image.mapped_at(base)
        self._memory.map_private(base, image.size_of_image, PAGE_EXECUTE_WRITECOPY, MEM_IMAGE)
        self._memory.poke(base, mapped)
        space = self._memory.space
        space.set_protection(base, base + page_ceiling(image.size_of_headers), PAGE_READONLY)
        for section in image.sections:
            start = base + section.virtual_address
            flags = section.characteristics
            protect = _PROTECTIONS[
                bool(flags & IMAGE_SCN_MEM_EXECUTE),
                bool(flags & IMAGE_SCN_MEM_READ),
                bool(flags & IMAGE_SCN_MEM_WRITE),
            ]
            space.set_protection(start, page_ceiling(start + section.virtual_size), protect)
        node = self._lists.add(base, image, found.path, None if pinned else 1, now)
        module = LoadedModule(base, found.path, image, node, pinned, now)
        self.modules.append(module)
        return module

    def _choose_base(self, image: Image) -> int:
        size = image.size_of_image
        if not _relocatable(image):
            if self._memory.space.is_free(image.image_base, size):
                return image.image_base
            if image.fixed:
                raise StatusError(Status.CONFLICTING_ADDRESSES)
        low, high = DLL_ARENA if image.is_dll else PROGRAM_ARENA
        for start in (preferred_place(image), low):
            base = self._memory.space.find_free(size, start)
            if base + size <= high:
                return base
        raise StatusError(Status.NO_MEMORY)

    # --- imports

    def _bind(self, module: LoadedModule, now: int, *, pinned: bool) -> None:
        for slot in module.image.imports:
            target = self._resolve(slot.dll, slot.name, slot.ordinal, now, pinned=pinned)
            if target is None:
                target = self._stub(module, slot)
            # The loader of Windows changes the protection of the import address table to write it, then restores it.
            self._memory.poke(module.base + slot.iat_rva, struct.pack("<Q", target))

    def _resolve(
        self, dll: str, name: str | None, ordinal: int, now: int, *, pinned: bool, depth: int = 0
    ) -> int | None:
        """The address of an export, after forwarders; None if it does not exist.

        A missing DLL raises DLL_NOT_FOUND. If ``pinned``, that is during the start of the process, it returns None.
        """
        try:
            module = self._load(dll, now, pinned=pinned)
        except StatusError as error:
            if pinned and error.status == Status.DLL_NOT_FOUND:
                return None
            raise
        export = module.image.export(name, ordinal)
        if export is None or depth > 16:
            return None
        if export.forwarder is None:
            return module.base + export.rva
        target, _, symbol = export.forwarder.rpartition(".")
        if symbol.startswith("#"):
            return self._resolve(target, None, int(symbol[1:]), now, pinned=pinned, depth=depth + 1)
        return self._resolve(target, symbol, 0, now, pinned=pinned, depth=depth + 1)

    def _stub(self, module: LoadedModule, slot: Import) -> int:
        """Address of code that calls NtxMissingImport(index). It stands in for a missing import."""
        index = len(self.missing)
        if (index + 1) * 16 > _STUB_AREA:
            raise StatusError(Status.NO_MEMORY)
        found = self._already(slot.dll) is not None
        self.missing.append(MissingImport(module.name, slot.label, found))
        space = self._memory.space
        if not self._stubs:
            at = space.find_free(_STUB_AREA, DLL_ARENA[1])
            self._stubs, _ = space.allocate(at, _STUB_AREA, MEM_RESERVE, PAGE_EXECUTE_READ)
        address = self._stubs + index * 16
        if address % PAGE_SIZE == 0:
            space.allocate(address, PAGE_SIZE, MEM_COMMIT, PAGE_EXECUTE_READ)
        # mov r10d, index; mov eax, service; syscall; int3; int3
        code = struct.pack("<2sIBI4s", b"\x41\xba", index, 0xB8, self._missing_import_service, b"\x0f\x05\xcc\xcc")
        self._memory.poke(address, code)
        return address

    # --- init routines, unloading

    def next_init_routine(self) -> LoadedModule | None:
        """The next DLL whose entry point was not called yet, dependencies first; None if there is none."""
        return self._pending.pop(0) if self._pending else None

    def release(self, base: int) -> tuple[bool, LoadedModule]:
        """Release one reference, for FreeLibrary: (whether it was the last, module). Raises INVALID_PARAMETER."""
        module = self.at(base)
        if module is None:
            raise StatusError(Status.INVALID_PARAMETER)
        if module.pinned:
            return False, module
        if module.references > 1:
            module.references -= 1
            self._lists.set_references(module.ldr_entry, module.references)
            return False, module
        return True, module

    def unmap(self, base: int) -> None:
        """Unload the module at ``base`` and add it to ``unloaded``.

        Raises INVALID_PARAMETER if there is no module or it is pinned.
        """
        module = self.at(base)
        if module is None or module.pinned:
            raise StatusError(Status.INVALID_PARAMETER)
        self._unmap(module)
        self.unloaded.append((module.base, module.image, module.name))
        del self.unloaded[:-UNLOAD_TRACE_LENGTH]

    def _unmap(self, module: LoadedModule) -> None:
        self._lists.remove(module.ldr_entry)
        self._memory.unmap_view(module.base)
        self.modules.remove(module)
        if module in self._pending:
            self._pending.remove(module)
