"""Where a dump goes: memory, a file that appears complete or not at all, or a handle of the caller's.

Every sink takes bytes in order and then patches. They raise OSError as the system does; what it means for DbgEng is the
client's to say.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from itertools import count
from pathlib import Path
from typing import IO

from .faults import FaultPoint, Faults
from .layout import Buffer

_FSCTL_SET_SPARSE = 0x900C4  # winioctl.h
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
    """A new file under a temporary name beside ``path``; ``commit`` renames it, ``abandon`` removes every trace.

    With ``no_overwrite`` the name is reserved first, by an empty file made on the condition that there is none, so that
    no other process's file can be replaced in between. Raises OSError; FileExistsError when the name is taken.
    """

    def __init__(self, path: Path, *, no_overwrite: bool = False, faults: Faults | None = None) -> None:
        self._path = Path(os.path.realpath(path))  # through links: the file they lead to is replaced
        self._faults = faults or Faults()
        self._reserved = False
        if self._path.exists() and not self._path.is_file():
            raise PermissionError(errno.EACCES, "is no file that can be replaced", str(path))
        if no_overwrite:
            self._faults.reach(FaultPoint.CREATE)
            with self._path.open("xb"):
                self._reserved = True
        elif self._path.exists() and not os.access(self._path, os.W_OK):
            raise PermissionError(errno.EACCES, "is read-only", str(path))
        self._holes = False
        try:
            self._faults.reach(FaultPoint.CREATE)
            self._file, self._temporary = _temporary_neighbour(self._path)
        except BaseException:
            self._release()
            raise

    def write(self, data: Buffer) -> None:
        self._faults.reach(FaultPoint.WRITE)
        _write_all(self._file, data)

    def write_zeros(self, size: int) -> None:
        """A hole, where the file system has them: only its last byte is written."""
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
        """The file is complete: give it its name."""
        self._faults.reach(FaultPoint.FLUSH)
        self._file.close()
        self._faults.reach(FaultPoint.RENAME)
        self._temporary.replace(self._path)
        self._reserved = False

    def abandon(self) -> None:
        """The dump failed: what was there before is there still, and nothing else."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._temporary.unlink()
        self._release()

    def _release(self) -> None:
        if self._reserved:
            with contextlib.suppress(OSError):
                self._path.unlink()


def _temporary_neighbour(path: Path) -> tuple[io.FileIO, Path]:
    """A new file in the same folder, hence on the same volume: a rename within it is atomic."""
    for number in count():
        temporary = path.with_name(f".dumptruth-{number}.tmp")
        try:
            return temporary.open("xb", buffering=0), temporary
        except FileExistsError:
            continue
    raise AssertionError("count() does not end")


class HandleSink:
    """Writes to a handle of the caller's from offset 0 on; the caller keeps and closes it (spec user-mode 1.2).

    What the handle's file held before is cut off. A failed dump leaves it empty. Raises OSError.
    """

    def __init__(self, handle: FileHandle, *, faults: Faults | None = None) -> None:
        self._faults = faults or Faults()
        self._owned: io.FileIO | None = None
        self._file: IO[bytes] | io.FileIO
        if isinstance(handle, int):
            self._file = self._owned = _opened(handle)
        else:
            self._file = handle
        try:
            self._faults.reach(FaultPoint.SEEK)
            self._file.seek(0)
            self._truncate()
        except BaseException:
            self._close()
            raise

    def write(self, data: Buffer) -> None:
        self._faults.reach(FaultPoint.WRITE)
        _write_all(self._file, data)

    def write_zeros(self, size: int) -> None:
        """A hole, where the file system has them: only its last byte is written."""
        self._faults.reach(FaultPoint.SEEK)
        self._file.seek(size - 1, os.SEEK_CUR)
        self.write(b"\0")

    def patch(self, offset: int, data: bytes) -> None:
        self._faults.reach(FaultPoint.SEEK)
        end = self._file.seek(0, os.SEEK_END)
        self._file.seek(offset)
        self.write(data)
        if self._file.seek(0, os.SEEK_END) != end:  # it went behind the rest
            raise PermissionError(errno.EACCES, "is open for appending only")

    def commit(self) -> None:
        self._faults.reach(FaultPoint.FLUSH)
        self._file.flush()
        self._close()

    def abandon(self) -> None:
        """The file is the caller's: it stays, without contents."""
        with contextlib.suppress(OSError):
            self._file.seek(0)
            self._file.truncate()
        self._close()

    def _truncate(self) -> None:
        """POSIX says EINVAL of a file opened to read, but also of a device, which has no length: a write decides."""
        try:
            self._file.truncate()
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EBADF):
                raise
            try:
                self._file.write(b"")
            except OSError as refusal:
                if refusal.errno in (errno.EBADF, None):  # None: a file object's own word, UnsupportedOperation
                    raise PermissionError(errno.EACCES, "is not open for writing") from error

    def _close(self) -> None:
        if self._owned is not None:
            with contextlib.suppress(OSError):
                self._owned.close()


def _opened(handle: int) -> io.FileIO:
    """A file on the caller's handle; to close it does not close the handle."""
    if sys.platform == "win32":
        import _winapi  # noqa: PLC0415 - only there
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
    """On Windows a file has holes only when it is told to; where it cannot, the zeros take room, and nothing else."""
    if sys.platform == "win32":
        import ctypes  # noqa: PLC0415 - only there
        import msvcrt  # noqa: PLC0415

        handle = ctypes.c_void_p(msvcrt.get_osfhandle(file.fileno()))
        returned = ctypes.byref(ctypes.c_ulong())
        ctypes.windll.kernel32.DeviceIoControl(handle, _FSCTL_SET_SPARSE, None, 0, None, 0, returned, None)


def _write_all(file: IO[bytes] | io.FileIO, data: Buffer) -> None:
    """All of it: an unbuffered file may take less than it is given."""
    view = memoryview(data)
    while view.nbytes:
        taken = file.write(view)
        if not taken:
            raise OSError(errno.EAGAIN, "the handle takes no more bytes")
        view = view[taken:]
