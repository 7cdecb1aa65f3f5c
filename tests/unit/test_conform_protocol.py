"""Answers of a command: valid ones are parsed, and anything else is a protocol error."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from dumptruth.oracle.conform import ProtocolError
from dumptruth.oracle.conform.catalog import Fact, catalog
from dumptruth.oracle.conform.expected import Expected, Memory
from dumptruth.oracle.conform.facts import compare
from dumptruth.oracle.conform.protocol import (
    only_line,
    reader_answer,
    reader_request,
    request_line,
    writer_answer,
    writer_request,
)
from hypothesis import given
from hypothesis import strategies as st

CASE = "user/small/x"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def _said(call: Callable[[], object]) -> str:
    """The protocol error of an answer; empty for a valid answer."""
    try:
        call()
    except ProtocolError as error:
        return str(error)
    return ""


def _line(**members: Any) -> bytes:
    return json.dumps(members).encode()


def test_requests_are_one_line_of_ascii_that_says_protocol_version_role_and_case() -> None:
    for line, role in (
        (request_line(writer_request(CASE, Path("truth"), {"comment": "\u00e9\n"}, Path("out.dmp"))), "writer"),
        (request_line(reader_request(CASE, Path("x.dmp"))), "reader"),
    ):
        assert line.isascii()
        assert b"\n" not in line
        message = json.loads(line)
        assert (message["protocol"], message["version"], message["role"]) == ("dumptruth-conform", 1, role)
        assert message["case"] == CASE


def test_answers_of_a_writer_are_parsed() -> None:
    assert writer_answer(_line(case=CASE, result="written"), CASE).result == "written"
    refused = writer_answer(_line(case=CASE, result="refused", hresult="0x80070057", reason="no"), CASE)
    assert (refused.result, refused.hresult, refused.reason) == ("refused", 0x80070057, "no")


def test_answers_of_a_reader_are_parsed() -> None:
    assert reader_answer(_line(case=CASE, result="rejected", reason="a\x1b[2Jb"), CASE).reason == r"a\x1b[2Jb"
    assert reader_answer(_line(case=CASE, result="read", facts={}), CASE).facts == {}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"written", "expected JSON"),
        (b'{"case": "user/small/x", "result": NaN}', "expected JSON"),
        (b"[" * 100_000, "expected JSON"),
        (b"\xff\xfe", "expected UTF-8"),
        (b"[]", "expected an object"),
        (_line(result="written"), "the case of the request"),
        (_line(case="another", result="written"), "the case of the request"),
        (_line(case=CASE), "written or refused or skipped"),
        (_line(case=CASE, result=["written"]), "written or refused or skipped"),
        (_line(case=CASE, result="read", facts={}), "written or refused or skipped"),
        (_line(case=CASE, result="written", reason=1), "expected text"),
        (_line(case=CASE, result="written", facts=[]), "expected an object"),
        (_line(case=CASE, result="written", hresult=5), "expected a string such as"),
        (_line(case=CASE, result="written", hresult="0x1ffffffff"), "expected a string such as"),
        (_line(case=CASE, result="written", hresult="0xzz"), "expected a string such as"),
        (_line(case=CASE, result="written", verdict="fine"), "answered member 'verdict'"),
    ],
)
def test_an_invalid_answer_is_named_in_one_line(line: bytes, expected: str) -> None:
    with pytest.raises(ProtocolError) as raised:
        writer_answer(line, CASE)
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_reader_that_has_read_reports_facts() -> None:
    with pytest.raises(ProtocolError, match="without member facts"):
        reader_answer(_line(case=CASE, result="read"), CASE)


@pytest.mark.parametrize("output", [b"", b"\r\n\n", b"   \n"])
def test_empty_output_is_not_an_answer(output: bytes) -> None:
    with pytest.raises(ProtocolError, match="no answer"):
        only_line(output)


def test_one_line_is_one_answer_and_not_two() -> None:
    assert only_line(b"{}\n") == b"{}"
    assert only_line(b"\r\n{}\r\n\n") == b"{}\r"
    with pytest.raises(ProtocolError, match="a second line"):
        only_line(b"{}\n{}\n")


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_the_protocol_error(line: bytes) -> None:
    for answer in (writer_answer, reader_answer):
        with pytest.raises(ProtocolError):
            answer(line, CASE)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "case": st.just(CASE) | JSON,
            "result": st.sampled_from(["written", "refused", "skipped", "read", "rejected"]) | JSON,
            "hresult": st.just("0x80004005") | JSON,
            "reason": JSON,
            "facts": JSON,
            "more": JSON,
        },
    )
)
def test_arbitrary_json_raises_only_the_protocol_error(message: dict[str, Any]) -> None:
    for answer in (writer_answer, reader_answer):
        assert _said(partial(answer, json.dumps(message).encode(), CASE)).isprintable()


DATA = bytes(range(256)) * 32
MEMORY = Memory([(0x1000, 0x3000)], lambda start, size: DATA[start - 0x1000 : start - 0x1000 + size])
VALUES = {
    "number": 1, "signed": -1, "text": "a", "guid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "digest": "0" * 8,
    "numbers": (1, 2), "registers": {"rax": 1}, "object": {"command_line": "a.exe -x", "Rip": 0x1000},
}  # fmt: skip


def _due(fact: Fact) -> Any:
    """A value of every member of a fact."""
    if fact.name == "memory":
        return MEMORY
    item = {member.name: VALUES[member.kind] for member in fact.members}
    return {"value": item.get(""), "record": item, "list": [item]}[fact.shape]


DUMP = Expected({name: _due(fact) for name, fact in catalog().items()})
FACT = st.fixed_dictionaries({}, optional=dict.fromkeys(catalog(), JSON))


@given(FACT | st.dictionaries(st.text(max_size=5), JSON, max_size=2))
def test_arbitrary_facts_raise_only_the_protocol_error(facts: dict[str, Any]) -> None:
    assert "\n" not in _said(partial(compare, DUMP, facts))


ODD = st.integers(-1, 1 << 513) | st.sampled_from(["0x10", "12", "x", "0x", "-1", "1_0"]) | JSON


def _items(fact: Fact) -> st.SearchStrategy[Any]:
    item = st.fixed_dictionaries({}, optional={member.name: ODD for member in fact.members})
    return st.lists(item, max_size=3) if fact.shape == "list" else item | st.none()


@given(st.data())
def test_arbitrary_items_raise_only_the_protocol_error(data: st.DataObject) -> None:
    fact = data.draw(st.sampled_from([fact for fact in catalog().values() if fact.shape != "value"]))
    assert "\n" not in _said(partial(compare, DUMP, {fact.name: data.draw(_items(fact))}))
