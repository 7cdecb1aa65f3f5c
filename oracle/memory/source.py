"""Bounded random access to the bytes of a dump: every read stays inside the file, whatever the file claims."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from .intervals import inside
from .regular_file import RegularFile

WHOLE: Final = 16 << 20
"""Bytes. A file up to this size is read at once, a larger one in pieces when they are asked for."""
_BLOCK: Final = 1 << 15
_BLOCKS: Final = 512
"""Blocks of a large file that are kept, and their bytes."""


class ByteSource:
    """Bytes in memory, or those of a file.

    A read beyond the end returns fewer bytes; the caller compares lengths. Nothing here raises on content. A file that
    changes meanwhile is a FileChangedError, which is an OSError: nothing can be said about such a file.
    """

    def __init__(self, data: bytes | bytearray | memoryview, name: str = "") -> None:
        self._view = memoryview(data).cast("B")
        self.name = name
        self.size = len(self._view)
        self._data: list[tuple[int, int]] | None = None
        self._file: RegularFile | None = None
        self.kept: dict[Hashable, object] = {}
        """What readers made of these bytes at some cost, and need again. Dropped with the source."""

    @classmethod
    def open(cls, path: Path) -> ByteSource:
        """Open a regular file. Raises OSError if it cannot be opened: missing, no file, no permission."""
        file = RegularFile(path)
        try:
            extents = file.extents()
            if file.size > WHOLE:
                source: ByteSource = _LargeFile(file)
            else:
                source = cls(file.read(0, file.size))
                file.assure_unchanged()
                file.close()
        except BaseException:
            file.close()
            raise
        source.name, source._data, source._file = path.name, extents, file
        return source

    def read(self, offset: int, length: int) -> bytes:
        """At most ``length`` bytes at ``offset``; fewer, or none, if the file ends first."""
        return self.view(offset, length).tobytes()

    def view(self, offset: int, length: int) -> memoryview:
        """Like ``read``. Bytes in memory are not copied."""
        return self._view[offset : offset + length] if offset >= 0 < length else self._view[:0]

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
        """Close the file. Records and views of it stay."""
        self.kept.clear()
        self._view.release()
        if self._file is not None:
            self._file.close()

    def assure_unchanged(self) -> None:
        """Raise FileChangedError if the file was changed or replaced since it was opened."""
        if self._file is not None:
            self._file.assure_unchanged()

    def __enter__(self) -> ByteSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is None:
            self.assure_unchanged()


class _LargeFile(ByteSource):
    """A file that is read in pieces. Blocks that were read last are kept, for the many small reads of tables."""

    def __init__(self, file: RegularFile) -> None:
        super().__init__(b"")
        self.size = file.size
        self._pieces = file
        self._blocks: dict[int, bytes] = {}
        self._kept: deque[int] = deque()

    def read(self, offset: int, length: int) -> bytes:
        """As in ``ByteSource``."""
        if offset < 0 or length <= 0 or offset >= self.size:
            return b""
        length = min(length, self.size - offset)
        if length >= _BLOCK:
            return self._pieces.read(offset, length)
        index, start = divmod(offset, _BLOCK)
        data = self._block(index)[start : start + length]
        return data if len(data) == length else data + self._block(index + 1)[: length - len(data)]

    def view(self, offset: int, length: int) -> memoryview:
        """As in ``ByteSource``. A copy, so that a record does not keep its block."""
        return memoryview(self.read(offset, length))

    def _block(self, index: int) -> bytes:
        block = self._blocks.get(index)
        if block is None:
            at = index * _BLOCK
            block = self._pieces.read(at, min(_BLOCK, self.size - at))
            # Single steps that no thread can interrupt: two threads may at worst read a block twice.
            self._blocks[index] = block
            self._kept.append(index)
            if len(self._kept) > _BLOCKS:
                self._blocks.pop(self._kept.popleft(), None)
        return block
