"""Fixtures that run a reader in another process and skip the test where the reader is not installed.

``ask`` starts a process for each dump, for hostile dumps. ``ask_one`` keeps one process a reader, for sound dumps.
``engine`` is the harness of the vendor's debugger engine (docs/witness.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from dumptruth.fixtures.adapters.engine.process import Harness
from dumptruth.fixtures.adapters.facts import Facts, ReaderFailedError, ReaderMissingError
from dumptruth.fixtures.adapters.run import MEMORY, SECONDS, read_with
from dumptruth.fixtures.adapters.session import ReaderSession

Answer = Facts | ReaderFailedError


@pytest.fixture(scope="session")
def ask() -> Callable[..., Answer]:
    """The facts that a reader reports of a dump, or its error."""

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
    """The same for a sound dump, from one process of the reader that serves all dumps."""
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


@pytest.fixture(scope="module")
def engine() -> Iterator[Harness]:
    try:
        harness = Harness()
        assert re.fullmatch(r"\d+(\.\d+){3}", harness.version)
    except ReaderMissingError as error:
        pytest.skip(f"the debugger engine cannot run: {error}")
    with harness:
        yield harness
