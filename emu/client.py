"""DebugClient: the face of IDebugClient. The one place that knows file names, file handles and HRESULTs.

The methods take and return what the COM methods do, so that code written for the interface moves over by changing one
import; ``write`` is the same as a Python call that raises. Contract: spec user-mode 1.
"""

from __future__ import annotations

import errno
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .constants import FormatFlag, Hresult, SessionClass, hresult_from_win32
from .plan.kernel import KernelPlan
from .plan.legacy import LegacyPlan, is_legacy
from .plan.request import DumpRefused, KernelProfile, Profile, Request
from .plan.user import Plan
from .snapshot.model import ProcessSnapshot
from .snapshot.system import SystemSnapshot
from .writer.faults import Faults
from .writer.kernel_dump import KernelDump, KernelWriteResult
from .writer.layout import LayoutError, LayoutMap
from .writer.minidump import Minidump, WriteResult
from .writer.sinks import FileHandle, FileSink, HandleSink
from .writer.userdump import UserDump, UserDumpResult

Name = str | bytes | os.PathLike[str]
Dump = Minidump | UserDump | KernelDump
Written = WriteResult | UserDumpResult | KernelWriteResult

_HRESULTS = {  # the system codes that Windows' own file calls give in these cases (winerror.h)
    errno.ENOENT: Hresult.ERROR_PATH_NOT_FOUND,  # a file is created: what is missing is its folder
    errno.ENOTDIR: Hresult.ERROR_PATH_NOT_FOUND,
    errno.EACCES: Hresult.ERROR_ACCESS_DENIED,
    errno.EPERM: Hresult.ERROR_ACCESS_DENIED,
    errno.EROFS: Hresult.ERROR_ACCESS_DENIED,
    errno.EISDIR: Hresult.ERROR_ACCESS_DENIED,
    errno.EEXIST: Hresult.ERROR_FILE_EXISTS,
    errno.ENOSPC: Hresult.ERROR_DISK_FULL,
    errno.EFBIG: Hresult.ERROR_FILE_TOO_LARGE,
    errno.EMFILE: Hresult.ERROR_TOO_MANY_OPEN_FILES,
    errno.ENFILE: Hresult.ERROR_TOO_MANY_OPEN_FILES,
    errno.ENAMETOOLONG: Hresult.ERROR_FILENAME_EXCED_RANGE,
    errno.ESPIPE: Hresult.ERROR_SEEK_ON_DEVICE,
    errno.EBADF: Hresult.ERROR_INVALID_HANDLE,
    errno.EIO: Hresult.ERROR_WRITE_FAULT,
    getattr(errno, "EDQUOT", errno.ENOSPC): Hresult.ERROR_DISK_FULL,
}


class DumpWriteError(Exception):
    """``DebugClient.write`` failed. ``hresult`` is what the COM method would have returned; the text is one line."""

    def __init__(self, hresult: int, message: str) -> None:
        super().__init__(message)
        self.hresult = hresult


@dataclass(frozen=True)
class DumpResult:
    """A dump that was written: the plan with its reasons, the map of every byte, and what people should know."""

    hresult: int
    planned: Plan | LegacyPlan | KernelPlan
    layout: LayoutMap
    warnings: tuple[str, ...]
    path: Path | None
    """None when a file handle was given."""

    @property
    def plan(self) -> Plan:
        """The plan of a user minidump. Raises TypeError when the dump is another."""
        if not isinstance(self.planned, Plan):
            raise TypeError("only a user minidump has a plan")
        return self.planned

    @property
    def legacy_plan(self) -> LegacyPlan:
        """The plan of a legacy full user dump. Raises TypeError when the dump is another."""
        if not isinstance(self.planned, LegacyPlan):
            raise TypeError("only a legacy full user dump has a legacy_plan")
        return self.planned

    @property
    def kernel_plan(self) -> KernelPlan:
        """The plan of a kernel-mode dump. Raises TypeError when the dump is a process's."""
        if not isinstance(self.planned, KernelPlan):
            raise TypeError("only a kernel-mode dump has a kernel_plan")
        return self.planned

    @property
    def size(self) -> int:
        return self.layout.size


class DebugClient:
    """A debugger's client on a stopped target.

    ``start_directory`` is the host folder that relative file names are relative to; None: the current one, now. It
    stands for the directory where the debugger was started, so a later change of the current folder does not move it.
    The snapshot decides the class of the session: a SystemSnapshot is a kernel-mode target. ``profile`` decides what
    the documents leave open; None: ``modern`` of a user-mode, ``portable`` of a kernel-mode target. ``faults`` makes
    named steps fail, for tests.
    """

    def __init__(
        self,
        snapshot: ProcessSnapshot | SystemSnapshot,
        *,
        start_directory: Path | None = None,
        profile: str | None = None,
        faults: Faults | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._start_directory = (Path.cwd() if start_directory is None else Path(start_directory)).absolute()
        kernel = isinstance(snapshot, SystemSnapshot)
        self.session_class = SessionClass.KERNEL if kernel else SessionClass.USER_WINDOWS
        """What IDebugControl::GetDebuggeeType would call the target's class."""
        self._profile = profile if profile is not None else KernelProfile.PORTABLE if kernel else Profile.MODERN
        self._faults = faults or Faults()
        self.last_error: str | None = None
        """Why the last WriteDumpFile* failed, in one line; None when it did not."""
        self.last_warnings: tuple[str, ...] = ()
        """What the last WriteDumpFile* did otherwise than one may think."""

    def WriteDumpFile(self, DumpFile: Name, Qualifier: int) -> int:
        """IDebugClient::WriteDumpFile. Returns an HRESULT as an unsigned number; S_OK is 0."""
        return self.WriteDumpFile2(DumpFile, Qualifier, FormatFlag.DEBUG_FORMAT_DEFAULT, None)

    def WriteDumpFile2(self, DumpFile: Name, Qualifier: int, FormatFlags: int = 0, Comment: str | None = None) -> int:
        """IDebugClient2::WriteDumpFile2. Returns an HRESULT as an unsigned number; S_OK is 0."""
        return self._hresult(DumpFile, 0, Qualifier, FormatFlags, Comment)

    def WriteDumpFileWide(
        self,
        FileName: Name | None,
        FileHandle: FileHandle,
        Qualifier: int,
        FormatFlags: int = 0,
        Comment: str | None = None,
    ) -> int:
        """IDebugClient4::WriteDumpFileWide. Returns an HRESULT as an unsigned number; S_OK is 0.

        ``FileHandle`` 0: there is none, ``FileName`` is written. Else an open binary file object or a descriptor, which
        wins over the name, is written from offset 0 and stays the caller's to close; NO_OVERWRITE has no effect on it.
        """
        return self._hresult(FileName, FileHandle, Qualifier, FormatFlags, Comment)

    def write(
        self,
        file: Name | IO[bytes],
        qualifier: int,
        format_flags: int = 0,
        comment: str | None = None,
    ) -> DumpResult:
        """Write a dump to a name or to an open binary file. Raises DumpWriteError."""
        if isinstance(file, (str, bytes, os.PathLike)):
            return self._write(file, 0, qualifier, format_flags, comment)
        return self._write(None, file, qualifier, format_flags, comment)

    def _hresult(
        self, name: Name | None, handle: FileHandle, qualifier: int, format_flags: int, comment: str | None
    ) -> int:
        self.last_error, self.last_warnings = None, ()
        try:
            result = self._write(name, handle, qualifier, format_flags, comment)
        except DumpWriteError as error:
            self.last_error = str(error)
            return error.hresult
        self.last_warnings = result.warnings
        return result.hresult

    def _write(
        self, name: Name | None, handle: FileHandle, qualifier: int, format_flags: int, comment: str | None
    ) -> DumpResult:
        path = self._path(name) if isinstance(handle, int) and handle == 0 else None
        no_overwrite = bool(format_flags & FormatFlag.DEBUG_FORMAT_NO_OVERWRITE)
        warnings: tuple[str, ...] = ()
        try:
            if format_flags & FormatFlag.DEBUG_FORMAT_WRITE_CAB:
                raise DumpRefused(Hresult.E_NOTIMPL, "FormatFlags: DEBUG_FORMAT_WRITE_CAB is not built yet")
            # Refusals and unreadable memory come before the first touch of any file.
            dump = self._dump(Request(qualifier, format_flags, comment, self._profile))
            if path is not None:
                written = _emit(dump, FileSink(path, no_overwrite=no_overwrite, faults=self._faults))
            else:
                written = _emit(dump, HandleSink(_binary(handle), faults=self._faults))
                if no_overwrite:
                    warnings = ("DEBUG_FORMAT_NO_OVERWRITE has no effect on a file handle",)
        except DumpRefused as error:
            raise DumpWriteError(error.hresult, str(error)) from error
        except LayoutError as error:
            raise DumpWriteError(Hresult.E_FAIL, str(error)) from error
        except MemoryError as error:
            raise DumpWriteError(Hresult.E_OUTOFMEMORY, "not enough memory to write the dump") from error
        except OSError as error:
            where = path if path is not None else "the file handle"
            raise DumpWriteError(hresult_of(error), f"{where}: {error.strerror or error}") from error
        return DumpResult(Hresult.S_OK, written.plan, written.layout, written.warnings + warnings, path)

    def _dump(self, request: Request) -> Dump:
        if isinstance(self._snapshot, SystemSnapshot):
            return KernelDump(self._snapshot, request, faults=self._faults)
        if is_legacy(request):
            return UserDump(self._snapshot, request, faults=self._faults)
        return Minidump(self._snapshot, request, faults=self._faults)

    def _path(self, name: Name | None) -> Path:
        """The host path of a dump's name (spec 1.2). Raises DumpWriteError with E_INVALIDARG."""
        text = os.fsdecode(name) if name is not None else ""
        if not text:
            raise DumpWriteError(Hresult.E_INVALIDARG, "neither a file name nor a file handle was given")
        if "\0" in text:
            raise DumpWriteError(Hresult.E_INVALIDARG, f"{text!r}: a file name holds no NUL")
        path = Path(text)
        if path.name and path.suffix in ("", "."):
            raise DumpWriteError(Hresult.E_INVALIDARG, f"{text}: the file name must carry its extension, none is added")
        return self._start_directory / path


def _emit(dump: Dump, sink: FileSink | HandleSink) -> Written:
    """Write and commit, or leave no trace."""
    try:
        result = dump.emit(sink)
        sink.commit()
    except BaseException:
        sink.abandon()
        raise
    return result


def _binary(handle: FileHandle) -> FileHandle:
    """The handle itself, when dumps can go to it. Raises DumpWriteError."""
    if isinstance(handle, int):
        if not 0 < handle < 1 << 31:
            raise DumpWriteError(Hresult.ERROR_INVALID_HANDLE, f"FileHandle {handle:#x}: no descriptor")
        return handle
    if isinstance(handle, io.TextIOBase) or not all(hasattr(handle, name) for name in ("write", "seek", "truncate")):
        raise DumpWriteError(Hresult.E_INVALIDARG, f"FileHandle: {type(handle).__name__} is no binary file")
    if getattr(handle, "closed", False):
        raise DumpWriteError(Hresult.ERROR_INVALID_HANDLE, "FileHandle: the file is closed")
    return handle


def hresult_of(error: OSError) -> int:
    """What a DbgEng method returns for an error of the host's file system (spec 1.9)."""
    windows_error = getattr(error, "winerror", None)
    if windows_error:
        return hresult_from_win32(windows_error)
    if isinstance(error, io.UnsupportedOperation):  # opened without the right to write or to seek
        return Hresult.ERROR_ACCESS_DENIED
    return _HRESULTS.get(error.errno, Hresult.E_FAIL) if error.errno is not None else Hresult.E_FAIL
