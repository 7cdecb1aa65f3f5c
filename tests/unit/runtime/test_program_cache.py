"""Compiled programs are kept by the content of all that they are made from."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumptruth.emu.images.program_cache import kept
from dumptruth.fixtures.documents import runtime

pytest.importorskip("ziglang")


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr("dumptruth.emu.images.program_cache._folder", lambda: tmp_path / "cache")
    return []


def ask(folder: Path, made: list[str], text: str, ingredient: bytes = b"") -> bytes:
    """What the cache or the compiler puts out for a source text."""
    source, out = folder / "a.c", folder / "out"
    source.write_text(text, encoding="utf-8")

    def make() -> None:
        made.append(text)
        out.mkdir(exist_ok=True)
        (out / "a.exe").write_text(f"{len(made)}", encoding="utf-8")

    kept(source, [ingredient], ("a.exe",), out, make)
    return (out / "a.exe").read_bytes()


def test_the_same_source_is_compiled_once(tmp_path: Path, made: list[str]) -> None:
    assert [ask(tmp_path, made, text) for text in ("x", "x", "y", "x")] == [b"1", b"1", b"2", b"1"]
    assert ask(tmp_path, made, "x", b"other options") == b"3"


def test_a_changed_header_counts(tmp_path: Path, made: list[str]) -> None:
    text = '#include <stdio.h>\n#include "a.h"\n'
    found = []
    for header in ("1", "2", "1"):
        (tmp_path / "a.h").write_text(header, encoding="utf-8")
        found.append(ask(tmp_path, made, text))
    assert found == [b"1", b"2", b"1"]


@pytest.mark.parametrize("text", ['#include "../x.h"\n', "#include NAME\n", '#embed "x"\n', "__DATE__"])
def test_a_source_that_depends_on_more_is_compiled_each_time(tmp_path: Path, made: list[str], text: str) -> None:
    assert [ask(tmp_path, made, text), ask(tmp_path, made, text)] == [b"1", b"2"]


def test_the_document_of_exports_is_current() -> None:
    assert runtime.DOCUMENT.read_text(encoding="utf-8") == runtime.document()
