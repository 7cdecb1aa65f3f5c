"""The files that a cabinet holds beside the dump: images of the target and their PDBs (spec user-mode 1.5, 1.8).

A snapshot knows the names of its images and no place on the host; whoever made it can say where the files are.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from .snapshot.model import ProcessSnapshot
from .snapshot.system import SystemSnapshot
from .writer.cab import Member, bytes_member

File = bytes | Path
ImageFiles = Mapping[str, File] | Callable[[str], File | None]
"""From a file's name as the target has it (an image's path, the path in a CodeView record) to the file, or where the
host has it; a name that is not known has none (a callable returns None)."""

_CODE_VIEW = 2  # winnt.h IMAGE_DEBUG_TYPE_CODEVIEW
_DEBUG_DIRECTORY = 6  # winnt.h IMAGE_DIRECTORY_ENTRY_DEBUG


@dataclass(frozen=True, slots=True)
class _Image:
    name: str
    start: int
    end: int
    code_view: bytes | None
    """The record, where the snapshot has it."""


def secondary_files(
    snapshot: ProcessSnapshot | SystemSnapshot, files: ImageFiles | None, *, every_image: bool
) -> tuple[list[Member], list[str]]:
    """The cabinet's members behind the dump, and what to tell people of files that are missing.

    Those that the session used are the main image or the kernel, and the image in which the target stopped;
    ``every_image``: all that are loaded. Of files with one name the first is taken.
    """
    images = _images(snapshot)
    if not every_image:
        stopped = _stopped_at(snapshot)
        images = [
            image for image in images if image is images[0] or any(image.start <= at < image.end for at in stopped)
        ]
    members: dict[str, Member] = {}
    missing: list[str] = []
    for image in images:
        data = _take(image.name, files, members, missing)
        pdb = _pdb_of_record(image.code_view) if image.code_view else _pdb_of_image(data) if data else None
        if pdb:
            _take(pdb, files, members, missing)
    warnings = [f"not in the cabinet, since the target has no such file: {', '.join(missing)}"] if missing else []
    return list(members.values()), warnings


def _images(snapshot: ProcessSnapshot | SystemSnapshot) -> list[_Image]:
    if isinstance(snapshot, SystemSnapshot):
        return [_Image(driver.full_name, driver.base, driver.base + driver.size, None) for driver in snapshot.drivers]
    return [
        _Image(
            module.name,
            module.base,
            module.base + module.size,
            module.code_view.record if module.code_view else None,
        )
        for module in snapshot.modules
    ]


def _stopped_at(snapshot: ProcessSnapshot | SystemSnapshot) -> list[int]:
    """Where the last event happened; nowhere in a process that was stopped without one."""
    if isinstance(snapshot, SystemSnapshot):
        context = snapshot.processors[snapshot.crashing_processor].context
        return [context.instruction_pointer, *([snapshot.exception[2]] if snapshot.exception else [])]
    return [snapshot.exception.context.instruction_pointer] if snapshot.exception else []


def _take(name: str, files: ImageFiles | None, members: dict[str, Member], missing: list[str]) -> bytes | None:
    """The file's bytes, and the file among the members, unless one has its name already."""
    base = PureWindowsPath(name).name
    data = _read(name, files)
    if data is None:
        missing.append(base)
    else:
        members.setdefault(base.casefold(), bytes_member(base, data))
    return data


def _read(name: str, files: ImageFiles | None) -> bytes | None:
    if files is None:
        return None
    file = files.get(name) if isinstance(files, Mapping) else files(name)
    if not isinstance(file, Path):
        return file
    try:
        return file.read_bytes()
    except OSError:
        return None


def _pdb_of_record(record: bytes) -> str | None:
    """The path in an RSDS record: signature, GUID and age stand in front of it (spec user-mode 3.6)."""
    if record[:4] != b"RSDS":
        return None
    return record[24:].split(b"\0", 1)[0].decode("utf-8", "replace") or None


def _pdb_of_image(image: bytes) -> str | None:
    """The path in the CodeView record of a PE file (winnt.h; the PE format 2, 3.4, 5.1.1); None when it has none."""
    try:
        (pe,) = struct.unpack_from("<I", image, 0x3C)
        sections, optional_size, magic = struct.unpack_from("<6xH12xH2xH", image, pe)
        optional = pe + 24
        directories = optional + (112 if magic == 0x20B else 96)
        rva, size = struct.unpack_from("<II", image, directories + 8 * _DEBUG_DIRECTORY)
        for at in _offsets(image, optional + optional_size, sections, rva, size):
            kind, length, _, offset = struct.unpack_from("<12xIIII", image, at)
            if kind == _CODE_VIEW:
                return _pdb_of_record(image[offset : offset + length])
    except struct.error:  # not an image, or cut off
        return None
    return None


def _offsets(image: bytes, headers: int, sections: int, rva: int, size: int) -> Iterable[int]:
    """Where in the file the entries of the debug directory are, 28 bytes each."""
    for index in range(sections):
        start, raw_size, raw = struct.unpack_from("<12xIII", image, headers + 40 * index)
        if start <= rva < start + raw_size:
            return range(raw + rva - start, raw + rva - start + size, 28)
    return ()
