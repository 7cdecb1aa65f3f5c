"""Opens the dumps that callers pass to ``check``, ``read`` and ``identify``: paths, bytes or open sources."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from .memory.source import ByteSource
from .readers.identify import Identity
from .readers.identify import identify as identify_source

PathLike = str | os.PathLike[str]
DumpInput = PathLike | bytes | bytearray | memoryview | ByteSource
"""A path, the bytes of the file, or an open source."""


class InputError(ValueError):
    """An argument cannot be used; the message is one line."""


def open_source(dump: DumpInput) -> ByteSource:
    """The bytes of ``dump``. Raises OSError for a path that cannot be opened."""
    if isinstance(dump, ByteSource):
        return dump
    if isinstance(dump, memoryview) and not dump.c_contiguous:
        dump = dump.tobytes()
    if isinstance(dump, bytes | bytearray | memoryview):
        return ByteSource(dump, "the bytes")
    if not isinstance(dump, str | os.PathLike):
        raise wrong_type("dump", "a path, bytes or a ByteSource", dump)
    path = dump if isinstance(dump, Path) else Path(dump)
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "the path contains a NUL", str(path))
    try:
        return ByteSource.open(path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def identify(dump: DumpInput) -> Identity:
    """What a file is, by its first bytes: its kind, a description, and a few facts. Raises OSError."""
    source = open_source(dump)
    try:
        return identify_source(source)
    finally:
        if source is not dump:
            source.close()


def wrong_type(what: str, expected: str, found: object) -> TypeError:
    """The error for an argument of a type that no caller may pass."""
    return TypeError(f"{what}: expected {expected}, found {type(found).__name__}")
