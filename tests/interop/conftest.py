"""How the tests here ask a reader: out of process, and skipped where the reader is not installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from dumptruth.fixtures.adapters.facts import Facts, ReaderFailedError, ReaderMissingError
from dumptruth.fixtures.adapters.run import MEMORY, SECONDS, read_with

Answer = Facts | ReaderFailedError


@pytest.fixture(scope="session")
def ask() -> Callable[..., Answer]:
    """What a reader says of a dump, or the error with which it failed on it."""

    def asked(reader: str, path: Path, *, seconds: float = SECONDS, memory: int = MEMORY) -> Answer:
        try:
            return read_with(reader, path, seconds=seconds, memory=memory)
        except ReaderMissingError as error:
            pytest.skip(str(error))
        except ReaderFailedError as error:
            return error

    return asked
