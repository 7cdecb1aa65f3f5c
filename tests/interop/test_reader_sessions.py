"""One process of a reader reads many dumps and gives the same answers as one process for each dump."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from dumptruth.emu.constants import Qualifier
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.synthetic.process import synthetic_process
from dumptruth.fixtures.adapters.facts import ReaderDiedError, ReaderFailedError, ReaderMissingError
from dumptruth.fixtures.adapters.run import read_with
from dumptruth.fixtures.adapters.session import ReaderSession

pytest.importorskip("minidump", reason="minidump is not installed (the extra `interop` has it)")


@pytest.fixture
def session() -> Iterator[ReaderSession]:
    with ReaderSession("minidump") as session:
        yield session


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "sound.dmp"
    assert DebugClient(synthetic_process()).WriteDumpFile(str(path), Qualifier.DEBUG_DUMP_SMALL) == 0
    return path


def test_a_session_gives_the_same_answers_as_one_process_a_dump(
    session: ReaderSession, sound: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.dmp"
    text.write_bytes(b"no dump\n" * 9)
    said = read_with("minidump", sound)
    with pytest.raises(ReaderFailedError) as alone:
        read_with("minidump", text)
    assert session.read(sound) == said
    with pytest.raises(ReaderFailedError) as together:
        session.read(text)
    assert str(together.value) == str(alone.value)
    assert session.read(sound) == said


def test_a_process_without_an_answer_is_replaced(session: ReaderSession, sound: Path) -> None:
    said = session.read(sound)
    with pytest.raises(ReaderDiedError, match=r"^minidump: no answer for sound\.dmp$"):
        session.read(sound, seconds=0)
    assert session.read(sound) == said


def test_a_missing_reader_is_reported_as_missing(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "minidump.py").write_text("raise ImportError('taken away')\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    with ReaderSession("minidump") as session, pytest.raises(ReaderMissingError, match="minidump is not installed"):
        session.read(sound)
