"""The files that a cabinet holds beside the dump: images of the target and their PDBs (spec user-mode 1.5, 1.8).

A snapshot knows the names of its images and no place on the host; whoever made it can say where the files are.
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
"""From a file's name as the target has it (an image's path, the path in a CodeView record) to the file, or where the
host has it; a name that is not known has none (a callable returns None)."""

_CODE_VIEW = 2  # winnt.h IMAGE_DEBUG_TYPE_CODEVIEW
_DEBUG_DIRECTORY = 6  # winnt.h IMAGE_DIRECTORY_ENTRY_DEBUG


@dataclass(frozen=True, slots=True)
class _Image:
    """An image of the target: what a debugger finds its file and its PDB by."""

    name: str
    start: int
    size: int
    time_date_stamp: int
    code_view: bytes | None
    """The record, where the snapshot has it."""


class _Collector:
    """The members found so far, and the names of those that were not."""

    def __init__(self, files: ImageFiles | None) -> None:
        self._files = files
        self.members: dict[str, Member] = {}
        self.missing: list[str] = []
        self.others: list[str] = []

    def take(self, name: str, is_it: Callable[[bytes], bool]) -> bytes | None:
        """The file's bytes when it is the right one; then it is a member, unless one has its name already."""
        base = PureWindowsPath(name).name
        data = self._read(name)
        if data is None:
            self.missing.append(base)
            return None
        if not is_it(data):
            self.others.append(base)
            return None
        self.members.setdefault(base.casefold(), bytes_member(base, data))
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

    def warnings(self) -> list[str]:
        found = []
        if self.missing:
            found.append(f"not in the cabinet, since the target has no such file: {', '.join(self.missing)}")
        if self.others:
            found.append(f"not in the cabinet, since the file is of another build: {', '.join(self.others)}")
        return found


def secondary_files(
    snapshot: ProcessSnapshot | KernelSnapshot, files: ImageFiles | None, *, every_image: bool
) -> tuple[list[Member], list[str]]:
    """The cabinet's members behind the dump, and what to tell people of files that are missing.

    Those that the session used are the main image or the kernel, and the image in which the target stopped;
    ``every_image``: all that are loaded. As for a debugger a file is an image of the target when time stamp and size
    are the image's, and its PDB when it has the GUID of the image's CodeView record. Of files with one name the first
    is taken.
    """
    images = _images(snapshot)
    if not every_image:
        stopped = _stopped_at(snapshot)
        images = [
            image
            for image in images
            if image is images[0] or any(image.start <= at < image.start + image.size for at in stopped)
        ]
    found = _Collector(files)
    for image in images:
        data = found.take(image.name, _is_image(image.time_date_stamp, image.size))
        record = image.code_view or (_code_view(data) if data else None) or b""
        path = _pdb_path(record)
        if path:
            found.take(path, _is_pdb(record[4:20]))
    return list(found.members.values()), found.warnings()


def image_files(snapshot: ProcessSnapshot | KernelSnapshot, files: ImageFiles) -> list[int]:
    """Bases of the images whose files are there, and of the right build; of those with one name the first."""
    found = _Collector(files)
    bases = []
    for image in _images(snapshot):
        known = len(found.members)
        found.take(image.name, _is_image(image.time_date_stamp, image.size))
        if len(found.members) > known:
            bases.append(image.start)
    return bases


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
    """Where the last event happened; nowhere in a process that was stopped without one."""
    if snapshot.mode == "kernel":
        context = snapshot.processors[snapshot.crashing_processor].context
        return [context.instruction_pointer, *([snapshot.exception[2]] if snapshot.exception else [])]
    return [snapshot.exception.context.instruction_pointer] if snapshot.exception else []


def _pdb_path(record: bytes) -> str | None:
    """The path in an RSDS record: signature, GUID and age stand in front of it (spec user-mode 3.6)."""
    if record[:4] != b"RSDS":
        return None
    return record[24:].split(b"\0", 1)[0].decode("utf-8", "replace") or None


def _is_image(time_date_stamp: int, size: int) -> Callable[[bytes], bool]:
    """Whether a file is a PE with this TimeDateStamp and SizeOfImage (winnt.h; the PE format 3.3, 3.4)."""

    def test(file: bytes) -> bool:
        try:
            (pe,) = struct.unpack_from("<I", file, 0x3C)
            header = struct.unpack_from("<4s4xI68xI", file, pe)
        except struct.error:
            return False
        return file[:2] == b"MZ" and header == (b"PE\0\0", time_date_stamp, size)

    return test


def _is_pdb(guid: bytes) -> Callable[[bytes], bool]:
    """Whether a file holds this GUID, as a PDB does in the head of its information stream."""
    return lambda file: guid in file


def _code_view(image: bytes) -> bytes | None:
    """The CodeView record of a PE file (winnt.h; the PE format 3.4, 4 and 6.1); None when it has none."""
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
    except struct.error:  # cut off
        return None
    return None


def _offsets(image: bytes, headers: int, sections: int, rva: int, size: int) -> Iterable[int]:
    """Where in the file the entries of the debug directory are, 28 bytes each."""
    for index in range(sections):
        start, raw_size, raw = struct.unpack_from("<12xIII", image, headers + 40 * index)
        if start <= rva < start + raw_size:
            return range(raw + rva - start, raw + rva - start + size, 28)
    return ()
