"""Maps kernel, HAL, drivers and programs with the protections of their sections, and binds their imports."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from ..constants import IMAGE_SCN_MEM_EXECUTE, IMAGE_SCN_MEM_WRITE
from ..image import Image, ImageError
from ..machine.paging import PageTables
from ..machine.ram import PAGE_SIZE
from .physical_memory import PhysicalMemory


@dataclass(frozen=True)
class LoadedImage:
    """An image at ``base``. ``full_name`` is its path in the spelling of the system."""

    image: Image
    base: int
    full_name: str

    @property
    def name(self) -> str:
        return self.full_name.rpartition("\\")[2]

    @property
    def end(self) -> int:
        return self.base + self.image.size_of_image

    @property
    def entry_point(self) -> int:
        """Address of the entry point; 0 if the image has none."""
        return self.base + self.image.entry_point if self.image.entry_point else 0

    def address_of(self, export: str) -> int:
        """The address of an export of this image. Raises KeyError for an unknown or forwarded name."""
        return self.base + self.image.export_rva(export)

    @property
    def read_only_sections(self) -> tuple[tuple[int, int], ...]:
        """(address, size) of the sections that are not writable."""
        return tuple(
            (self.base + section.virtual_address, section.virtual_size)
            for section in self.image.sections
            if not section.characteristics & IMAGE_SCN_MEM_WRITE
        )


def map_image(memory: PhysicalMemory, tables: PageTables, loaded: LoadedImage) -> None:
    """Allocate pages for ``loaded`` and map headers and sections, each with its rights.

    Raises ImageError for an image that cannot be loaded at its base, RamExhausted.
    """
    image, base = loaded.image, loaded.base
    pa = memory.allocate_pages(_pages(image.size_of_image))
    memory.write(pa, image.mapped_at(base))
    tables.map(base, pa, _pages(image.size_of_headers), write=False, user=False, execute=False)
    for section in image.sections:
        tables.map(
            base + section.virtual_address,
            pa + section.virtual_address,
            _pages(section.virtual_size),
            write=bool(section.characteristics & IMAGE_SCN_MEM_WRITE),
            user=False,
            execute=bool(section.characteristics & IMAGE_SCN_MEM_EXECUTE),
        )


def bind_image(tables: PageTables, loaded: LoadedImage, among: Iterable[LoadedImage]) -> None:
    """Fill the import address table of ``loaded`` from the exports of the images ``among``.

    Raises ImageError with the names of all imports that none of them exports.
    """
    images = {other.name.lower(): other for other in among}
    missing = []
    for slot in loaded.image.imports:
        target = _resolve(images, slot.dll, slot.name, slot.ordinal)
        if target is None:
            missing.append(slot.label)
        else:
            tables.write(loaded.base + slot.iat_rva, struct.pack("<Q", target))
    if missing:
        raise ImageError(f"{loaded.name}: imports {', '.join(missing)}, which no image exports")


def _resolve(images: dict[str, LoadedImage], dll: str, name: str | None, ordinal: int, depth: int = 0) -> int | None:
    """The address of an export, after forwarders; None if it does not exist."""
    found = images.get(dll.lower() if "." in dll else f"{dll.lower()}.dll")
    if found is None and "." not in dll:
        found = images.get(f"{dll.lower()}.exe")  # a forwarder to the kernel has no extension
    export = found.image.export(name, ordinal) if found else None
    if found is None or export is None or depth > 16:
        return None
    if export.forwarder is None:
        return found.base + export.rva
    target, _, symbol = export.forwarder.rpartition(".")
    if symbol.startswith("#"):
        return _resolve(images, target, None, int(symbol[1:]), depth + 1)
    return _resolve(images, target, symbol, 0, depth + 1)


def _pages(size: int) -> int:
    return -(-size // PAGE_SIZE)
