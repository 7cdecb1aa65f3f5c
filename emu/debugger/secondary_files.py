"""Finds the images of a target and their PDBs: the files that a cabinet holds in addition to the dump
(docs/format/cabinet.md#secondary-files), and those that a debugger needs beside it.

A snapshot holds the names of its images, but no path of the host. ``ImageFiles`` finds the files.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from ..snapshot.kernel import KernelSnapshot
from ..snapshot.process import ProcessSnapshot
from ..writer.cab import Member, bytes_member

File = bytes | Path
ImageFiles = Mapping[str, File] | Callable[[str], File | None]
"""From a name in the target (an image's path, the path in a CodeView record) to the bytes or the host path of the file.

A callable returns None for a name that it does not know.
"""

_CODE_VIEW = 2  # winnt.h IMAGE_DEBUG_TYPE_CODEVIEW
_DEBUG_DIRECTORY = 6  # winnt.h IMAGE_DIRECTORY_ENTRY_DEBUG


@dataclass(frozen=True, slots=True)
class _Image:
    """An image of the target, with the values by which a debugger finds its file and its PDB."""

    name: str
    start: int
    size: int
    time_date_stamp: int
    code_view: bytes | None
    """The CodeView record, if the snapshot has it."""


class _Collector:
    """The files found so far, the missing ones, and those of another build."""

    def __init__(self, files: ImageFiles | None) -> None:
        self._files = files
        self.found: dict[str, tuple[str, bytes]] = {}
        self.missing: list[str] = []
        self.others: list[str] = []

    def take(self, name: str, is_it: Callable[[bytes], bool]) -> bytes | None:
        """Return the bytes of the file if ``is_it`` accepts them, and add it. The first file of a name is kept."""
        base = PureWindowsPath(name).name
        data = self._read(name)
        if data is None:
            self.missing.append(base)
            return None
        if not is_it(data):
            self.others.append(base)
            return None
        self.found.setdefault(base.casefold(), (base, data))
        return data

    def _read(self, name: str) -> bytes | None:
        if self._files is None:
            return None
        file = self._files.get(name) if isinstance(self._files, Mapping) else self._files(name)
        if not isinstance(file, Path):
            return file
        try:
            return file.read_bytes()
        except OSError:
            return None

    def warnings(self, place: str) -> list[str]:
        """One line for the files that ``place`` lacks because they are missing, and one for those of another build."""
        found = []
        if self.missing:
            found.append(f"files left out of {place}, not found: {', '.join(self.missing)}")
        if self.others:
            found.append(f"files left out of {place}, of another build: {', '.join(self.others)}")
        return found


def secondary_files(
    snapshot: ProcessSnapshot | KernelSnapshot, files: ImageFiles | None, *, every_image: bool
) -> tuple[list[Member], list[str]]:
    """Return the members that follow the dump in the cabinet, and warnings about missing files.

    Without ``every_image`` these are the main image or the kernel, and the image in which the target stopped; with it,
    all loaded images. A file belongs to an image if time stamp and size agree. A PDB belongs to it if it holds the GUID
    of the image's CodeView record. If several files have one name, the first is used.
    """
    images = _images(snapshot)
    if not every_image:
        stopped = _stopped_at(snapshot)
        images = [
            image
            for image in images
            if image is images[0] or any(image.start <= at < image.start + image.size for at in stopped)
        ]
    found = _collected(images, files)
    return [bytes_member(name, data) for name, data in found.found.values()], found.warnings("the cabinet")


def symbol_files(
    snapshot: ProcessSnapshot | KernelSnapshot, files: ImageFiles
) -> tuple[list[tuple[str, bytes]], list[str]]:
    """Return name and bytes of every loaded image and its PDB, and warnings about missing files.

    A folder with these files is a symbol path and an image path for a debugger that opens the dump.
    """
    found = _collected(_images(snapshot), files)
    return list(found.found.values()), found.warnings("the symbols")


def image_files(snapshot: ProcessSnapshot | KernelSnapshot, files: ImageFiles) -> list[int]:
    """Return the bases of the images whose files are found and are of the right build.

    Of several images with one name only the first counts.
    """
    found = _Collector(files)
    bases = []
    for image in _images(snapshot):
        known = len(found.found)
        found.take(image.name, _is_image(image.time_date_stamp, image.size))
        if len(found.found) > known:
            bases.append(image.start)
    return bases


def _collected(images: Iterable[_Image], files: ImageFiles | None) -> _Collector:
    """Collect each image and the PDB that its CodeView record names."""
    found = _Collector(files)
    for image in images:
        data = found.take(image.name, _is_image(image.time_date_stamp, image.size))
        record = image.code_view or (_code_view(data) if data else None) or b""
        path = _pdb_path(record)
        if path:
            found.take(path, _is_pdb(record[4:20]))
    return found


def _images(snapshot: ProcessSnapshot | KernelSnapshot) -> list[_Image]:
    if snapshot.mode == "kernel":
        return [
            _Image(driver.full_name, driver.base, driver.size, driver.time_date_stamp, None)
            for driver in snapshot.drivers
        ]
    return [
        _Image(
            module.name,
            module.base,
            module.size,
            module.time_date_stamp,
            module.code_view.record if module.code_view else None,
        )
        for module in snapshot.modules
    ]


def _stopped_at(snapshot: ProcessSnapshot | KernelSnapshot) -> list[int]:
    """Return the instruction pointer and, in kernel mode, the address of the exception. Empty without an event."""
    if snapshot.mode == "kernel":
        context = snapshot.processors[snapshot.crashing_processor].context
        return [context.instruction_pointer, *([snapshot.exception[2]] if snapshot.exception else [])]
    return [snapshot.exception.context.instruction_pointer] if snapshot.exception else []


def _pdb_path(record: bytes) -> str | None:
    """Return the path in an RSDS record, after signature, GUID and age.

    docs/format/minidump-modules.md#codeview-record
    """
    if record[:4] != b"RSDS":
        return None
    return record[24:].split(b"\0", 1)[0].decode("utf-8", "replace") or None


def _is_image(time_date_stamp: int, size: int) -> Callable[[bytes], bool]:
    """Return a test for a PE file with this TimeDateStamp and SizeOfImage (winnt.h)."""

    def test(file: bytes) -> bool:
        try:
            (pe,) = struct.unpack_from("<I", file, 0x3C)
            header = struct.unpack_from("<4s4xI68xI", file, pe)
        except struct.error:
            return False
        return file[:2] == b"MZ" and header == (b"PE\0\0", time_date_stamp, size)

    return test


def _is_pdb(guid: bytes) -> Callable[[bytes], bool]:
    """Return a test for a file that holds this GUID, as a PDB does in its information stream."""
    return lambda file: guid in file


def _code_view(image: bytes) -> bytes | None:
    """Return the CodeView record of a PE file (winnt.h), None if there is none or the file is truncated."""
    try:
        (pe,) = struct.unpack_from("<I", image, 0x3C)
        sections, optional_size, magic = struct.unpack_from("<6xH12xH2xH", image, pe)
        optional = pe + 24
        directories = optional + (112 if magic == 0x20B else 96)
        rva, size = struct.unpack_from("<II", image, directories + 8 * _DEBUG_DIRECTORY)
        for at in _offsets(image, optional + optional_size, sections, rva, size):
            kind, length, _, offset = struct.unpack_from("<12xIIII", image, at)
            if kind == _CODE_VIEW:
                return image[offset : offset + length]
    except struct.error:
        return None
    return None


def _offsets(image: bytes, headers: int, sections: int, rva: int, size: int) -> Iterable[int]:
    """Return the file offsets of the entries of the debug directory, 28 bytes each."""
    for index in range(sections):
        start, raw_size, raw = struct.unpack_from("<12xIII", image, headers + 40 * index)
        if start <= rva < start + raw_size:
            return range(raw + rva - start, raw + rva - start + size, 28)
    return ()
