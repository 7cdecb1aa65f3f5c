"""DebugClient: the three WriteDumpFile methods of IDebugClient, with file names, file handles and HRESULTs.

The methods take and return what the COM methods do, so that code for the interface needs only another import.
``write`` does the same as a Python call that raises. Contract: docs/format/write-dump-file.md.
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
from ..errors import DumptruthError
from ..names import flags_number, qualifier_number
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
AnyDump = Minidump | UserDump | KernelDump


class DumpWriteError(DumptruthError):
    """``DebugClient.write`` failed. ``hresult`` is the return value of the COM method, the text is one line."""

    def __init__(self, hresult: int, message: str) -> None:
        super().__init__(message)
        self.hresult = hresult


@dataclass(frozen=True)
class DumpResult:
    """A dump that was written: its plan with the reasons, the map of every byte, and warnings for the user."""

    hresult: int
    planned: Plan | LegacyPlan | KernelPlan
    layout: LayoutMap
    """Map of the dump, also when it is in a cabinet."""
    warnings: tuple[str, ...]
    path: Path | None
    """None if a file handle was given."""
    cabinet: LayoutMap | None = None
    """Map of the cabinet that holds the dump; None without a cabinet."""
    members: tuple[str, ...] = ()
    """Names of the files in the cabinet, the dump first. Empty without a cabinet."""

    @property
    def plan(self) -> Plan:
        """The plan of a user minidump. Raises TypeError for another kind of dump."""
        if not isinstance(self.planned, Plan):
            raise TypeError("only a user minidump has a plan")
        return self.planned

    @property
    def legacy_plan(self) -> LegacyPlan:
        """The plan of a legacy full user dump. Raises TypeError for another kind of dump."""
        if not isinstance(self.planned, LegacyPlan):
            raise TypeError("only a legacy full user dump has a legacy_plan")
        return self.planned

    @property
    def kernel_plan(self) -> KernelPlan:
        """The plan of a kernel-mode dump. Raises TypeError for another kind of dump."""
        if not isinstance(self.planned, KernelPlan):
            raise TypeError("only a kernel-mode dump has a kernel_plan")
        return self.planned

    @property
    def written(self) -> LayoutMap:
        """Map of the written file: the cabinet if there is one, else the dump."""
        return self.cabinet or self.layout

    @property
    def size(self) -> int:
        """Bytes of the written file."""
        return self.written.size


class DebugClient:
    """A debugger's client for a stopped target.

    - ``snapshot`` gives the class of the session: user mode, or kernel mode for a KernelSnapshot. None: no target.
    - ``start_directory`` is the host folder for relative file names. It corresponds to the folder where the debugger
      was started. None: the current folder at the time of the call.
    - ``profile`` decides what the documents leave open. None: ``modern`` for a user-mode target, ``portable`` for a
      kernel-mode target.
    - ``image_files`` finds the files that DEBUG_FORMAT_CAB_SECONDARY_FILES adds to a cabinet.
    - ``secure_mode`` and ``engine_options`` (EngineOption) are states of the engine that can forbid dumps
      (docs/format/write-dump-file.md#secure-mode-and-sensitive-data).
    - ``faults`` makes named steps fail, for tests.
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
        """The class that IDebugControl::GetDebuggeeType returns."""
        if snapshot is None:
            self.session_class = SessionClass.UNINITIALIZED
        self._profile = profile if profile is not None else KernelProfile.PORTABLE if kernel else Profile.MODERN
        self._image_files = image_files
        self._secure_mode = secure_mode
        self._engine_options = engine_options
        self._faults = faults or Faults()
        self.last_error: str | None = None
        """Why the last WriteDumpFile* call failed, in one line; None if it succeeded."""
        self.last_warnings: tuple[str, ...] = ()
        """Warnings of the last WriteDumpFile* call, one line each."""

    def WriteDumpFile(self, DumpFile: Name, Qualifier: int) -> int:
        """IDebugClient::WriteDumpFile. Returns the HRESULT as an unsigned number; S_OK is 0."""
        return self.WriteDumpFile2(DumpFile, Qualifier, FormatFlag.DEBUG_FORMAT_DEFAULT, None)

    def WriteDumpFile2(
        self, DumpFile: Name, Qualifier: int, FormatFlags: int = 0, Comment: str | bytes | None = None
    ) -> int:
        """IDebugClient2::WriteDumpFile2. Returns the HRESULT as an unsigned number; S_OK is 0.

        Bytes are ANSI strings, as the COM method takes them; text is accepted, too. A comment of bytes becomes a
        CommentStreamA.
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
        """IDebugClient4::WriteDumpFileWide. Returns the HRESULT as an unsigned number; S_OK is 0.

        ``FileHandle`` is 0 for no handle, else an open binary file object or a number: a HANDLE on Windows, a
        descriptor elsewhere. A handle wins over the name. It is written from offset 0, and the caller closes it;
        NO_OVERWRITE has no effect. A failed write leaves the file empty. A refused request, or memory that cannot be
        read, leaves it unchanged.
        """
        if isinstance(FileName, bytes) or isinstance(Comment, bytes):
            self.last_error, self.last_warnings = "WriteDumpFileWide takes text, not bytes", ()
            return Hresult.E_INVALIDARG
        return self._hresult(FileName, FileHandle, Qualifier, FormatFlags, Comment)

    def write(
        self,
        file: Name | IO[bytes],
        qualifier: int | str,
        format_flags: int | str | Iterable[str | int] = 0,
        comment: str | bytes | None = None,
        *,
        user_streams: Iterable[UserStream] = (),
    ) -> DumpResult:
        """Write a dump to a file name or to an open binary file.

        ``qualifier`` and ``format_flags`` are numbers or names: ``small``, ``DEBUG_DUMP_SMALL``, ``["full-memory"]``.
        Raises DumpWriteError, and UnknownNameError for an unknown name.

        ``user_streams`` are added to a user minidump, like MINIDUMP_USER_STREAM_INFORMATION of MiniDumpWriteDump.
        """
        number = qualifier_number(qualifier) if isinstance(qualifier, str) else qualifier
        flags = format_flags if isinstance(format_flags, int) else flags_number(format_flags)
        request = Request(number, flags, comment, self._profile, tuple(user_streams))
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
            # Refuse the request and read all memory before any file is touched.
            dump = self._dump(request)
            cabinet, warnings = self._cabinet(dump, request, name)
            if request.user_streams and not isinstance(dump, Minidump):
                warnings.append("user streams are left out: only a user minidump can hold them")
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
        """Raises DumpWriteError if there is no target, or if a state of the engine forbids dumps.

        docs/format/write-dump-file.md#order-of-checks
        """
        if self._snapshot is None:
            raise DumpWriteError(Hresult.E_UNEXPECTED, "no target to dump")
        if self._secure_mode:
            raise DumpWriteError(
                Hresult.ERROR_ACCESS_DENIED, "the debugger is in Secure Mode, which forbids writing dumps"
            )
        if self._engine_options & EngineOption.DEBUG_ENGOPT_DEBUGGING_SENSITIVE_DATA:
            # The code of engine 29507; no document names one.
            raise DumpWriteError(
                Hresult.E_FAIL, "the engine option DEBUG_ENGOPT_DEBUGGING_SENSITIVE_DATA forbids writing dumps"
            )

    def _dump(self, request: Request) -> AnyDump:
        assert self._snapshot is not None
        if self._snapshot.mode == "kernel":
            return KernelDump(self._snapshot, request, faults=self._faults)
        if is_legacy(request):
            return UserDump(self._snapshot, request, faults=self._faults)
        return Minidump(self._snapshot, request, faults=self._faults)

    def _cabinet(self, dump: AnyDump, request: Request, name: Name | None) -> tuple[Cabinet | None, list[str]]:
        """Return the cabinet for the dump if the request asks for one, and warnings (docs/format/cabinet.md).

        DbgEng writes a temporary dump and packs it. Here the dump is written into the cabinet directly.
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
        """Return the host path for a dump's name. Raises DumpWriteError with E_INVALIDARG.

        docs/format/write-dump-file.md#file-names. An extension is required, as the reference page says.
        """
        text = _text(name) if name is not None else ""
        if not text:
            raise DumpWriteError(Hresult.E_INVALIDARG, "neither a file name nor a file handle was given")
        if "\0" in text:
            raise DumpWriteError(Hresult.E_INVALIDARG, f"file name {text!r}: contains a NUL")
        path = Path(text)
        if path.name and path.suffix in ("", "."):
            raise DumpWriteError(Hresult.E_INVALIDARG, f"file name {text}: has no extension, and none is added")
        return self._start_directory / path


def _emit(dump: AnyDump, cabinet: Cabinet | None, sink: FileSink | HandleSink) -> LayoutMap | None:
    """Write and commit, or abandon the file on an error. Return the map of the cabinet."""
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
    """Decode a name. Bytes are in the ANSI code page on Windows, in the file system's encoding elsewhere."""
    if isinstance(name, bytes) and sys.platform == "win32":
        return name.decode("mbcs")
    return os.fsdecode(name)


def _binary(handle: FileHandle) -> FileHandle:
    """Return the handle if a dump can be written to it. Raises DumpWriteError."""
    if isinstance(handle, int):
        if not 0 < handle < 1 << (64 if sys.platform == "win32" else 31):
            raise DumpWriteError(Hresult.ERROR_INVALID_HANDLE, f"FileHandle {handle:#x}: not an open file")
        return handle
    needed = ("write", "seek", "truncate", "flush")
    if isinstance(handle, io.TextIOBase) or not all(hasattr(handle, name) for name in needed):
        raise DumpWriteError(
            Hresult.E_INVALIDARG, f"FileHandle: {type(handle).__name__}, expected a binary file or a number"
        )
    if getattr(handle, "closed", False):
        raise DumpWriteError(Hresult.ERROR_INVALID_HANDLE, "FileHandle: the file is closed")
    return handle
