"""Bounded random access to the bytes of a dump: every read stays inside the file, whatever the file claims."""

from __future__ import annotations

import errno
import importlib
import mmap
import os
from collections.abc import Hashable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from .allocated_ranges import allocated_ranges, device_io_control
from .intervals import inside

_MAX_EXTENTS = 65_536


def _system_handle(descriptor: int) -> int:
    return int(importlib.import_module("msvcrt").get_osfhandle(descriptor))


def _data_extents(handle: int, size: int) -> list[tuple[int, int]] | None:
    """Where an open file has data, as sorted ``[start, end)``; None if the system cannot say.

    A file with more than ``_MAX_EXTENTS`` extents counts as data after the last one.
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
        # ENXIO means that no data follows ``at``.
        return found if error.errno == errno.ENXIO else None
    if at < size:
        found.append((at, size))
    return found


class ByteSource:
    """The bytes of a mapped file, or bytes in memory.

    A read beyond the end returns fewer bytes; the caller compares lengths. Nothing here raises on content.
    """

    def __init__(self, data: bytes | bytearray | memoryview | mmap.mmap, name: str = "") -> None:
        self._map = data if isinstance(data, mmap.mmap) else None
        self._view = memoryview(data).cast("B")
        self.name = name
        self.size = len(self._view)
        self._data: list[tuple[int, int]] | None = None
        self.kept: dict[Hashable, object] = {}
        """What readers made of these bytes at some cost, and need again. Dropped with the source."""

    @classmethod
    def open(cls, path: Path) -> ByteSource:
        """Map ``path`` for reading. Raises OSError if it cannot be opened: missing, a folder, no permission."""
        with path.open("rb") as file:
            file.seek(0, 2)
            if file.tell() == 0:
                return cls(b"", path.name)
            source = cls(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), path.name)
            source._data = _data_extents(file.fileno(), source.size)
            return source

    def read(self, offset: int, length: int) -> bytes:
        """At most ``length`` bytes at ``offset``; fewer, or none, if the file ends first."""
        return bytes(self.view(offset, length))

    def view(self, offset: int, length: int) -> memoryview:
        """Like ``read``, without a copy."""
        if offset < 0 or length <= 0 or offset >= self.size:
            return self._view[0:0]
        return self._view[offset : min(offset + length, self.size)]

    def data(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The parts of ``[start, end)`` that are not holes of a sparse file, ascending. Holes read as zeros.

        Yields the whole range if the file system does not report holes.
        """
        start, end = max(start, 0), min(end, self.size)
        if self._data is None:
            if start < end:
                yield start, end
            return
        yield from inside(self._data, start, end)

    def close(self) -> None:
        """Unmap the file, as soon as the last record or view of it is gone."""
        self.kept.clear()
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
