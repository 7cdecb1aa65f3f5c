"""Reads a JSON file of a truth directory, within the ceilings of docs/truth-format.md#ceilings."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from ..memory.regular_file import RegularFile
from ..memory.source import ByteSource
from .members import TruthError, fail, shown

MEMORY: Final = "memory.bin"
MOST_BYTES: Final = 1 << 29
MOST_TOKENS: Final = {"{": (1 << 22, "objects"), "[": (1 << 22, "arrays"), ",": (1 << 24, "commas")}
MOST_MEMORY: Final = 1 << 40
"""Bytes of memory.bin."""


def load_json(path: Path) -> Any:
    """The value of a JSON file, whose name is the place in errors. Raises TruthError."""
    return parse_bytes(file_bytes(path), path.name)


def parse_bytes(data: bytes, name: str) -> Any:
    """The value of a JSON document in UTF-8. Raises TruthError."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        fail(name, "UTF-8", f"byte {data[error.start]:#04x} at {error.start}")
    return parse_json(text, name)


def parse_json(text: str, name: str) -> Any:
    """The value of a JSON document. Raises TruthError for what is no JSON, and for what JSON leaves open."""
    if len(text) > min(most for most, _ in MOST_TOKENS.values()):
        for token, (most, what) in MOST_TOKENS.items():
            if (count := text.count(token)) > most:
                fail(name, f"at most {most} {what}", str(count))

    def constant(word: str) -> None:
        fail(name, "JSON", f"{word}, which is no JSON")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) < len(pairs):
            seen: set[str] = set()
            again = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            fail(name, "each member of an object once", f"{shown(again)} again")
        return members

    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=constant)
    except TruthError:
        raise
    except json.JSONDecodeError as error:
        fail(name, "JSON", f"at line {error.lineno}, column {error.colno}: {error.msg}")
    except RecursionError:
        fail(name, "at most 8 levels of nesting", "hundreds")
    except ValueError:  # int() refuses numbers of thousands of digits
        fail(name, "numbers of at most 64 bits", "one of thousands of digits")


def open_memory(path: Path) -> ByteSource:
    """The bytes of memory.bin. Raises TruthError unless it is a regular file within the ceiling."""
    try:
        source = ByteSource.open(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    if source.size > MOST_MEMORY:
        source.close()
        fail(path.name, f"at most {MOST_MEMORY} bytes", str(source.size))
    return source


def check_size(memory: ByteSource, expected: int) -> None:
    """Raises TruthError unless memory.bin has as many bytes as truth.json lists."""
    if memory.size != expected:
        fail(MEMORY, f"{expected:#x} bytes, the sum of the runs in truth.json", f"{memory.size:#x}")


def file_bytes(path: Path) -> bytes:
    """The bytes of a JSON file. Raises TruthError unless it is a regular file within the ceiling."""
    try:
        file = RegularFile(path)
        try:
            if file.size > MOST_BYTES:
                fail(path.name, f"at most {MOST_BYTES} bytes", str(file.size))
            data = file.read(0, file.size)
            file.assure_unchanged()
        finally:
            file.close()
    except TruthError:
        raise
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValueError as error:  # a NUL in the path
        raise TruthError(f"{shown(path.name)}: cannot be read: {error}") from error
    return data


def _unreadable(path: Path, error: OSError) -> TruthError:
    return TruthError(f"{path.name}: cannot be read: {error.strerror or error}")


@contextmanager
def without_collector() -> Iterator[None]:
    """Load a truth without searches for cycles. It has none, and the searches take a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
