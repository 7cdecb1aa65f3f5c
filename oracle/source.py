"""Bounded random access to the bytes of a dump: every read stays inside the file, whatever the file claims."""

from __future__ import annotations

import mmap
from contextlib import suppress
from pathlib import Path
from types import TracebackType


class ByteSource:
    """The bytes of a file, or bytes in memory, behind one face.

    A read beyond the end returns what there is, so the caller compares lengths; nothing here raises on content.
    """

    def __init__(self, data: bytes | bytearray | memoryview | mmap.mmap, name: str = "") -> None:
        self._map = data if isinstance(data, mmap.mmap) else None
        self._view = memoryview(data).cast("B")
        self.name = name
        self.size = len(self._view)

    @classmethod
    def open(cls, path: Path) -> ByteSource:
        """Map ``path``. Raises OSError when it cannot be opened (a folder, no permission, not there)."""
        with path.open("rb") as file:
            file.seek(0, 2)
            if file.tell() == 0:
                return cls(b"", path.name)
            return cls(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), path.name)

    def read(self, offset: int, length: int) -> bytes:
        """At most ``length`` bytes at ``offset``; fewer, or none, where the file ends first."""
        return bytes(self.view(offset, length))

    def view(self, offset: int, length: int) -> memoryview:
        """Like ``read``, without a copy."""
        if offset < 0 or length <= 0 or offset >= self.size:
            return self._view[0:0]
        return self._view[offset : min(offset + length, self.size)]

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
