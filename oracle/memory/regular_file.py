"""Reads regular files that other programs may change meanwhile.

Nothing is mapped: a map of a file that shrinks kills the process. Files that are not regular are refused before they
are opened: a FIFO blocks, a device never ends, and a file of ``/proc`` has no size.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from functools import cache
from pathlib import Path
from typing import Final

from .allocated_ranges import data_extents

_KINDS: Final = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_PSEUDO: Final = ("/proc", "/sys")
"""Where Linux mounts file systems whose files are answers of the kernel."""
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_AT_ONCE: Final = 1 << 30
"""Bytes of one call of the system. Linux gives at most 2 GiB."""

Stamp = tuple[int, int, int, int]


class SpecialFileError(OSError):
    """The path names no regular file."""


class FileChangedError(OSError):
    """A file changed while it was read, so nothing can be said about it."""


class RegularFile:
    """An open file. Threads may read at the same time."""

    def __init__(self, path: Path) -> None:
        """Raises SpecialFileError for what is no regular file, and OSError for a file that cannot be opened."""
        self.name = str(path)
        """The path, as it was given."""
        self._path = path.absolute()
        refuse_special(path, path.stat())
        self._handle = os.open(path, _FLAGS)
        try:
            found = os.fstat(self._handle)
            refuse_special(path, found)
            self.size = found.st_size
            """Bytes."""
            self._stamp = _stamp(found)
            self._lock = threading.Lock()
            if not self.size and os.read(self._handle, 1):
                raise SpecialFileError(errno.EINVAL, "has bytes but no size: expected a regular file", self.name)
        except BaseException:
            self.close()
            raise

    def read(self, offset: int, length: int) -> bytes:
        """``length`` bytes at ``offset``. Raises FileChangedError if the file ends before, OSError if a read fails."""
        parts: list[bytes] = []
        while length:
            part = self._read(offset, min(length, _AT_ONCE))
            if not part:
                raise self._changed(f"it ends at {offset:#x}, and had {self.size:#x} bytes")
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read(self, offset: int, length: int) -> bytes:
        handle = self._handle
        if handle < 0:
            raise ValueError(f"{self.name}: the file is closed")
        try:
            if hasattr(os, "pread"):
                return os.pread(handle, length, offset)
            with self._lock:
                os.lseek(handle, offset, os.SEEK_SET)
                return os.read(handle, length)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.name) from error

    def extents(self) -> list[tuple[int, int]] | None:
        """Where the file has data, as sorted ``[start, end)``; None if the system cannot say."""
        return data_extents(self._handle, self.size)

    def assure_unchanged(self) -> None:
        """Raise FileChangedError if the path now names another file, or if this one was written.

        A file that was removed still has the bytes that it had.
        """
        try:
            now = _stamp(self._path.stat())
        except FileNotFoundError:
            if self._handle < 0:
                return
            now = _stamp(os.fstat(self._handle))
        except OSError as error:
            raise self._changed(error.strerror or str(error)) from error
        if now[:2] != self._stamp[:2]:
            raise self._changed("another file took its place")
        if now != self._stamp:
            raise self._changed(f"it has {now[2]:#x} bytes, and had {self.size:#x}" if now[2] != self.size else "")

    def _changed(self, how: str) -> FileChangedError:
        text = "changed while it was read" + (f": {how}" if how else "")
        return FileChangedError(errno.EBUSY, text, self.name)

    def close(self) -> None:
        """Close the file. Twice is allowed."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self.close()


def read_regular(path: Path) -> bytes:
    """All bytes of a file, as they were at one time. Raises SpecialFileError, FileChangedError and other OSErrors."""
    file = RegularFile(path)
    try:
        data = file.read(0, file.size)
        file.assure_unchanged()
    finally:
        file.close()
    return data


def head_of(path: Path, size: int) -> bytes:
    """The first bytes of a file, at most ``size``. Raises SpecialFileError and other OSErrors."""
    file = RegularFile(path)
    try:
        return file.read(0, min(size, file.size))
    finally:
        file.close()


def refuse_special(path: Path, found: os.stat_result) -> None:
    """Raise SpecialFileError unless ``found``, the state of ``path``, is that of a regular file."""
    mode = found.st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder: expected a file", str(path))
    what = next((name for has, name in _KINDS if has(mode)), None)
    # An empty place on the disk is cheap to ask for, and all files of these file systems have it.
    if what is None and getattr(found, "st_blocks", 1) == 0 and found.st_dev in _pseudo_devices():
        what = "a file of the kernel"
    if what is None and not stat.S_ISREG(mode):
        what = "not a regular file"
    if what is not None:
        raise SpecialFileError(errno.EINVAL, f"is {what}: expected a regular file", str(path))


@cache
def _pseudo_devices() -> frozenset[int]:
    """The numbers of the file systems in ``_PSEUDO`` that are mounted."""
    return frozenset(Path(place).stat().st_dev for place in _PSEUDO if os.path.ismount(place))


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
