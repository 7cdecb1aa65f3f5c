"""Stores bytes that arrive in pieces: in memory while they are few, in a temporary file beyond."""

from __future__ import annotations

import mmap
import tempfile
from io import BytesIO
from typing import IO, Final

MAX_IN_MEMORY: Final = 32 << 20
"""Bytes that are kept in memory."""


class Spool:
    """Append with ``write``, then call ``view`` once for all bytes."""

    def __init__(self, in_memory: int = MAX_IN_MEMORY) -> None:
        self._in_memory = in_memory
        self._file: IO[bytes] = BytesIO()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append ``data``. Raises OSError if the temporary file cannot be created or written."""
        if self.size <= self._in_memory < self.size + len(data):
            first, self._file = self._file, tempfile.TemporaryFile()  # noqa: SIM115 - ``view`` closes it
            first.seek(0)
            self._file.write(first.read())
        self._file.write(data)
        self.size += len(data)

    def view(self) -> memoryview:
        """All bytes that were written. The temporary file is deleted with the last view of it."""
        if isinstance(self._file, BytesIO):
            return memoryview(self._file.getvalue())
        with self._file:
            self._file.flush()
            return memoryview(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ))
