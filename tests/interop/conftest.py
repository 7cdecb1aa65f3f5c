"""How the tests here ask a reader: out of process, and skipped where the reader is not installed.

A hostile dump has a process of its own, with ``ask``; sound ones are read by one process of each reader, ``ask_one``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from dumptruth.fixtures.adapters.facts import Facts, ReaderFailedError, ReaderMissingError
from dumptruth.fixtures.adapters.run import MEMORY, SECONDS, read_with
from dumptruth.fixtures.adapters.session import ReaderSession

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


@pytest.fixture(scope="session")
def ask_one() -> Iterator[Callable[[str, Path], Answer]]:
    """The same of a sound dump, by the one process of that reader that answers for all of them."""
    sessions: dict[str, ReaderSession] = {}
    with ExitStack() as ends:

        def asked(reader: str, path: Path) -> Answer:
            if reader not in sessions:
                sessions[reader] = ends.enter_context(ReaderSession(reader))
            try:
                return sessions[reader].read(path)
            except ReaderMissingError as error:
                pytest.skip(str(error))
            except ReaderFailedError as error:
                return error

        yield asked
