"""A place for bytes that come one piece after another: memory while they are few, a temporary file beyond."""

from __future__ import annotations

import mmap
import tempfile
from io import BytesIO
from typing import IO, Final

MAX_IN_MEMORY: Final = 32 << 20
"""Bytes."""


class Spool:
    """Written once, from start to end; then ``view`` is all of it."""

    def __init__(self, in_memory: int = MAX_IN_MEMORY) -> None:
        self._in_memory = in_memory
        self._file: IO[bytes] = BytesIO()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Raises OSError when the temporary file cannot be made or written."""
        if self.size <= self._in_memory < self.size + len(data):
            first, self._file = self._file, tempfile.TemporaryFile()  # noqa: SIM115 - ``view`` closes it
            first.seek(0)
            self._file.write(first.read())
        self._file.write(data)
        self.size += len(data)

    def view(self) -> memoryview:
        """What was written. A temporary file is gone when the last view of it is."""
        if isinstance(self._file, BytesIO):
            return memoryview(self._file.getvalue())
        with self._file:
            self._file.flush()
            return memoryview(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ))
