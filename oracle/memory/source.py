"""Bounded random access to the bytes of a dump: every read stays inside the file, whatever the file claims."""

from __future__ import annotations

import errno
import importlib
import mmap
import os
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from .allocated_ranges import allocated_ranges, device_io_control

_MAX_EXTENTS = 65_536


def _system_handle(descriptor: int) -> int:
    return int(importlib.import_module("msvcrt").get_osfhandle(descriptor))


def _data_extents(handle: int, size: int) -> list[tuple[int, int]] | None:
    """Where an open file has data, as sorted ``[start, end)``; None where the system does not tell. Of too many holes
    the last ones count as data.
    """
    if not hasattr(os, "SEEK_DATA"):
        control = device_io_control()
        return None if control is None else allocated_ranges(control, _system_handle(handle), size, _MAX_EXTENTS)
    found: list[tuple[int, int]] = []
    at = 0
    try:
        while at < size and len(found) < _MAX_EXTENTS:
            start = os.lseek(handle, at, os.SEEK_DATA)
            at = os.lseek(handle, start, os.SEEK_HOLE)
            found.append((start, at))
    except OSError as error:
        # ENXIO: no data behind ``at``.
        return found if error.errno == errno.ENXIO else None
    if at < size:
        found.append((at, size))
    return found


class ByteSource:
    """The bytes of a file, or bytes in memory, behind one face.

    A read beyond the end returns what there is, so the caller compares lengths; nothing here raises on content.
    """

    def __init__(self, data: bytes | bytearray | memoryview | mmap.mmap, name: str = "") -> None:
        self._map = data if isinstance(data, mmap.mmap) else None
        self._view = memoryview(data).cast("B")
        self.name = name
        self.size = len(self._view)
        self._data: list[tuple[int, int]] | None = None

    @classmethod
    def open(cls, path: Path) -> ByteSource:
        """Map ``path``. Raises OSError when it cannot be opened (a folder, no permission, not there)."""
        with path.open("rb") as file:
            file.seek(0, 2)
            if file.tell() == 0:
                return cls(b"", path.name)
            source = cls(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), path.name)
            source._data = _data_extents(file.fileno(), source.size)
            return source

    def read(self, offset: int, length: int) -> bytes:
        """At most ``length`` bytes at ``offset``; fewer, or none, where the file ends first."""
        return bytes(self.view(offset, length))

    def view(self, offset: int, length: int) -> memoryview:
        """Like ``read``, without a copy."""
        if offset < 0 or length <= 0 or offset >= self.size:
            return self._view[0:0]
        return self._view[offset : min(offset + length, self.size)]

    def data(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The parts of ``[start, end)`` that are no holes of a sparse file, ascending; a hole reads as zeros. Where the
        file system does not tell, everything.
        """
        start, end = max(start, 0), min(end, self.size)
        if self._data is None:
            if start < end:
                yield start, end
            return
        index = max(bisect_right(self._data, (start, self.size)) - 1, 0)
        while index < len(self._data) and self._data[index][0] < end:
            low, high = max(self._data[index][0], start), min(self._data[index][1], end)
            if low < high:
                yield low, high
            index += 1

    def close(self) -> None:
        """Unmap the file. While records or views of it live, the mapping lives with the last of them."""
        self._view.release()
        if self._map is not None:
            with suppress(BufferError):
                self._map.close()

    def __enter__(self) -> ByteSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
