"""DebugClient: the face of IDebugClient. The one place that knows file names, file handles and HRESULTs.

The methods take and return what the COM methods do, so that code written for the interface moves over by changing one
import; ``write`` is the same as a Python call that raises. Contract: spec user-mode 1.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import IO

from ..constants import EngineOption, FormatFlag, Hresult, SessionClass
from ..plan.kernel import KernelPlan
from ..plan.legacy import LegacyPlan, is_legacy
from ..plan.user import Plan
from ..request import DumpRefused, KernelProfile, Profile, Request, UserStream
from ..snapshot.kernel import KernelSnapshot
from ..snapshot.process import ProcessSnapshot
from ..writer.cab import Cabinet, Member
from ..writer.faults import Faults
from ..writer.kernel_dump import KernelDump
from ..writer.layout import LayoutError, LayoutMap
from ..writer.minidump import Minidump
from ..writer.sinks import FileHandle, FileSink, HandleSink
from ..writer.userdump import UserDump
from .host_errors import hresult_of, hresult_of_layout
from .secondary_files import ImageFiles, secondary_files

Name = str | bytes | os.PathLike[str]
Dump = Minidump | UserDump | KernelDump


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
    """Of the dump, also when it is in a cabinet."""
    warnings: tuple[str, ...]
    path: Path | None
    """None when a file handle was given."""
    cabinet: LayoutMap | None = None
    """Of the cabinet that the dump is in; None when it is in none."""
    members: tuple[str, ...] = ()
    """The names of the files in the cabinet, the dump first."""

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
    def written(self) -> LayoutMap:
        """Of the file that was written, be it the dump or a cabinet."""
        return self.cabinet or self.layout

    @property
    def size(self) -> int:
        """Bytes of the file that was written."""
        return self.written.size


class DebugClient:
    """A debugger's client on a stopped target.

    The snapshot decides the class of the session: a KernelSnapshot is a kernel-mode target; None is no target at all.
    ``start_directory`` is the host folder that relative file names are relative to; None: the current one, now. It
    stands for the directory where the debugger was started, so a later change of the current folder does not move it.
    ``profile`` decides what the documents leave open; None: ``modern`` of a user-mode, ``portable`` of a kernel-mode
    target. ``image_files`` finds the files that DEBUG_FORMAT_CAB_SECONDARY_FILES adds. ``secure_mode`` and
    ``engine_options`` (EngineOption) are the engine's: each can forbid to write dumps. ``faults`` makes named steps
    fail, for tests.
    """

    def __init__(
        self,
        snapshot: ProcessSnapshot | KernelSnapshot | None,
        *,
        start_directory: Path | None = None,
        profile: str | None = None,
        image_files: ImageFiles | None = None,
        secure_mode: bool = False,
        engine_options: int = 0,
        faults: Faults | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._start_directory = (Path.cwd() if start_directory is None else Path(start_directory)).absolute()
        kernel = snapshot is not None and snapshot.mode == "kernel"
        self.session_class = SessionClass.KERNEL if kernel else SessionClass.USER_WINDOWS
        """What IDebugControl::GetDebuggeeType would call the target's class."""
        if snapshot is None:
            self.session_class = SessionClass.UNINITIALIZED
        self._profile = profile if profile is not None else KernelProfile.PORTABLE if kernel else Profile.MODERN
        self._image_files = image_files
        self._secure_mode = secure_mode
        self._engine_options = engine_options
        self._faults = faults or Faults()
        self.last_error: str | None = None
        """Why the last WriteDumpFile* failed, in one line; None when it did not."""
        self.last_warnings: tuple[str, ...] = ()
        """What the last WriteDumpFile* did otherwise than one may think."""

    def WriteDumpFile(self, DumpFile: Name, Qualifier: int) -> int:
        """IDebugClient::WriteDumpFile. Returns an HRESULT as an unsigned number; S_OK is 0."""
        return self.WriteDumpFile2(DumpFile, Qualifier, FormatFlag.DEBUG_FORMAT_DEFAULT, None)

    def WriteDumpFile2(
        self, DumpFile: Name, Qualifier: int, FormatFlags: int = 0, Comment: str | bytes | None = None
    ) -> int:
        """IDebugClient2::WriteDumpFile2. Returns an HRESULT as an unsigned number; S_OK is 0.

        The strings are ANSI: bytes are taken as such (a comment of bytes becomes a CommentStreamA), text is taken too.
        """
        return self._hresult(DumpFile, 0, Qualifier, FormatFlags, Comment)

    def WriteDumpFileWide(
        self,
        FileName: str | os.PathLike[str] | None,
        FileHandle: FileHandle,
        Qualifier: int,
        FormatFlags: int = 0,
        Comment: str | None = None,
    ) -> int:
        """IDebugClient4::WriteDumpFileWide. Returns an HRESULT as an unsigned number; S_OK is 0.

        ``FileHandle`` 0: there is none, ``FileName`` is written. Else an open binary file object, or a number: on
        Windows a HANDLE, elsewhere a descriptor. It wins over the name, is written from offset 0 and stays the
        caller's to close; NO_OVERWRITE has no effect on it. When writing to it fails, it is left empty; a request that
        is refused, or memory that cannot be read, leaves it as it was.
        """
        if isinstance(FileName, bytes) or isinstance(Comment, bytes):
            self.last_error, self.last_warnings = "WriteDumpFileWide takes text, not bytes", ()
            return Hresult.E_INVALIDARG
        return self._hresult(FileName, FileHandle, Qualifier, FormatFlags, Comment)

    def write(
        self,
        file: Name | IO[bytes],
        qualifier: int,
        format_flags: int = 0,
        comment: str | bytes | None = None,
        *,
        user_streams: Iterable[UserStream] = (),
    ) -> DumpResult:
        """Write a dump to a name or to an open binary file. Raises DumpWriteError.

        ``user_streams`` are added to a user minidump, as MINIDUMP_USER_STREAM_INFORMATION does for MiniDumpWriteDump.
        """
        request = Request(qualifier, format_flags, comment, self._profile, tuple(user_streams))
        if isinstance(file, (str, bytes, os.PathLike)):
            return self._write(file, 0, request)
        return self._write(None, file, request)

    def _hresult(
        self, name: Name | None, handle: FileHandle, qualifier: int, format_flags: int, comment: str | bytes | None
    ) -> int:
        self.last_error, self.last_warnings = None, ()
        try:
            result = self._write(name, handle, Request(qualifier, format_flags, comment, self._profile))
        except DumpWriteError as error:
            self.last_error = str(error)
            return error.hresult
        self.last_warnings = result.warnings
        return result.hresult

    def _write(self, name: Name | None, handle: FileHandle, request: Request) -> DumpResult:
        self._check_engine()
        path = self._path(name) if isinstance(handle, int) and handle == 0 else None
        try:
            # Refusals and unreadable memory come before the first touch of any file.
            dump = self._dump(request)
            cabinet, warnings = self._cabinet(dump, request, name)
            if request.user_streams and not isinstance(dump, Minidump):
                warnings.append("only a user minidump has user streams; they are left out")
            sink = self._sink(path, handle, request, warnings)
            layout = _emit(dump, cabinet, sink)
        except DumpRefused as error:
            raise DumpWriteError(error.hresult, str(error)) from error
        except LayoutError as error:
            raise DumpWriteError(hresult_of_layout(error), str(error)) from error
        except MemoryError as error:
            raise DumpWriteError(Hresult.E_OUTOFMEMORY, "not enough memory to write the dump") from error
        except OSError as error:
            where = path if path is not None else "the file handle"
            raise DumpWriteError(hresult_of(error), f"{where}: {error.strerror or error}") from error
        return DumpResult(
            Hresult.S_OK,
            dump.plan,
            dump.layout,
            dump.plan.warnings + tuple(warnings),
            path,
            layout,
            () if cabinet is None else cabinet.names,
        )

    def _check_engine(self) -> None:
        """Raises DumpWriteError when there is nothing to dump, or the engine may not (spec 1.9)."""
        if self._snapshot is None:
            raise DumpWriteError(Hresult.E_UNEXPECTED, "there is no target")
        if self._secure_mode:
            raise DumpWriteError(Hresult.ERROR_ACCESS_DENIED, "the debugger is in Secure Mode")
        if self._engine_options & EngineOption.DEBUG_ENGOPT_DEBUGGING_SENSITIVE_DATA:
            # No document names the code. It is not the target's fault, nor an argument's.
            raise DumpWriteError(Hresult.E_FAIL, "DEBUG_ENGOPT_DEBUGGING_SENSITIVE_DATA forbids to save dumps")

    def _dump(self, request: Request) -> Dump:
        assert self._snapshot is not None
        if self._snapshot.mode == "kernel":
            return KernelDump(self._snapshot, request, faults=self._faults)
        if is_legacy(request):
            return UserDump(self._snapshot, request, faults=self._faults)
        return Minidump(self._snapshot, request, faults=self._faults)

    def _cabinet(self, dump: Dump, request: Request, name: Name | None) -> tuple[Cabinet | None, list[str]]:
        """The cabinet that the dump goes into, when one is asked for (spec 1.5, 1.8).

        DbgEng packs a temporary dump. This cabinet takes the dump's bytes as they are made, so there is none to delete.
        """
        assert self._snapshot is not None
        if not request.has(FormatFlag.DEBUG_FORMAT_WRITE_CAB):
            return None, []
        stem = PureWindowsPath(_text(name)).stem if name is not None else ""
        members = [Member(f"{stem or 'dump'}.dmp", dump.layout.size, lambda sink: dump.emit(sink, in_order=True))]
        every_image = request.has(FormatFlag.DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES)
        warnings: list[str] = []
        if request.has(FormatFlag.DEBUG_FORMAT_CAB_SECONDARY_FILES):
            found, warnings = secondary_files(self._snapshot, self._image_files, every_image=every_image)
            members += found
        elif every_image:
            warnings.append(
                "DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES has no effect without DEBUG_FORMAT_CAB_SECONDARY_FILES"
            )
        return Cabinet(members, time=self._snapshot.time), warnings

    def _sink(
        self, path: Path | None, handle: FileHandle, request: Request, warnings: list[str]
    ) -> FileSink | HandleSink:
        no_overwrite = request.has(FormatFlag.DEBUG_FORMAT_NO_OVERWRITE)
        if path is not None:
            return FileSink(path, no_overwrite=no_overwrite, faults=self._faults)
        if no_overwrite:
            warnings.append("DEBUG_FORMAT_NO_OVERWRITE has no effect on a file handle")
        return HandleSink(_binary(handle), faults=self._faults)

    def _path(self, name: Name | None) -> Path:
        """The host path of a dump's name (spec 1.2). Raises DumpWriteError with E_INVALIDARG."""
        text = _text(name) if name is not None else ""
        if not text:
            raise DumpWriteError(Hresult.E_INVALIDARG, "neither a file name nor a file handle was given")
        if "\0" in text:
            raise DumpWriteError(Hresult.E_INVALIDARG, f"{text!r}: a file name holds no NUL")
        path = Path(text)
        if path.name and path.suffix in ("", "."):
            raise DumpWriteError(Hresult.E_INVALIDARG, f"{text}: the file name must carry its extension, none is added")
        return self._start_directory / path


def _emit(dump: Dump, cabinet: Cabinet | None, sink: FileSink | HandleSink) -> LayoutMap | None:
    """Write and commit, or leave no trace. Returns the map of the cabinet."""
    layout = None
    try:
        if cabinet is not None:
            layout = cabinet.emit(sink)
        else:
            dump.emit(sink)
        sink.commit()
    except BaseException:
        sink.abandon()
        raise
    return layout


def _text(name: Name) -> str:
    """A name as text. Bytes are in the system's ANSI code page; elsewhere than on Windows, the file system's."""
    if isinstance(name, bytes) and sys.platform == "win32":
        return name.decode("mbcs")
    return os.fsdecode(name)


def _binary(handle: FileHandle) -> FileHandle:
    """The handle itself, when dumps can go to it. Raises DumpWriteError."""
    if isinstance(handle, int):
        if not 0 < handle < 1 << (64 if sys.platform == "win32" else 31):
            raise DumpWriteError(Hresult.ERROR_INVALID_HANDLE, f"FileHandle {handle:#x}: no open file")
        return handle
    needed = ("write", "seek", "truncate", "flush")
    if isinstance(handle, io.TextIOBase) or not all(hasattr(handle, name) for name in needed):
        raise DumpWriteError(Hresult.E_INVALIDARG, f"FileHandle: {type(handle).__name__} is no binary file")
    if getattr(handle, "closed", False):
        raise DumpWriteError(Hresult.ERROR_INVALID_HANDLE, "FileHandle: the file is closed")
    return handle
