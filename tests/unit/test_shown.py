"""Untrusted text becomes one line of visible characters, and printing goes through one place."""

from __future__ import annotations

import ast
import unicodedata
from pathlib import Path
from xml.etree import ElementTree

import dumptruth.fixtures.app
import pytest
from dumptruth.oracle.shown import shown
from hypothesis import given
from hypothesis import strategies as st

APP = Path(str(dumptruth.fixtures.app.__file__)).parent
PRINTERS = {"screen.py", "rendering.py", "terminal.py"}
"""The modules that print: lines and documents, tables, maps."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C:\\Windows\\[red]ntdll.dll :smile:", "C:\\Windows\\[red]ntdll.dll :smile:"),
        ("Zoë 漢字 ελ", "Zoë 漢字 ελ"),
        ("\x1b[2J\x07\x00\t", r"\x1b[2J\x07\x00\t"),
        ("\x7f\x9b31m\x85", r"\x7f\x9b31m\x85"),
        ("a\r\nx.dmp: CONFORMANT\n", r"a\r\nx.dmp: CONFORMANT\n"),
        ("\u2028\u2029", r"\u2028\u2029"),
        ("\u202egnp.exe\u2066\u200f\u061c", r"\u202egnp.exe\u2066\u200f\u061c"),
        ("\ud800\udcff", r"\ud800\udcff"),
        ("\u200b\u00ad\ufeff\U000e0041", r"\u200b\xad\ufeff\U000e0041"),
        ("\u3164\u2800\u115f\ufe0f\u00a0\u3000", r"\u3164\u2800\u115f\ufe0f\xa0\u3000"),
        ("\ue000\U0010ffff\ufffe", r"\ue000\U0010ffff\ufffe"),
    ],
)
def test_what_controls_hides_or_breaks_a_line_is_escaped(text: str, expected: str) -> None:
    assert shown(text) == expected


@given(st.text(st.characters()))
def test_any_text_is_one_visible_line_that_xml_can_hold(text: str) -> None:
    made = shown(text)
    assert len(made.splitlines()) <= 1
    assert not {unicodedata.category(char) for char in made} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert shown(made) == made
    holder = ElementTree.Element("a", {"b": made})
    assert ElementTree.fromstring(ElementTree.tostring(holder, "us-ascii")).get("b") == made


def test_only_the_printing_modules_of_the_application_write_on_a_stream() -> None:
    found = []
    for path in sorted(APP.rglob("*.py")):
        if path.name in PRINTERS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called in ("print", "typer.echo", "typer.secho", "click.echo", "sys.stdout.write", "sys.stderr.write"):
                found.append(f"{path.relative_to(APP).as_posix()}:{node.lineno}: {called}")
    assert found == []
