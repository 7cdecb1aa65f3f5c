"""Writes and reads runs of memory in a file with holes, if the file system supports them."""

from __future__ import annotations

import errno
import os
from typing import BinaryIO

from ..snapshot.process import PAGE_SIZE
from ..snapshot.sparse import SparseBytes

_HOLE = bytes(1 << 16)
"""A stretch of so many zeros becomes a hole."""
_DENSE = 1 << 30
"""A longer run is loaded as SparseBytes."""


def write_run(file: BinaryIO, data: bytes | memoryview | SparseBytes) -> None:
    """Write the bytes at the file's position and move the position to their end. The file then ends there or later."""
    pieces = data.pieces(0, len(data)) if isinstance(data, SparseBytes) else (memoryview(data),)
    for piece in pieces:
        if isinstance(piece, int):
            file.seek(piece - 1, os.SEEK_CUR)
            file.write(b"\0")
        else:
            _write_sparse(file, piece)


def _write_sparse(file: BinaryIO, data: memoryview) -> None:
    """Write the bytes, long stretches of zeros as holes."""
    start = at = 0
    while at < len(data):
        end = at + len(_HOLE)
        if end < len(data) and data[at:end] == _HOLE:  # the last bytes are always written, since they set the length
            file.write(data[start:at])
            file.seek(len(_HOLE), os.SEEK_CUR)
            start = end
        at = end
    file.write(data[start:])


def read_dense(file: BinaryIO, offset: int, size: int) -> bytes:
    """Return ``size`` bytes at ``offset``. Raises OSError if the file became shorter."""
    if file.tell() != offset:
        file.seek(offset)
    data = file.read(size)
    while len(data) < size:  # a call of the system reads 2 GiB at most
        part = file.read(size - len(data))
        if not part:
            raise OSError(errno.EBUSY, "changed while it was read", file.name)
        data += part
    return data


def read_run(file: BinaryIO, offset: int, size: int) -> bytes | SparseBytes:
    """Return ``size`` bytes at ``offset``, as SparseBytes for a long run. Both are multiples of a page."""
    if size <= _DENSE:
        return read_dense(file, offset, size)
    stretches = []
    at, end = offset, offset + size
    while at < end:
        at = _data_from(file, at)
        block = read_dense(file, at, min(len(_HOLE), end - at)) if at < end else b""
        if not _HOLE.startswith(block):
            stretches.append((at - offset, block))
        at += len(block) or end
    return SparseBytes(size, stretches)


def _data_from(file: BinaryIO, at: int) -> int:
    """Return the offset of the next page with data from ``at`` on; 1 << 63 if there is none."""
    if not hasattr(os, "SEEK_DATA"):
        return at
    try:
        return max(file.seek(at, os.SEEK_DATA) // PAGE_SIZE * PAGE_SIZE, at)
    except OSError as error:
        if error.errno == errno.ENXIO:  # lseek(2): no more data
            return 1 << 63
        raise
