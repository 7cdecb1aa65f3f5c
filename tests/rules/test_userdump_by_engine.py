"""Full user dumps as engine 15063 writes them, and the contracts under which one may exist."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from dumptruth.fixtures.mutants.hand_pristine import HandPristine, pristine
from dumptruth.fixtures.mutants.registry import BaseDump
from dumptruth.fixtures.mutants.userdump import with_texts
from dumptruth.oracle import ByteSource, Verdict, check, read_userdump

TEXTS = ("CRASH: OS SP", "none", "CRASH: Hotfixes", "none")


def made() -> HandPristine:
    return pristine(BaseDump.USERDUMP)


def failing(data: bytes, **request: Any) -> set[str]:
    """The failing rules of a target without unreadable pages, which make the engine refuse."""
    asked = replace(made().asked, **request)
    truth = replace(made().truth, unreadable=())
    report = check(ByteSource(data), truth, asked, select=["TRUE-UDMP-REQUEST-001", "*-VERSION-*"])
    return {item.rule for item in report.results if item.verdict is Verdict.FAIL}


def test_the_texts_of_the_version_information_are_read_and_sound() -> None:
    data = with_texts(made(), *TEXTS)
    assert read_userdump(ByteSource(data)).version_texts == TEXTS
    report = check(ByteSource(data), strict=False)
    assert [item.rule for item in report.failing()] == []
    assert report.unclaimed == 0


def test_the_engine_writes_texts_and_no_record() -> None:
    engine = {"contract": "e15063", "format_flags_value": 0, "comment": None}
    assert failing(made().data, **engine) == {"TRUE-UDMP-VERSION-001"}
    assert failing(made().data) == set()
    assert failing(with_texts(made(), *TEXTS), **engine) == set()


@pytest.mark.parametrize(
    ("request_", "refused"),
    [
        ({"contract": "e15063", "format_flags_value": 0}, False),
        ({"contract": "e15063", "format_flags_value": 0, "profile": "modern"}, False),
        ({"contract": "e15063", "format_flags_value": 0, "session": "dump"}, True),
        ({"contract": "e15063", "format_flags_value": 0, "comment": ""}, True),
        ({"contract": "e15063", "format_flags_value": 1}, True),
        ({"contract": "e29507", "format_flags_value": 0}, True),
        ({"profile": "modern"}, True),
    ],
)
def test_a_contract_says_whether_the_format_may_be_written(request_: dict[str, object], refused: bool) -> None:
    assert ("TRUE-UDMP-REQUEST-001" in failing(with_texts(made(), *TEXTS), **request_)) is refused


def test_the_context_flags_of_the_engine_have_the_bit_of_extended_state() -> None:
    record = made().patched(("context 0", 0x30, (0x10005F).to_bytes(4, "little")))
    report = check(ByteSource(record), made().truth, made().asked, select=["TRUE-UDMP-CONTEXT-001"])
    assert [item.verdict for item in report.results] == [Verdict.PASS]


def test_a_text_without_end_is_no_version_information() -> None:
    dump = read_userdump(ByteSource(with_texts(made(), "CRASH: OS SP")[:-4]))
    assert dump.version_texts is None
    assert dump.defects_of("userdump.version_info") == 1
