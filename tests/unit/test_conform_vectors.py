"""Cases from a folder of vectors: every vector with a file becomes a case, and an invalid manifest is an error."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from dumptruth.emu.constants import Qualifier
from dumptruth.emu.request import Request
from dumptruth.emu.synthetic.process import synthetic_process
from dumptruth.emu.truth import store
from dumptruth.oracle.conform import (
    Command,
    Duty,
    Kind,
    Limits,
    Options,
    VectorsError,
    Verdict,
    load_reader_cases,
    load_writer_cases,
    run_reader,
    run_writer,
)
from dumptruth.oracle.conform.protocol import Answer
from dumptruth.oracle.conform.reader import judge_facts
from dumptruth.oracle.vectors import VectorsError as UnusableVectors
from dumptruth.oracle.vectors import load_vectors, packaged

NONE = {"file": None, "truth": None, "rule": None, "note": "", "reason": None, "hresult": None}


def _vector(name: str, kind: str, *, beside: bool = False, **members: object) -> dict[str, Any]:
    judged = {"truth": beside, "strict": False, "replay": False}
    return {**NONE, "name": name, "kind": kind, "judged": judged, **members}


def _manifest(folder: Path, vectors: object, **members: object) -> None:
    document = {"format": "dumptruth-vectors", "version": 1, "vectors": vectors, **members}
    (folder / "manifest.json").write_text(json.dumps(document), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    request = Request(Qualifier.DEBUG_DUMP_FULL)
    store.save(synthetic_process(), tmp_path / "truth" / "process", request=request, file="crash.dmp")
    asked = json.loads((tmp_path / "truth" / "process" / "request.json").read_text(encoding="utf-8"))
    (tmp_path / "a.dmp").write_bytes(b"no dump")
    truth = {"truth": "truth/process", "request": asked}
    _manifest(
        tmp_path,
        [
            _vector("broken", "invalid", file="a.dmp", rule="MDMP-HEADER-001", note="why"),
            _vector("beside-truth", "invalid", beside=True, file="a.dmp", rule="TRUE-FLAGS-001", **truth),
            _vector("large", "valid", file="large.dmp", **truth),
            _vector("nowhere", "valid"),
            _vector("refused", "refused", hresult="0x80070057", **truth),
        ],
    )
    return tmp_path


def test_every_vector_whose_file_exists_becomes_a_case(folder: Path) -> None:
    read = load_reader_cases(folder)
    assert [(case.name, case.kind, case.rule, case.must) for case in read] == [
        ("broken", Kind.INVALID, "MDMP-HEADER-001", Duty.MUST_REJECT),
        ("beside-truth", Kind.INVALID, "TRUE-FLAGS-001", Duty.MAY_REJECT),
    ]
    written = load_writer_cases(folder)
    assert [(case.name, case.hresult) for case in written] == [("large", None), ("refused", 0x80070057)]
    target = written[0].make()
    assert target.request.qualifier_value == Qualifier.DEBUG_DUMP_FULL
    assert target.truth.source == ""


def test_a_fault_that_only_the_truth_shows_need_not_be_rejected_even_when_strict(folder: Path) -> None:
    command = Command((sys.executable, "-I", "-S", "-c", "pass"), Limits(30, 0))
    summary = run_reader(command, load_reader_cases(folder), Options(plain=True, strict=True))
    assert [(result.verdict, result.ok) for result in summary.results] == [
        (Verdict.ACCEPTS, False),
        (Verdict.ACCEPTS, True),
    ]


@pytest.mark.parametrize("kind", [Kind.VALID, Kind.ACCEPTABLE, Kind.INVALID])
@pytest.mark.parametrize("reader", [*Duty, None])
def test_the_manifest_says_what_a_reader_must_do(tmp_path: Path, kind: Kind, reader: Duty | None) -> None:
    (tmp_path / "a.dmp").write_bytes(b"no dump")
    _manifest(tmp_path, [_vector("a", kind, file="a.dmp", reader=reader)])
    (case,) = load_reader_cases(tmp_path)
    assert case.must is (reader or kind.duty)


CASES = {case.name: case for case in load_reader_cases(packaged())}
SOUND, ODD = "user/flags/amd64/all-lists", "user/acceptable/checksum"
HIDDEN, PART = "invalid/mdmp-layout-002/hole-between-two-streams", "hostile/user/handles-2-32"
BROKEN = "hostile/user/cut-in-a-stream"
RIGHT = {"architecture": "amd64"}
WRONG = {"architecture": "x86"}


@pytest.mark.parametrize(
    ("name", "duty", "facts", "strict", "verdict", "ok"),
    [
        (SOUND, Duty.MUST_READ, RIGHT, True, Verdict.AGREES, True),
        (SOUND, Duty.MUST_READ, WRONG, False, Verdict.MISREADS, False),
        (SOUND, Duty.MUST_READ, None, False, Verdict.REFUSES, False),
        (ODD, Duty.MAY_REJECT, RIGHT, True, Verdict.AGREES, True),
        (ODD, Duty.MAY_REJECT, WRONG, False, Verdict.MISREADS, False),
        (ODD, Duty.MAY_REJECT, None, True, Verdict.REFUSES, True),
        (HIDDEN, Duty.MAY_REJECT, RIGHT, True, Verdict.AGREES, True),
        (HIDDEN, Duty.MAY_REJECT, WRONG, False, Verdict.MISREADS, False),
        (HIDDEN, Duty.MAY_REJECT, None, True, Verdict.REFUSES, True),
        (PART, Duty.MAY_REJECT, RIGHT, True, Verdict.ACCEPTS, True),
        (PART, Duty.MAY_REJECT, WRONG, True, Verdict.ACCEPTS, True),
        (BROKEN, Duty.MUST_REJECT, RIGHT, False, Verdict.ACCEPTS, True),
        (BROKEN, Duty.MUST_REJECT, RIGHT, True, Verdict.ACCEPTS, False),
        (BROKEN, Duty.MUST_REJECT, None, True, Verdict.REFUSES, True),
    ],
)  # fmt: skip
def test_the_verdict_follows_what_a_reader_must_do(
    name: str, duty: Duty, facts: dict[str, str] | None, *, strict: bool, verdict: Verdict, ok: bool
) -> None:
    case = CASES[name]
    assert case.must is duty
    answer = Answer("rejected") if facts is None else Answer("read", facts=facts)
    result = judge_facts(case, case.make(), answer, strict=strict)
    assert (result.verdict, result.ok) == (verdict, ok)


@pytest.mark.parametrize(("hresult", "verdict"), [("0x80070057", Verdict.AGREES), ("0x80004001", Verdict.FAILS)])
def test_a_refusal_must_have_the_expected_hresult(folder: Path, hresult: str, verdict: Verdict) -> None:
    code = (
        "import json; case = json.loads(input())['case']; "
        f"print(json.dumps({{'case': case, 'result': 'refused', 'hresult': '{hresult}'}}))"
    )
    command = Command((sys.executable, "-I", "-S", "-c", code), Limits(30, 0))
    (result,) = run_writer(command, load_writer_cases(folder)[1:]).results
    assert result.verdict is verdict


@pytest.mark.parametrize(
    ("vectors", "told"),
    [
        ({}, "vectors: expected a list"),
        ([1], "vectors[0]: expected an object"),
        ([_vector("a", "odd")], "vectors[0]: expected a name, and a kind"),
        ([_vector("", "valid")], "vectors[0]: expected a name"),
        ([_vector("a", "valid", file=1)], "vectors[0].file: expected text or null"),
        ([_vector("a", "valid", file="../../x.dmp")], "expected a path inside the folder"),
        ([_vector("a", "valid", file="a\0b")], "expected a path inside the folder"),
        ([_vector("a", "valid", file="/x.dmp")], "expected a path inside the folder"),
        ([_vector("a", "refused", file="a.dmp")], "vectors[0].file: expected null: a refused request has no file"),
        ([_vector("a", "refused", hresult="x")], "vectors[0].hresult: expected 8 hexadecimal digits"),
        (
            [_vector("a", "valid", reader="may")],
            "vectors[0].reader: expected must-read, may-reject, must-reject or null",
        ),
        ([{**_vector("a", "valid"), "judged": {}}], "vectors[0].judged: expected the booleans truth and replay"),
    ],
)
def test_an_invalid_manifest_is_named_in_one_line(tmp_path: Path, vectors: object, told: str) -> None:
    _manifest(tmp_path, vectors)
    with pytest.raises(VectorsError) as raised:
        load_reader_cases(tmp_path)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("members", [{"format": "another"}, {"version": 2}])
def test_another_format_or_version_is_refused(tmp_path: Path, members: dict[str, object]) -> None:
    _manifest(tmp_path, [], **members)
    with pytest.raises(VectorsError, match="format dumptruth-vectors, version 1"):
        load_reader_cases(tmp_path)


def test_a_folder_without_a_manifest_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(VectorsError, match="expected a folder of vectors"):
        load_writer_cases(tmp_path)


@pytest.mark.parametrize(
    "content", [b"[" * 200_000, b"9" * 5000, b'{"a": NaN}', b"\xff\xfe{}", b"{}", b"null", b'{"a": 1, "a": 2}']
)
def test_both_loaders_refuse_a_hostile_manifest_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    for load, error in ((load_reader_cases, VectorsError), (load_vectors, UnusableVectors)):
        with pytest.raises(error, match=r"manifest\.json") as raised:
            load(tmp_path)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("file", ["../a.dmp", "x/../../a.dmp", "/etc/hosts", "C:\\a.dmp", "..\\a.dmp"])
def test_a_path_out_of_the_folder_is_refused(tmp_path: Path, file: str) -> None:
    entry = {**_vector("a", "valid", file=file), "target": None}
    _manifest(tmp_path, [entry], targets={})
    with pytest.raises(UnusableVectors, match="expected a path inside the folder"):
        load_vectors(tmp_path)


def test_an_invalid_request_is_named_with_its_vector(folder: Path) -> None:
    _manifest(folder, [_vector("a", "valid", truth="truth/process", request={})])
    with pytest.raises(VectorsError, match=r"^a: request\.json"):
        load_writer_cases(folder)[0].make()
