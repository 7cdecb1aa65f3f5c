"""``check``, ``read`` and ``identify`` take all forms of arguments of docs/api.md, and name a wrong one in one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from dumptruth.oracle import (
    ByteSource,
    InputError,
    Outcome,
    Report,
    SelectionError,
    TruthError,
    check,
    identify,
    load_any_truth,
    load_request_file,
    read,
)
from dumptruth.oracle.demands import PROFILES, request_of

from .public_goldens import (
    CABINET,
    KERNEL,
    MACHINE,
    PROCESS,
    USER,
    path_of,
)


def judged(**arguments: Any) -> Report:
    """The report on the golden of a process, against its truth and request unless ``arguments`` say otherwise."""
    given: dict[str, Any] = {"dump": PROCESS.read(), "truth": PROCESS.truth_folder}
    if "qualifier" not in arguments:
        given["request"] = PROCESS.entry["request"]
    return check(**(given | arguments))


def test_every_form_of_a_dump_gives_the_same_report() -> None:
    path, data = PROCESS.path, PROCESS.read()
    spread = memoryview(bytes(byte for value in data for byte in (value, 0)))
    forms: list[Any] = [
        str(path), data, bytearray(data), memoryview(data), memoryview(b"?" + data)[1:], spread[::2], ByteSource(data)
    ]  # fmt: skip
    expected = check(path)  # type: ignore[arg-type]
    assert expected.outcome is Outcome.CONFORMANT
    for form in forms:
        assert replace(check(form), file=expected.file) == expected
        assert identify(form) == identify(data)
        with read(form) as dump, read(data) as other:
            assert (dump.threads, dump.modules) == (other.threads, other.modules)


def test_every_form_of_truth_and_request_gives_the_same_report(tmp_path: Path) -> None:
    assert PROCESS.truth_folder is not None
    copytree(PROCESS.truth_folder, tmp_path / "truth")
    document = PROCESS.entry["request"]
    file = tmp_path / "truth" / "request.json"
    expected = judged()
    assert expected.own
    assert expected.outcome is Outcome.CONFORMANT
    file.write_text(json.dumps(document))
    truths = [str(tmp_path / "truth"), tmp_path / "truth", load_any_truth(tmp_path / "truth")]
    for truth in truths:
        for request in (document, str(file), file, load_request_file(file)):
            assert judged(truth=truth, request=request) == expected
    assert check(PROCESS.read(), tmp_path / "truth") == expected
    value = document["format_flags_value"]
    for flags in (value, [value], document["format_flags"], iter(document["format_flags"])):
        assert judged(qualifier="small", flags=flags).outcome is Outcome.CONFORMANT


@pytest.mark.parametrize("qualifier", [1024, "small", "SMALL", " Small ", "DEBUG_DUMP_SMALL", "debug-dump-small"])
def test_a_qualifier_has_several_spellings(qualifier: str | int) -> None:
    asked = request_of(None, qualifier=qualifier)
    assert asked is not None
    assert (asked.qualifier, asked.qualifier_value) == ("DEBUG_DUMP_SMALL", 1024)


@pytest.mark.parametrize(
    "flags",
    [
        0x2, "handle-data", "HANDLE_DATA", ["handle-data"], ("DEBUG_FORMAT_USER_SMALL_HANDLE_DATA",), {"Handle-Data"},
        [0x2], ["handle-data", 0x2], (name for name in ["user-small-handle-data"]),
    ],
)  # fmt: skip
def test_flags_are_a_number_a_name_or_several(flags: Any) -> None:
    asked = request_of(None, qualifier=1024, flags=flags)
    assert asked is not None
    assert asked.format_flags_value == 2
    assert asked.format_flags == ("DEBUG_FORMAT_USER_SMALL_HANDLE_DATA",)


@pytest.mark.parametrize("flags", [0, (), [], iter(())])
def test_no_flags_need_no_qualifier(flags: Any) -> None:
    assert check(PROCESS.read(), flags=flags).outcome is Outcome.CONFORMANT


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"qualifier": "tiny"}, InputError, "unknown qualifier 'tiny': expected a number or one of DEBUG_DUMP_SMALL, "),
        ({"qualifier": ""}, InputError, "unknown qualifier '': expected "),
        ({"qualifier": -1}, InputError, "qualifier -1: expected a number of 32 bits"),
        ({"qualifier": 1 << 32}, InputError, "qualifier 4294967296: expected a number of 32 bits"),
        ({"qualifier": "small", "flags": ["handles"]}, InputError, "unknown format flag 'handles': expected "),
        ({"qualifier": "small", "flags": [1, -1]}, InputError, "format flag -1: expected a number of 32 bits"),
        ({"flags": 2, "request": None}, InputError, "flags are given without a qualifier: pass qualifier='small'"),
        ({"qualifier": 1024, "request": {}}, InputError, "both a request and a qualifier are given"),
        ({"profile": "bogus"}, InputError, "unknown profile 'bogus': expected one of modern, legacy, refuse, "),
        ({"profile": ""}, InputError, "unknown profile '': expected one of "),
        ({"truth": None}, SelectionError, "expected both a truth and the request"),
        ({"request": None}, SelectionError, "expected both a truth and the request"),
        ({"select": ["NOTHING-*"]}, SelectionError, "no rule matches 'NOTHING-*'"),
        ({"skip": "NOTHING"}, SelectionError, "no rule matches 'NOTHING'"),
        ({"truth": "no-such-folder"}, TruthError, "no-such-folder: truth.json: cannot be read: "),
        ({"request": "no-such-folder/r.json"}, TruthError, "no-such-folder: r.json: cannot be read: "),
        ({"request": {}}, TruthError, "request.json.format: expected 'dumptruth-request', found none"),
        ({"dump": None}, TypeError, "dump: expected a path, bytes or a ByteSource, found NoneType"),
        ({"truth": b"held"}, TypeError, "truth: expected a directory or a loaded truth, found bytes"),
        ({"request": 1024}, TypeError, "request: expected a request.json, its JSON object or a loaded request, "),
        ({"qualifier": 1024.0}, TypeError, "qualifier: expected a name or a number, found float"),
        ({"qualifier": 1024, "flags": [None]}, TypeError, "format flag: expected a name or a number, found NoneType"),
    ],
)  # fmt: skip
def test_an_argument_that_cannot_be_used_is_named_in_one_line(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as caught:
        judged(**arguments)
    assert str(caught.value).startswith(text)
    assert "\n" not in str(caught.value)


def test_the_profile_replaces_that_of_the_request() -> None:
    request, truth, data = KERNEL.request(), KERNEL.truth_folder, KERNEL.read()
    assert request is not None
    outcomes = {}
    for profile in (None, *PROFILES):
        report = check(data, truth, request, profile=profile)
        assert report.profile == (profile or "header")
        outcomes[profile] = report.outcome
    assert outcomes[None] is outcomes["header"] is Outcome.CONFORMANT
    assert outcomes["bitmap"] is Outcome.NON_CONFORMANT


@pytest.mark.parametrize(
    ("name", "profile"),
    [(USER, "modern"), (CABINET, "modern"), (MACHINE, "portable"), ("cab/kernel-small", "portable")],
)
def test_without_a_request_the_profile_is_the_default_of_the_mode(name: str, profile: str) -> None:
    assert check(path_of(name)).profile == profile


def test_a_truth_of_the_other_mode_is_answered_with_the_reason() -> None:
    report = judged(truth=KERNEL.truth_folder)
    assert (report.outcome, report.reason) == (
        Outcome.NOT_A_DUMP, "a user-mode minidump; the truth describes a whole machine"
    )  # fmt: skip


def test_a_pattern_may_stand_alone() -> None:
    rules = {result.rule for result in judged(select="MDMP-*").results}
    assert rules == {result.rule for result in judged(select=["MDMP-*"]).results}
    assert rules == {result.rule for result in judged(select=iter(["MDMP-*"])).results}
    assert len(judged(select=iter(())).results) == len(judged().results)
    assert rules.isdisjoint(result.rule for result in judged(skip="MDMP-*").results)
