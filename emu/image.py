"""Parses a PE image, with LIEF, into the data that a loader needs.

Names are those of winnt.h (IMAGE_FILE_HEADER, IMAGE_OPTIONAL_HEADER64, IMAGE_SECTION_HEADER). RVAs and sizes are in
bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import DumptruthError

if TYPE_CHECKING:
    import lief

IMAGE_FILE_MACHINE_AMD64 = 0x8664  # winnt.h, like the next three constants
IMAGE_FILE_MACHINE_I386 = 0x014C
IMAGE_FILE_MACHINE_ARM64 = 0xAA64
IMAGE_FILE_EXECUTABLE_IMAGE = 0x0002
IMAGE_FILE_RELOCS_STRIPPED = 0x1
IMAGE_FILE_DLL = 0x2000
_MACHINES = {
    IMAGE_FILE_MACHINE_AMD64: "amd64",
    IMAGE_FILE_MACHINE_I386: "x86",
    IMAGE_FILE_MACHINE_ARM64: "arm64",
}

IMAGE_DIRECTORY_ENTRY_EXPORT = 0
IMAGE_DIRECTORY_ENTRY_RESOURCE = 2

IMAGE_REL_BASED_ABSOLUTE = 0
IMAGE_REL_BASED_HIGHLOW = 3
IMAGE_REL_BASED_DIR64 = 10

VS_FFI_SIGNATURE = 0xFEEF04BD  # verrsrc.h
PAGE_SIZE = 0x1000
LARGEST_IMAGE = 256 << 20
"""Limit in bytes of an image's file and of its SizeOfImage, so that an image does not fill the host's memory."""


class ImageError(DumptruthError):
    """The file cannot be used as an image. The message is one line: file, found value, expected value."""


@dataclass(frozen=True, slots=True)
class ImageSection:
    """One section header."""

    name: str
    virtual_address: int
    virtual_size: int
    characteristics: int


@dataclass(frozen=True, slots=True)
class Import:
    """One entry of an import address table. ``name`` is None for an import by ``ordinal``."""

    dll: str
    name: str | None
    ordinal: int
    iat_rva: int

    @property
    def label(self) -> str:
        """``KERNEL32.dll!Sleep`` or ``KERNEL32.dll!#12``."""
        return f"{self.dll}!{self.name if self.name is not None else f'#{self.ordinal}'}"


@dataclass(frozen=True, slots=True)
class Export:
    """One export. ``rva`` is 0 if it has a ``forwarder`` (``MODULE.Name``)."""

    name: str | None
    ordinal: int
    rva: int
    forwarder: str | None


@dataclass(frozen=True, slots=True)
class Relocation:
    """One base relocation."""

    rva: int
    size: int
    """4 (IMAGE_REL_BASED_HIGHLOW) or 8 (IMAGE_REL_BASED_DIR64)."""


@dataclass(frozen=True)
class Image:
    """A parsed PE image."""

    name: str
    """File name, for messages and as the default base name of the module."""
    architecture: str
    image_base: int
    """The preferred base."""
    entry_point: int
    """RVA, 0 for none."""
    size_of_image: int
    size_of_headers: int
    checksum: int
    time_date_stamp: int
    dll_characteristics: int
    is_dll: bool
    subsystem: int
    subsystem_version: tuple[int, int]
    stack_reserve: int
    stack_commit: int
    heap_reserve: int
    heap_commit: int
    sections: tuple[ImageSection, ...]
    imports: tuple[Import, ...]
    dlls: tuple[str, ...]
    """Imported DLLs in the order of the import directory."""
    exports: tuple[Export, ...]
    relocations: tuple[Relocation, ...]
    directories: tuple[tuple[int, int], ...]
    """IMAGE_DATA_DIRECTORY (VirtualAddress, Size) by index."""
    code_view: bytes | None
    """The bytes of the CodeView debug record; None without one."""
    version_info: tuple[int, ...] | None
    """VS_FIXEDFILEINFO as 13 dwords; None without a version resource."""
    preferred: bytes
    """The mapped image at its preferred base: SizeOfImage bytes."""

    @cached_property
    def _exports_by_name(self) -> Mapping[str, Export]:
        return {export.name: export for export in self.exports if export.name is not None}

    @cached_property
    def _exports_by_ordinal(self) -> Mapping[int, Export]:
        return {export.ordinal: export for export in self.exports}

    def export(self, name: str | None, ordinal: int = 0) -> Export | None:
        """The export of that name, or of that ordinal if ``name`` is None; None if it does not exist."""
        return self._exports_by_ordinal.get(ordinal) if name is None else self._exports_by_name.get(name)

    def export_rva(self, name: str) -> int:
        """RVA of an export that is code or data of this image. Raises KeyError for an unknown or forwarded name."""
        export = self._exports_by_name[name]
        if export.forwarder is not None:
            raise KeyError(f"{self.name}!{name} is a forwarder")
        return export.rva

    @cached_property
    def fixed(self) -> bool:
        """Whether the image can only have its preferred base: its relocations were stripped.

        Source: PE format, "Characteristics". An image without relocations that were not stripped needs none: it has no
        absolute address.
        """
        header = int.from_bytes(self.preferred[0x3C:0x40], "little")
        flags = int.from_bytes(self.preferred[header + 22 : header + 24], "little")
        return not self.relocations and bool(flags & IMAGE_FILE_RELOCS_STRIPPED)

    def mapped_at(self, base: int) -> bytearray:
        """The mapped image, relocated to ``base``. ImageBase in its headers is ``base`` too.

        Raises ImageError for another base than the preferred one if the image is ``fixed``.
        """
        mapped = bytearray(self.preferred)
        delta = base - self.image_base
        if not delta:
            return mapped
        if self.fixed:
            raise ImageError(
                f"{self.name}: no relocations, so it cannot be loaded at 0x{base:X} instead of 0x{self.image_base:X}"
            )
        for relocation in self.relocations:
            end = relocation.rva + relocation.size
            value = int.from_bytes(mapped[relocation.rva : end], "little") + delta
            mapped[relocation.rva : end] = (value & (1 << 8 * relocation.size) - 1).to_bytes(relocation.size, "little")
        # The loader of Windows sets OptionalHeader.ImageBase to the actual base.
        header = int.from_bytes(mapped[0x3C:0x40], "little") + 24
        if self.architecture == "x86":
            struct.pack_into("<I", mapped, header + 28, base)
        else:
            struct.pack_into("<Q", mapped, header + 24, base)
        return mapped


def read_image(path: Path) -> bytes:
    """The bytes of an image file. Raises ImageError for a file that is too large, OSError if it cannot be read."""
    with path.open("rb") as file:
        data = file.read(LARGEST_IMAGE + 1)
    if len(data) > LARGEST_IMAGE:
        raise ImageError(f"{path.name}: an image may have at most {LARGEST_IMAGE:,} bytes, and this file has more")
    return data


def load_image(
    source: Path | bytes, *, name: str | None = None, architecture: str = "amd64", whole_sections: bool = False
) -> Image:
    """Parse a PE file. ``name`` is its name in messages (default: the file's name).

    ``whole_sections``: keep a section's bytes from VirtualSize to SizeOfRawData, up to the end of their page, as the
    loader of Windows does (docs/format/engine.md#what-a-target-must-have). Without it they are zeros.

    Raises ImageError for a file that is not a PE file, is for another machine than ``architecture``, is not executable
    or is damaged; OSError if it cannot be read.
    """
    data = source if isinstance(source, bytes) else read_image(source)
    label = name or ("image" if isinstance(source, bytes) else source.name)
    if data[:2] != b"MZ" or len(data) < 0x40:
        raise ImageError(f"{label}: not a PE file: it does not begin with 'MZ'")
    at = int.from_bytes(data[0x3C:0x40], "little")
    if data[at : at + 4] != b"PE\0\0" or len(data) < at + 24:
        raise ImageError(f"{label}: not a PE file: no 'PE' signature at offset 0x{at:X}")
    machine, characteristics = struct.unpack_from("<H", data, at + 4)[0], struct.unpack_from("<H", data, at + 22)[0]
    found = _MACHINES.get(machine, f"0x{machine:04X}")
    if found != architecture:
        raise ImageError(f"{label}: wrong machine: the image is for {found}, expected {architecture}")
    if not characteristics & IMAGE_FILE_EXECUTABLE_IMAGE:
        raise ImageError(f"{label}: not an executable image: IMAGE_FILE_EXECUTABLE_IMAGE is not set")
    import lief  # noqa: PLC0415 - the import takes most of a second, and many commands need no image

    lief.logging.disable()  # ImageError reports the problems
    pe = lief.PE.parse(data)
    if pe is None:
        raise ImageError(f"{label}: damaged: LIEF cannot parse the PE file")
    if len(pe.sections) != struct.unpack_from("<H", data, at + 6)[0]:
        raise ImageError(f"{label}: the section table is damaged")
    try:
        is_dll = bool(characteristics & IMAGE_FILE_DLL)
        return _image(pe, data, label, found, is_dll=is_dll, whole_sections=whole_sections)
    except (struct.error, IndexError, ValueError) as error:
        raise ImageError(f"{label}: damaged: a directory leads outside the image ({error})") from error


def _image(
    pe: lief.PE.Binary, data: bytes, label: str, architecture: str, *, is_dll: bool, whole_sections: bool
) -> Image:
    optional = pe.optional_header
    size = optional.sizeof_image
    if size > LARGEST_IMAGE:
        raise ImageError(f"{label}: SizeOfImage is {size:,} bytes; an image may have at most {LARGEST_IMAGE:,}")
    if optional.section_alignment < PAGE_SIZE or size % PAGE_SIZE or size == 0:
        raise ImageError(f"{label}: SizeOfImage 0x{size:X} is not a positive number of pages")
    mapped = bytearray(size)
    headers = min(optional.sizeof_headers, len(data))
    mapped[:headers] = data[:headers]
    sections = []
    for section in pe.sections:
        name = _text(section.name)
        start, length = section.virtual_address, section.virtual_size or section.sizeof_raw_data
        room = -(-length // PAGE_SIZE) * PAGE_SIZE if whole_sections else length
        raw = data[section.pointerto_raw_data : section.pointerto_raw_data + min(section.sizeof_raw_data, room)]
        if section.pointerto_raw_data + section.sizeof_raw_data > len(data):
            raise ImageError(f"{label}: section {name}: its data ends after the end of the file, at {len(data)} bytes")
        if start % PAGE_SIZE or start + length > size:
            raise ImageError(f"{label}: section {name} at 0x{start:X} does not fit an image of 0x{size:X} bytes")
        mapped[start : start + len(raw)] = raw
        sections.append(ImageSection(name, start, length, section.characteristics))
    imports = [
        Import(
            _text(dll.name),
            None if entry.is_ordinal else _text(entry.name),
            entry.ordinal if entry.is_ordinal else 0,
            entry.iat_address,
        )
        for dll in pe.imports
        for entry in dll.entries
    ]
    version = optional.major_subsystem_version, optional.minor_subsystem_version
    directories = tuple((int(entry.rva), int(entry.size)) for entry in pe.data_directories)
    return Image(
        name=label,
        architecture=architecture,
        image_base=optional.imagebase,
        entry_point=optional.addressof_entrypoint,
        size_of_image=size,
        size_of_headers=optional.sizeof_headers,
        checksum=optional.checksum,
        time_date_stamp=pe.header.time_date_stamps,
        dll_characteristics=optional.dll_characteristics,
        is_dll=is_dll,
        subsystem=int(optional.subsystem),
        subsystem_version=version,
        stack_reserve=optional.sizeof_stack_reserve,
        stack_commit=optional.sizeof_stack_commit,
        heap_reserve=optional.sizeof_heap_reserve,
        heap_commit=optional.sizeof_heap_commit,
        sections=tuple(sections),
        imports=tuple(imports),
        dlls=tuple(_text(dll.name) for dll in pe.imports),
        exports=_exports(pe, mapped, directories),
        relocations=_relocations(pe, label, size),
        directories=directories,
        code_view=_code_view(pe, data),
        version_info=_version_info(mapped, directories),
        preferred=bytes(mapped),
    )


def _text(name: str | bytes) -> str:
    """The text of a name. LIEF returns bytes for a name that is not UTF-8."""
    return name if isinstance(name, str) else name.decode("latin-1")


def _exports(pe: lief.PE.Binary, mapped: bytearray, directories: tuple[tuple[int, int], ...]) -> tuple[Export, ...]:
    """The exports. An address inside the export directory points to the text of a forwarder (PE format)."""
    export = pe.get_export()
    if export is None:
        return ()
    start, size = directories[IMAGE_DIRECTORY_ENTRY_EXPORT]
    found = []
    for entry in export.entries:
        rva = entry.function_rva  # LIEF's `address` is 0 for a forwarder
        forwarder = None
        if start <= rva < start + size:
            forwarder = mapped[rva : mapped.index(0, rva)].decode("ascii", "replace")
        if rva:
            found.append(Export(_text(entry.name) or None, entry.ordinal, 0 if forwarder else rva, forwarder))
    return tuple(found)


def _relocations(pe: lief.PE.Binary, label: str, size: int) -> tuple[Relocation, ...]:
    sizes = {IMAGE_REL_BASED_HIGHLOW: 4, IMAGE_REL_BASED_DIR64: 8}
    found = []
    for block in pe.relocations:
        for entry in block.entries:
            kind = int(entry.type)
            if kind == IMAGE_REL_BASED_ABSOLUTE:
                continue
            if kind not in sizes:
                raise ImageError(f"{label}: relocation type {kind} at 0x{entry.address:X} is not used on this machine")
            if entry.address + sizes[kind] > size:
                raise ImageError(f"{label}: relocation at 0x{entry.address:X} lies outside the image")
            found.append(Relocation(entry.address, sizes[kind]))
    return tuple(found)


def _code_view(pe: lief.PE.Binary, data: bytes) -> bytes | None:
    for entry in pe.debug:
        if int(entry.type) == 2:  # IMAGE_DEBUG_TYPE_CODEVIEW
            return data[entry.pointerto_rawdata : entry.pointerto_rawdata + entry.sizeof_data]
    return None


def _version_info(mapped: bytearray, directories: tuple[tuple[int, int], ...]) -> tuple[int, ...] | None:
    """VS_FIXEDFILEINFO from the resource directory: type 16 (RT_VERSION), first name, first language.

    PE format, "The .rsrc Section": an entry is (name or id, offset). The high bit of the offset marks a subdirectory.
    """
    root, size = directories[IMAGE_DIRECTORY_ENTRY_RESOURCE]
    if not size:
        return None
    at = root
    for level in range(3):
        named, ids = struct.unpack_from("<HH", mapped, at + 12)
        entries = [struct.unpack_from("<II", mapped, at + 16 + 8 * n) for n in range(named + ids)]
        wanted = [offset for identifier, offset in entries if level or identifier == 16]
        if not wanted:
            return None
        at = root + (wanted[0] & 0x7FFFFFFF)
    rva, length = struct.unpack_from("<II", mapped, at)
    block = mapped[rva : rva + length]
    value = block.find(struct.pack("<I", VS_FFI_SIGNATURE))
    if value < 0 or value + 52 > len(block):
        return None
    return struct.unpack_from("<13I", block, value)
