"""DebugClient: the three WriteDumpFile methods of IDebugClient, with file names, file handles and HRESULTs.

The methods take and return what the COM methods do, so that code for the interface needs only another import.
``write`` does the same as a Python call that raises. Contract: docs/format/write-dump-file.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath
from typing import IO

from ..constants import EngineOption, FormatFlag, Hresult, SessionClass
from ..errors import DumptruthError
from ..names import flags_number, qualifier_number
from ..placing import PRIVATE
from ..plan.kernel import KernelPlan
from ..plan.legacy import LegacyPlan, is_legacy
from ..plan.user import Plan
from ..request import Contract, DumpRefused, KernelProfile, Profile, Request, Session, UserStream
from ..snapshot.kernel import KernelSnapshot
from ..snapshot.process import ProcessSnapshot
from ..writer.cab import Cabinet, Member
from ..writer.faults import Faults
from ..writer.kernel_dump import KernelDump
from ..writer.layout import LayoutError, LayoutMap
from ..writer.minidump import Minidump
from ..writer.sinks import FileHandle, FileSink, HandleSink
from ..writer.userdump import UserDump
from .checks import EngineRefused, check_opened, output_of
from .contract import CONTRACTS, Output
from .destination import (
    HANDLE_ONLY,
    Name,
    NotCreated,
    cabinet_text,
    is_given,
    open_file,
    open_handle,
    path_of,
    printed,
    temporary_name,
    text_of,
)
from .host_errors import hresult_of, hresult_of_layout
from .secondary_files import ImageFiles, secondary_files

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
    - ``contract`` says whose answers the client gives: ``documented``, ``e15063`` or ``e29507`` (``contract``).
    - ``session`` is ``live`` or ``dump``. ``target_type`` is the DumpType of the kernel dump that the debugger opened;
      None: a live machine, or a dump with all of memory. With ``image_file`` the target is an image, not a process.
    - ``start_directory`` is the folder for relative file names. None: the folder that is current at the call.
    - ``profile`` decides what the documents leave open. None: ``modern`` for a user-mode target, ``portable`` for a
      kernel-mode target. An engine's contract chooses the kind of file itself.
    - ``image_files`` finds the files that DEBUG_FORMAT_CAB_SECONDARY_FILES adds to a cabinet.
    - ``ready``: False if the debugger has not waited for the target yet, or if the target runs.
    - ``kernel_symbols``: whether the debugger has symbols of the kernel; engine 29507 needs them for an active dump.
    - ``secure_mode`` and ``engine_options`` (EngineOption) are states of the engine that can forbid dumps
      (docs/format/write-dump-file.md#secure-mode-and-sensitive-data).
    - ``permissions`` are those of a new file; a replaced file keeps its own. No effect on Windows.
    - ``faults`` makes named steps fail, for tests.
    """

    def __init__(
        self,
        snapshot: ProcessSnapshot | KernelSnapshot | None,
        *,
        contract: str = Contract.DOCUMENTED,
        session: str = Session.LIVE,
        target_type: int | None = None,
        image_file: bool = False,
        start_directory: Path | None = None,
        profile: str | None = None,
        image_files: ImageFiles | None = None,
        ready: bool = True,
        kernel_symbols: bool = True,
        secure_mode: bool = False,
        engine_options: int = 0,
        permissions: int = PRIVATE,
        faults: Faults | None = None,
    ) -> None:
        self.snapshot = snapshot
        self.contract = Contract(contract)
        self.session = Session(Session.DUMP if image_file else session)
        self._start_directory = start_directory
        self._kernel = snapshot is not None and snapshot.mode == "kernel"
        self.session_class = SessionClass.KERNEL if self._kernel else SessionClass.USER_WINDOWS
        """The class that IDebugControl::GetDebuggeeType returns."""
        if snapshot is None:
            self.session_class = SessionClass.UNINITIALIZED
        elif image_file:
            self.session_class = SessionClass.IMAGE_FILE
        self.profile = profile if profile is not None else KernelProfile.PORTABLE if self._kernel else Profile.MODERN
        self._target_type = target_type
        self._image_files = image_files
        self._ready = ready
        self._kernel_symbols = kernel_symbols
        self._secure_mode = secure_mode
        self._engine_options = engine_options
        self._permissions = permissions
        self._faults = faults or Faults()
        self.last_error: str | None = None
        """Why the last WriteDumpFile* call failed, in one line; None if it succeeded."""
        self.last_warnings: tuple[str, ...] = ()
        """Warnings of the last WriteDumpFile* call, one line each."""
        self.output = ""
        """What the engine printed during the last call (docs/format/write-dump-file.md#text-printed)."""

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
        descriptor elsewhere. A handle wins over the name, and the caller closes it; NO_OVERWRITE has no effect. A user
        dump starts at offset 0, a kernel dump at the position of the handle; an older, longer file is not truncated. A
        failed write removes what was written and what is behind. A refused request, or memory that cannot be read,
        leaves the file unchanged.
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
        before_rename: Callable[[], None] | None = None,
    ) -> DumpResult:
        """Write a dump to a file name or to an open binary file.

        ``qualifier`` and ``format_flags`` are numbers or names: ``small``, ``DEBUG_DUMP_SMALL``, ``["full-memory"]``.
        Raises DumpWriteError, and UnknownNameError for an unknown name.

        ``user_streams`` are added to a user minidump, like MINIDUMP_USER_STREAM_INFORMATION of MiniDumpWriteDump.
        ``before_rename`` is called when the dump is complete, before it takes its place.
        """
        number = qualifier_number(qualifier) if isinstance(qualifier, str) else qualifier
        flags = format_flags if isinstance(format_flags, int) else flags_number(format_flags)
        request = self.request(number, flags, comment, tuple(user_streams))
        if isinstance(file, (str, bytes, os.PathLike)):
            return self.write_request(file, 0, request, before_rename=before_rename)
        return self.write_request(None, file, request, before_rename=before_rename)

    def request(
        self, qualifier: int, format_flags: int, comment: str | bytes | None, streams: tuple[UserStream, ...] = ()
    ) -> Request:
        """Return the request with the contract and the session of this client, and the profile that writes it."""
        outputs = CONTRACTS[self.contract].kernel if self._kernel else CONTRACTS[self.contract].user
        output = outputs.get(qualifier)
        profile = (output and output.profile) or self.profile
        return Request(qualifier, format_flags, comment, profile, streams, self.contract, self.session)

    def _hresult(
        self, name: Name | None, handle: FileHandle, qualifier: int, format_flags: int, comment: str | bytes | None
    ) -> int:
        self.last_error, self.last_warnings = None, ()
        try:
            result = self.write_request(name, handle, self.request(qualifier, format_flags, comment))
        except DumpWriteError as error:
            self.last_error = str(error)
            return error.hresult
        self.last_warnings = result.warnings
        return result.hresult

    def write_request(
        self,
        name: Name | None,
        handle: FileHandle,
        request: Request,
        *,
        command: bool = False,
        before_rename: Callable[[], None] | None = None,
    ) -> DumpResult:
        """Write a dump, in the engine's order of checks (docs/format/write-dump-file.md#order-of-checks).

        ``command``: the request comes from the command ``.dump``. Raises DumpWriteError.
        """
        self.output = ""
        sink: FileSink | HandleSink | None = None
        path, packed = None, request.has(FormatFlag.DEBUG_FORMAT_WRITE_CAB)
        shown = HANDLE_ONLY if name is None else printed(text_of(name))
        failed = ""
        try:
            output = self._output(request, handle, command=command)
            request = self._as_written(request, output)
            if not is_given(handle):
                path = path_of(name, self._start_directory)
                if not packed:  # a cabinet is opened last: the engine writes the dump to a temporary file first
                    sink = self._opened(path, no_overwrite=_keeps(request))
            head = f"Creating {temporary_name(shown) if packed else shown} - "
            self._refuse_opened(request, output, head)
            self.output += f"{head}{output.text}\n"
            failed = output.failed
            dump = self._dump(request)
            cabinet, warnings = self._cabinet(dump, request, name)
            if request.user_streams and not isinstance(dump, Minidump):
                warnings.append("user streams are left out: only a user minidump can hold them")
            if path is None:
                if _keeps(request):
                    warnings.append("DEBUG_FORMAT_NO_OVERWRITE has no effect on a file handle")
                sink = open_handle(handle, at_position=self._kernel, faults=self._faults)
            elif sink is None:
                protected = _keeps(request) and CONTRACTS[self.contract].cabinet_protected
                sink = self._opened(path, no_overwrite=protected)
            layout = _emit(dump, cabinet, sink)
            if before_rename is not None:
                before_rename()
            sink.commit()
        except BaseException as error:
            if sink is not None:
                sink.abandon()
            raised = _write_error(error, path)
            if raised is None:
                raise
            self.output += _printed(error, shown, failed, raised.hresult & 0xFFFF)
            raise raised from error
        self.output += "Dump successfully written\n"
        if cabinet is not None:
            self.output += cabinet_text(shown, cabinet.names[1:])
        return DumpResult(
            Hresult.S_OK,
            dump.plan,
            dump.layout,
            dump.plan.warnings + tuple(warnings),
            path,
            layout,
            () if cabinet is None else cabinet.names,
        )

    def _opened(self, path: Path, *, no_overwrite: bool) -> FileSink:
        return open_file(path, no_overwrite=no_overwrite, permissions=self._permissions, faults=self._faults)

    def _output(self, request: Request, handle: FileHandle, *, command: bool) -> Output:
        """Return what the request gives. Raises DumpRefused for all that the engine refuses before it opens a file."""
        contract = CONTRACTS[self.contract]
        if self.snapshot is None:
            raise DumpRefused(Hresult.E_UNEXPECTED, "no target to dump")
        output = output_of(contract, request, kernel=self._kernel, command=command)
        if not self._ready:
            raise DumpRefused(Hresult.E_UNEXPECTED, "the debugger has not waited for the target, or the target runs")
        if self._secure_mode:
            raise EngineRefused(contract.secure, "the debugger is in Secure Mode, which forbids writing dumps")
        if contract.sensitive and self._engine_options & EngineOption.DEBUG_ENGOPT_DEBUGGING_SENSITIVE_DATA:
            raise EngineRefused(
                contract.sensitive,
                "the engine option DEBUG_ENGOPT_DEBUGGING_SENSITIVE_DATA forbids writing dumps",
            )
        if output.unopened is not None:
            raise EngineRefused(output.unopened, f"{request.qualifier_name}: this engine writes no such dump")
        packed = request.has(FormatFlag.DEBUG_FORMAT_WRITE_CAB)
        if packed:
            self.output += output.cabinet_warning
        if is_given(handle) and packed and not contract.cabinet_in_handle:
            raise DumpRefused(Hresult.E_INVALIDARG, "FileHandle: a cabinet needs a file name")
        return output

    def _as_written(self, request: Request, output: Output) -> Request:
        """Return the request for the plan, without flags that have no effect here."""
        flags = request.format_flags
        if self._kernel and not request.has(FormatFlag.DEBUG_FORMAT_WRITE_CAB):
            flags &= ~FormatFlag.DEBUG_FORMAT_USER_SMALL_SCAN_PARTIAL_PAGES
        return replace(request, format_flags=int(flags), profile=output.profile or request.profile)

    def _refuse_opened(self, request: Request, output: Output, head: str) -> None:
        """Raise EngineRefused for what the engine refuses when the file is open already."""
        try:
            check_opened(
                CONTRACTS[self.contract],
                output,
                request,
                kernel=self._kernel,
                target_type=self._target_type,
                symbols=self._kernel_symbols,
            )
        except EngineRefused as error:
            self.output += head + error.head
            raise

    def _dump(self, request: Request) -> AnyDump:
        assert self.snapshot is not None
        if self.snapshot.mode == "kernel":
            return KernelDump(self.snapshot, request, faults=self._faults)
        if is_legacy(request):
            return UserDump(self.snapshot, request, faults=self._faults)
        return Minidump(self.snapshot, request, faults=self._faults)

    def _cabinet(self, dump: AnyDump, request: Request, name: Name | None) -> tuple[Cabinet | None, list[str]]:
        """Return the cabinet for the dump if the request asks for one, and warnings (docs/format/cabinet.md).

        DbgEng writes a temporary dump and packs it. Here the dump is written into the cabinet directly.
        """
        assert self.snapshot is not None
        if not request.has(FormatFlag.DEBUG_FORMAT_WRITE_CAB):
            return None, []
        own = PureWindowsPath(text_of(name)).name if name is not None else "dump"
        members = [Member(f"{own}.dmp", dump.layout.size, lambda sink: dump.emit(sink, in_order=True))]
        every_image = request.has(FormatFlag.DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES)
        warnings: list[str] = []
        wanted = CONTRACTS[self.contract].used_images or (every_image and self.session is Session.LIVE)
        if request.has(FormatFlag.DEBUG_FORMAT_CAB_SECONDARY_FILES) and wanted:
            found, warnings = secondary_files(self.snapshot, self._image_files, every_image=every_image)
            members += found
        elif every_image and not request.has(FormatFlag.DEBUG_FORMAT_CAB_SECONDARY_FILES):
            warnings.append(
                "DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES has no effect without DEBUG_FORMAT_CAB_SECONDARY_FILES"
            )
        return Cabinet(members, time=self.snapshot.time), warnings


def _emit(dump: AnyDump, cabinet: Cabinet | None, sink: FileSink | HandleSink) -> LayoutMap | None:
    """Write the dump or the cabinet. Return the map of the cabinet."""
    if cabinet is not None:
        return cabinet.emit(sink)
    dump.emit(sink)
    return None


def _write_error(error: BaseException, path: Path | None) -> DumpWriteError | None:
    """Return the error of the methods for what went wrong. None: it is none of theirs."""
    if isinstance(error, DumpRefused):
        return DumpWriteError(error.hresult, str(error))
    if isinstance(error, LayoutError):
        return DumpWriteError(hresult_of_layout(error), str(error))
    if isinstance(error, MemoryError):
        return DumpWriteError(Hresult.E_OUTOFMEMORY, "not enough memory to write the dump")
    if isinstance(error, OSError):
        where = path if path is not None else "the file handle"
        return DumpWriteError(hresult_of(error), f"{where}: {error.strerror or error}")
    return None


def _printed(error: BaseException, shown: str, failed: str, code: int) -> str:
    """Return what the engine prints for the error. ``failed``: the text of a write that fails."""
    if isinstance(error, NotCreated):
        return f"Unable to create file '{shown}' - Win32 error 0n{code}\n"
    return error.printed if isinstance(error, EngineRefused) else failed.format(code=code)


def _keeps(request: Request) -> bool:
    return request.has(FormatFlag.DEBUG_FORMAT_NO_OVERWRITE)
