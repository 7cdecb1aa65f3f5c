"""Where a dump goes: a file of a name, or a handle of the caller (docs/format/write-dump-file.md#file-names)."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath

from ..constants import Hresult
from ..request import DumpRefused
from ..writer.faults import Faults
from ..writer.sinks import FileHandle, FileSink, HandleSink
from .host_errors import hresult_of

Name = str | bytes | os.PathLike[str]
Sink = FileSink | HandleSink
HANDLE_ONLY = "<HandleOnly>"
"""What the engine prints for a name that is NULL."""
_INVALID_HANDLE_VALUE = (-1, 0xFFFF_FFFF_FFFF_FFFF)  # winbase.h


class NotCreated(DumpRefused):
    """The file cannot be created. The text is one line."""


def printed(name: str) -> str:
    """``name`` as the engine's text has it: on one line, without control characters, which no name of Windows has."""
    return "".join(char if char.isprintable() else "?" for char in name)


def text_of(name: Name) -> str:
    """Decode a name. Bytes are in the ANSI code page on Windows, in the file system's encoding elsewhere."""
    if isinstance(name, bytes) and sys.platform == "win32":
        return name.decode("mbcs")
    return os.fsdecode(name)


def path_of(name: Name | None, folder: Path | None) -> Path:
    """Return the host path for a dump's name. Nothing is appended to it. Raises NotCreated.

    ``folder``: for relative names; None: the folder that is current now.
    """
    if name is None:
        raise NotCreated(Hresult.ERROR_INVALID_NAME, "neither a file name nor a file handle was given")
    text = text_of(name)
    if not text:
        raise NotCreated(Hresult.ERROR_PATH_NOT_FOUND, "the file name is empty")
    if "\0" in text:
        raise NotCreated(Hresult.ERROR_INVALID_NAME, f"file name {text!r}: contains a NUL")
    return (Path.cwd() if folder is None else folder.absolute()) / text


def open_file(path: Path, *, no_overwrite: bool, permissions: int, faults: Faults) -> FileSink:
    """Create the file. Raises NotCreated; an existing file is unchanged until the dump is complete."""
    try:
        return FileSink(path, no_overwrite=no_overwrite, permissions=permissions, faults=faults)
    except MemoryError as error:
        raise NotCreated(Hresult.E_OUTOFMEMORY, "not enough memory to write the dump") from error
    except OSError as error:
        raise NotCreated(hresult_of(error), f"{path}: {error.strerror or error}") from error


def is_given(handle: FileHandle) -> bool:
    """Whether there is a handle. Raises DumpRefused for -1, which is no handle and not absent either."""
    if isinstance(handle, int) and handle in _INVALID_HANDLE_VALUE:
        raise DumpRefused(Hresult.E_INVALIDARG, "FileHandle -1: not an open file")
    return not (isinstance(handle, int) and handle == 0)


def open_handle(handle: FileHandle, *, at_position: bool, faults: Faults) -> HandleSink:
    """Return the sink of a caller's handle. ``at_position``: the dump starts there, not at offset 0.

    Raises DumpRefused for what is no binary file, else the OSError of the system.
    """
    if isinstance(handle, int):
        if not 0 < handle < 1 << (64 if sys.platform == "win32" else 31):
            raise DumpRefused(Hresult.ERROR_INVALID_HANDLE, f"FileHandle {handle:#x}: not an open file")
    else:
        needed = ("write", "seek", "truncate", "flush")
        if isinstance(handle, io.TextIOBase) or not all(hasattr(handle, name) for name in needed):
            raise DumpRefused(
                Hresult.E_INVALIDARG, f"FileHandle: {type(handle).__name__}, expected a binary file or a number"
            )
        if getattr(handle, "closed", False):
            raise DumpRefused(Hresult.ERROR_INVALID_HANDLE, "FileHandle: the file is closed")
    try:
        return HandleSink(handle, at_position=at_position, faults=faults)
    except OSError as error:
        if error.errno == errno.EISDIR:  # a handle of a folder
            raise PermissionError(errno.EACCES, "is a folder") from error
        raise


def temporary_name(shown: str) -> str:
    """The engine's name for the dump that goes into a cabinet (docs/format/cabinet.md#how-the-engine-makes-a-cabinet).

    Ours writes no such file.
    """
    return f"%TEMP%\\{PureWindowsPath(shown).name}.dmp"


def cabinet_text(shown: str, files: Iterable[str]) -> str:
    """What the engine prints about a cabinet with these files beside the dump."""
    added = "".join(f"  Adding {printed(name)} - added\n" for name in (temporary_name(shown), *files))
    return (
        "Creating a cab file can take a VERY VERY long time\n"
        ".Ctrl-C can only interrupt the command after a file has been added to the cab.\n"
        f"{added}Wrote {shown}\n"
    )
