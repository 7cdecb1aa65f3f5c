"""Reads the JSON files of a truth directory, within the ceilings of docs/truth-format.md#ceilings."""

from __future__ import annotations

import gc
import json
import os
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .members import BadValue, TruthError, at_file, excerpt

LARGEST_DOCUMENT = 512 << 20
LARGEST_MEMORY = 1 << 40
"""Bytes of truth.json or request.json, and of memory.bin."""
MOST = (("{", "objects", 4 << 20), ("[", "arrays", 4 << 20), (",", "commas", 16 << 20))


def read_json(path: Path) -> Any:
    """Return the value of the JSON file. Raises TruthError."""
    return parse_json(path, read_content(path))


def parse_json(path: Path, content: bytes) -> Any:
    """Return the value of the JSON text, which ``path`` has. Raises TruthError."""
    with at_file(path):
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            raise BadValue("UTF-8", f"byte {content[error.start]:#04x} at {error.start}") from error
        if len(text) > min(most for _, _, most in MOST):
            for mark, name, most in MOST:
                if text.count(mark) > most:
                    raise BadValue(f"at most {most} {name}", str(text.count(mark)))
        try:
            return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number)
        except json.JSONDecodeError as error:
            raise BadValue("JSON", f"at line {error.lineno}, column {error.colno}: {error.msg}") from error
        except RecursionError as error:
            raise BadValue("at most 8 levels of nesting", "hundreds") from error
        except ValueError as error:  # Python limits the digits of a number
            raise BadValue("numbers of at most 64 bits", "one of thousands of digits") from error


def memory_size(path: Path) -> int:
    """Return the size of memory.bin. Raises TruthError unless it is a regular file within the ceiling."""
    with at_file(path):
        try:
            status = path.stat()
        except (OSError, ValueError) as error:
            raise _unreadable(path, error) from error
        _expect_regular(status)
        if status.st_size > LARGEST_MEMORY:
            raise BadValue(f"at most {LARGEST_MEMORY} bytes", str(status.st_size))
        return status.st_size


@contextmanager
def no_collection() -> Iterator[None]:
    """Load without garbage collections: a truth has no cycles, and each collection visits all that was loaded."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def read_content(path: Path) -> bytes:
    """Return the bytes of a JSON file. Raises TruthError unless it is a regular file within the ceiling."""
    with at_file(path):
        return _content(path)


def _content(path: Path) -> bytes:
    try:
        # O_NONBLOCK: to open a FIFO would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        try:
            status = os.fstat(descriptor)
            _expect_regular(status)
            if status.st_size > LARGEST_DOCUMENT:
                raise BadValue(f"at most {LARGEST_DOCUMENT} bytes", str(status.st_size))
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(status.st_size)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError | ValueError) -> TruthError:
    """ValueError: the path has a NUL."""
    return TruthError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}")


def _expect_regular(status: os.stat_result) -> None:
    names = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        raise BadValue("a regular file", names.get(kind, "another kind of file"))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise BadValue("each member of an object once", f"{excerpt(twice)} again")
    return members


def _no_number(word: str) -> None:
    raise BadValue("JSON", f"{word}, which is no JSON")
