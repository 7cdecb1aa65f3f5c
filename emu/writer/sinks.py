"""The destinations of a dump: memory, a file that appears complete or not at all, a handle of the caller.

Every sink takes bytes in order and then patches. Sinks raise the OSError of the system; ``debugger/host_errors.py``
translates it to an HRESULT.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from pathlib import Path
from typing import IO

from ..placing import PRIVATE, discard, take_place, temporary_file
from .faults import FaultPoint, Faults
from .layout import Buffer

_FSCTL_SET_SPARSE = 0x900C4  # winioctl.h
_ZEROS = 1 << 20
_APPENDS = "is open for appending only"
FileHandle = int | IO[bytes]
"""A HANDLE on Windows, a descriptor elsewhere; or an open binary file object."""


class BytesSink:
    """Keeps the dump in memory."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: Buffer) -> None:
        self._data += data

    def write_zeros(self, size: int) -> None:
        self._data += bytes(size)

    def patch(self, offset: int, data: bytes) -> None:
        self._data[offset : offset + len(data)] = data

    def getvalue(self) -> bytes:
        return bytes(self._data)


class FileSink:
    """A new file with a temporary name beside ``path``. ``commit`` renames it, ``abandon`` removes it.

    For a symbolic link its target is replaced, and the link stays. A replaced file gives its permissions to the new
    one. ``permissions`` are those of a file that did not exist; None: those that the system gives a new file.

    Raises OSError; FileExistsError when the name is taken and ``no_overwrite`` is set.
    """

    def __init__(
        self,
        path: Path,
        *,
        no_overwrite: bool = False,
        permissions: int | None = PRIVATE,
        faults: Faults | None = None,
    ) -> None:
        self._path = Path(os.path.realpath(path))
        self._faults = faults or Faults()
        self._replaces, self._permissions = not no_overwrite, permissions
        there = self._path.exists()
        if no_overwrite and there:
            reason = "is a folder" if self._path.is_dir() else os.strerror(errno.EEXIST)
            raise FileExistsError(errno.EEXIST, reason, str(path))
        if there and not self._path.is_file():
            raise PermissionError(errno.EACCES, "is not a regular file and cannot be replaced", str(path))
        if there and not os.access(self._path, os.W_OK):
            raise PermissionError(errno.EACCES, "is read-only", str(path))
        self._holes = False
        self._faults.reach(FaultPoint.CREATE)
        try:
            created = PRIVATE if there or permissions is not None else 0o666
            descriptor, self._temporary = temporary_file(self._path.parent, created)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
        self._file = io.FileIO(descriptor, "wb")

    @property
    def file(self) -> io.FileIO:
        """The temporary file, for a text that is not written in pieces of a dump."""
        return self._file

    def write(self, data: Buffer) -> None:
        self._faults.reach(FaultPoint.WRITE)
        _write_all(self._file, data)

    def write_zeros(self, size: int) -> None:
        """Write ``size`` zeros as a hole: only the last byte is written."""
        self._faults.reach(FaultPoint.SEEK)
        if not self._holes:
            self._holes = True
            _allow_holes(self._file)
        self._file.seek(size - 1, os.SEEK_CUR)
        self.write(b"\0")

    def patch(self, offset: int, data: bytes) -> None:
        self._faults.reach(FaultPoint.SEEK)
        self._file.seek(offset)
        self.write(data)

    def commit(self) -> None:
        """Close the complete file and give it its name."""
        self._faults.reach(FaultPoint.FLUSH)
        self._file.close()
        self._faults.reach(FaultPoint.RENAME)
        take_place(self._temporary, self._path, self._permissions, replace=self._replaces)

    def abandon(self) -> None:
        """Remove the incomplete file. A file that existed under the name before is unchanged."""
        with contextlib.suppress(OSError):
            self._file.close()
        discard(self._temporary)


class HandleSink:
    """Writes to a handle of the caller, from offset 0 or from its position. The caller keeps the handle and closes it.

    A longer file keeps its tail. A failed dump ends the file where the dump began. Raises OSError.
    docs/format/write-dump-file.md#file-handles
    """

    def __init__(self, handle: FileHandle, *, at_position: bool = False, faults: Faults | None = None) -> None:
        self._faults = faults or Faults()
        self._owned: io.FileIO | None = None
        self._file: IO[bytes] | io.FileIO
        if isinstance(handle, int):
            self._file = self._owned = _opened(handle)
        else:
            self._file = handle
        try:
            self._faults.reach(FaultPoint.SEEK)
            self._start = self._file.seek(0, os.SEEK_CUR) if at_position else 0
            self._old_size = self._file.seek(0, os.SEEK_END)
            self._check_writable()
            self._file.seek(self._start)
        except BaseException:
            self._close()
            raise
        self._placed = self._start >= self._old_size

    def write(self, data: Buffer) -> None:
        self._faults.reach(FaultPoint.WRITE)
        _write_all(self._file, data)
        size = memoryview(data).nbytes
        if size and not self._placed:
            self._check_place(size)

    def _check_place(self, size: int) -> None:
        """Refuse a file that appended the first ``size`` bytes of the dump: then its old contents are unchanged."""
        self._placed = True
        end = self._start + size
        if self._file.seek(0, os.SEEK_END) > max(end, self._old_size):
            self._start = self._old_size  # only the appended bytes are removed
            raise PermissionError(errno.EACCES, _APPENDS)
        self._file.seek(end)

    def write_zeros(self, size: int) -> None:
        """Write ``size`` zeros. Behind the end of the old file they are a hole: only the last byte is written."""
        self._faults.reach(FaultPoint.SEEK)
        at = self._file.tell()
        for start in range(at, min(at + size, self._old_size), _ZEROS):
            self.write(bytes(min(_ZEROS, min(at + size, self._old_size) - start)))
        if at + size > self._old_size:
            self._file.seek(at + size - 1)
            self.write(b"\0")

    def patch(self, offset: int, data: bytes) -> None:
        self._faults.reach(FaultPoint.SEEK)
        end = self._file.seek(0, os.SEEK_END)
        self._file.seek(self._start + offset)
        self.write(data)
        if self._file.seek(0, os.SEEK_END) != end:  # the patch was appended
            raise PermissionError(errno.EACCES, _APPENDS)

    def commit(self) -> None:
        self._faults.reach(FaultPoint.FLUSH)
        self._file.flush()
        self._close()

    def abandon(self) -> None:
        """End the file of the caller where the dump began."""
        with contextlib.suppress(OSError):
            self._file.seek(self._start)
            self._file.truncate()
        self._close()

    def _check_writable(self) -> None:
        """Give the file the length that it has; that fails for a file opened for reading.

        POSIX returns EINVAL for it, and also for a device, which has no length. An empty write tells them apart.
        """
        try:
            self._file.truncate(self._old_size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EBADF):
                raise
            try:
                self._file.write(b"")
            except OSError as refusal:
                if refusal.errno in (errno.EBADF, None):  # None: UnsupportedOperation of a Python file object
                    raise PermissionError(errno.EACCES, "is not open for writing") from error

    def _close(self) -> None:
        if self._owned is not None:
            with contextlib.suppress(OSError):
                self._owned.close()


def _opened(handle: int) -> io.FileIO:
    """Open a file on the caller's handle. Closing the file does not close the handle."""
    if sys.platform == "win32":
        import _winapi  # noqa: PLC0415 - exists on Windows only
        import msvcrt  # noqa: PLC0415

        process = _winapi.GetCurrentProcess()
        duplicate = _winapi.DuplicateHandle(process, handle, process, 0, False, _winapi.DUPLICATE_SAME_ACCESS)
        try:
            descriptor = msvcrt.open_osfhandle(duplicate, os.O_RDWR | os.O_BINARY)
        except OSError:
            _winapi.CloseHandle(duplicate)
            raise
        return io.FileIO(descriptor, "r+b")
    return io.FileIO(handle, "r+b", closefd=False)


def _allow_holes(file: io.FileIO) -> None:
    """Make the file sparse on Windows. If the file system cannot, the zeros take disk space."""
    if sys.platform == "win32":
        import ctypes  # noqa: PLC0415 - exists on Windows only
        import msvcrt  # noqa: PLC0415

        handle = ctypes.c_void_p(msvcrt.get_osfhandle(file.fileno()))
        returned = ctypes.byref(ctypes.c_ulong())
        ctypes.windll.kernel32.DeviceIoControl(handle, _FSCTL_SET_SPARSE, None, 0, None, 0, returned, None)


def _write_all(file: IO[bytes] | io.FileIO, data: Buffer) -> None:
    """Write all of ``data``: an unbuffered file may take only a part of it."""
    view = memoryview(data)
    while view.nbytes:
        taken = file.write(view)
        if not taken:
            raise OSError(errno.EAGAIN, "the handle accepts no more bytes")
        view = view[taken:]
