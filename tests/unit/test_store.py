"""The truth format: loading returns the saved snapshot, and an invalid document is refused with the member's name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dumptruth.emu.constants import DEBUG_DUMP_DEFAULT, DEBUG_DUMP_SMALL
from dumptruth.emu.request import Contract, Request, Session, UserStream
from dumptruth.emu.snapshot.process import (
    FunctionEntry,
    FunctionTable,
    HandleOperation,
    LuidAndAttributes,
    ProcessSnapshot,
    SidAndAttributes,
    Token,
    X86CpuInformation,
    XstateConfiguration,
    XstateFeature,
)
from dumptruth.emu.synthetic.process import Pages, synthetic_process, synthetic_system
from dumptruth.emu.truth.store import TruthError, load, load_named, load_request, request_document, save, save_request
from dumptruth.oracle import load_truth
from dumptruth.oracle.truth.load import TruthError as OracleTruthError
from dumptruth.oracle.truth.load import load_request as oracle_request

CRASHED = synthetic_process(extra=[Pages(0x300_0000_0000, 0x1000, unreadable=True)])
SID = bytes.fromhex("010100000000000512000000")
XSTATE = XstateConfiguration(7, (XstateFeature(0, 160), XstateFeature(160, 256), XstateFeature(576, 256)))
LATER = synthetic_process(
    function_tables=[FunctionTable(0x1000, 0x2000, 0, bytes(range(136)), (FunctionEntry(0x1000, 0x1010, 0x1800),))],
    handle_operations=[HandleOperation(4, 0x1234, 0x1238, 1, 7, (0x7FF600001000, 0x7FF600001100))],
    tokens=[
        Token(0x1234, 0x60, 1, SidAndAttributes(SID, 0), (SidAndAttributes(SID, 7),), (LuidAndAttributes(19, 2),),
              bytes(56)),
    ],
    system=synthetic_system(xstate=XSTATE),
)  # fmt: skip
X86 = synthetic_process(
    "x86", system=synthetic_system("x86", x86_cpu=X86CpuInformation("GenuineIntel", 0x506E3, 0xBFEBFBFF, 0))
)
CONTEXTS: list[dict[str, Any]] = [{"xstate": ()}, {"xstate": ((2, bytes(range(256))),)}]
SNAPSHOTS = {
    "crashed": CRASHED,
    "stopped": synthetic_process(exception=False),
    "empty": synthetic_process(threads=0, modules=0, unloaded=0, handles=0, exception=False),
    "bare modules": synthetic_process(version_info=False, code_view=False),
    "later members": LATER,
    "x86": X86,
    "arm64": synthetic_process("arm64"),
    **{
        f"context {index}": replace(
            LATER,
            threads=tuple(replace(thread, context=replace(thread.context, **parts)) for thread in LATER.threads),
        )
        for index, parts in enumerate(CONTEXTS)
    },
    "odd names": synthetic_process(module_names=["C:\\a\u00e9\U0001f600\ud800.exe"], thread_names=["", "\u4e2d\0x"]),
}


@pytest.mark.parametrize("snapshot", SNAPSHOTS.values(), ids=SNAPSHOTS.keys())
def test_a_loaded_snapshot_equals_the_saved_one(snapshot: ProcessSnapshot, tmp_path: Path) -> None:
    save(snapshot, tmp_path / "deep" / "truth", source="hand-made")
    assert load(tmp_path / "deep" / "truth") == snapshot
    assert load_named(tmp_path / "deep" / "truth") == ("hand-made", snapshot)


def test_the_same_snapshot_saves_to_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save(CRASHED, tmp_path / name)
    for file in ("truth.json", "memory.bin"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_the_document_has_the_form_that_the_format_describes(tmp_path: Path) -> None:
    save(CRASHED, tmp_path / "t", source="null-read")
    document = json.loads((tmp_path / "t" / "truth.json").read_text(encoding="utf-8"))
    assert document["format"] == "dumptruth-truth"
    assert (document["version"], document["mode"], document["source"]) == (1, "user", "null-read")
    assert document["process"]["peb"] == "0x1100000000"
    assert document["threads"][0]["context"]["registers"]["SegCs"] == "0x33"
    assert document["modules"][0]["code_view"].startswith("52534453")
    assert document["exception"]["code"] == 3221225477
    assert document["exception"]["information"] == ["0x0", "0x10"]
    assert document["unreadable"] == [{"start": "0x30000000000", "size": "0x1000"}]
    assert document["memory"][0] == {"start": "0x7ffe0000", "size": "0x1000", "offset": "0x0"}


def test_saving_over_an_old_truth_removes_it(tmp_path: Path) -> None:
    save(CRASHED, tmp_path / "t", request=Request(DEBUG_DUMP_SMALL))
    save(SNAPSHOTS["stopped"], tmp_path / "t")
    assert load(tmp_path / "t") == SNAPSHOTS["stopped"]
    assert load_request(tmp_path / "t") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t"]
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == ["memory.bin", "truth.json"]


@pytest.mark.parametrize("bases", [[], [CRASHED.modules[0].base]])
def test_the_list_of_image_files_is_saved_with_the_snapshot(tmp_path: Path, bases: list[int]) -> None:
    save(CRASHED, tmp_path / "t", image_files=bases)
    assert load(tmp_path / "t") == CRASHED
    assert load_truth(tmp_path / "t").image_files == tuple(bases)
    save(CRASHED, tmp_path / "t")
    assert load_truth(tmp_path / "t").image_files is None


def test_image_files_that_are_no_addresses_are_refused(tmp_path: Path) -> None:
    save(CRASHED, tmp_path / "t", image_files=[])
    file = tmp_path / "t" / "truth.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(document | {"image_files": [4096]}), encoding="utf-8")
    with pytest.raises(TruthError, match=r"image_files\[0\]|image_files.0"):
        load(tmp_path / "t")


def test_a_save_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("in the way", encoding="utf-8")
    with pytest.raises(TruthError, match="cannot save the truth"):
        save(CRASHED, tmp_path / "t")
    assert [path.name for path in tmp_path.iterdir()] == ["t"]
    assert (tmp_path / "t").read_text(encoding="utf-8") == "in the way"


REQUESTS = [
    Request(DEBUG_DUMP_SMALL),
    Request(DEBUG_DUMP_DEFAULT, 0x80000000, "caf\u00e9", "refuse"),
    Request(DEBUG_DUMP_SMALL, 0x30000C07),
    Request(77, 0x00200000),
    Request(DEBUG_DUMP_SMALL, user_streams=(UserStream(0x10000, b"\0\xff"), UserStream(0xFFFFFFFF, b""))),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=str)
def test_a_loaded_request_equals_the_saved_one(request_: Request, tmp_path: Path) -> None:
    save_request(request_, tmp_path, file="x.dmp")
    assert load_request(tmp_path) == request_


def test_a_request_names_its_flags_and_the_number_with_two_names_by_context(tmp_path: Path) -> None:
    def names(flags: int) -> Any:
        save_request(Request(DEBUG_DUMP_SMALL, flags), tmp_path)
        return json.loads((tmp_path / "request.json").read_text(encoding="utf-8"))["format_flags"]

    assert names(0x1) == ["DEBUG_FORMAT_USER_SMALL_FULL_MEMORY"]
    assert names(0x10000000) == ["DEBUG_FORMAT_USER_SMALL_SCAN_PARTIAL_PAGES"]
    assert names(0x30000000) == ["DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES", "DEBUG_FORMAT_WRITE_CAB"]
    assert names(0x00200000) == ["0x00200000"]


def test_an_ansi_comment_is_kept_as_its_text(tmp_path: Path) -> None:
    save_request(Request(DEBUG_DUMP_SMALL, comment=b"caf\xe9 \x80\x81"), tmp_path)
    assert load_request(tmp_path) == Request(DEBUG_DUMP_SMALL, comment="caf\u00e9 \u20ac\x81")


def test_absent_members_are_left_out_but_for_an_empty_list_of_function_tables(tmp_path: Path) -> None:
    save(CRASHED, tmp_path / "t", request=Request(DEBUG_DUMP_SMALL))
    document = json.loads((tmp_path / "t" / "truth.json").read_text(encoding="utf-8"))
    assert document["function_tables"] == []
    assert {"handle_operations", "tokens"}.isdisjoint(document)
    assert set(document["threads"][0]["context"]) == {"context_flags", "registers", "fxsave"}
    assert "user_streams" not in json.loads((tmp_path / "t" / "request.json").read_text(encoding="utf-8"))


def test_a_truth_from_before_the_later_members_loads(tmp_path: Path) -> None:
    def forget(document: Any) -> None:
        del document["function_tables"]

    assert load(edit(tmp_path, forget)) == CRASHED


def test_the_new_members_have_the_form_that_the_format_describes(tmp_path: Path) -> None:
    save(LATER, tmp_path / "t", request=REQUESTS[-1])
    document = json.loads((tmp_path / "t" / "truth.json").read_text(encoding="utf-8"))
    assert document["function_tables"][0]["native"].startswith("000102")
    assert document["function_tables"][0]["entries"] == [
        {"begin_address": 4096, "end_address": 4112, "unwind_data": 6144}
    ]
    assert document["handle_operations"] == [
        {"handle": "0x4", "process_id": 4660, "thread_id": 4664, "operation_type": 1, "index": 7,
         "return_addresses": ["0x7ff600001000", "0x7ff600001100"]}
    ]  # fmt: skip
    assert document["tokens"][0]["privileges"] == [{"luid": "0x13", "attributes": 2}]
    assert document["system"]["xstate"]["enabled_features"] == "0x7"
    request = json.loads((tmp_path / "t" / "request.json").read_text(encoding="utf-8"))
    assert request["user_streams"] == [{"type": 65536, "data": "00ff"}, {"type": 4294967295, "data": ""}]


def edit(tmp_path: Path, change: Any) -> Path:
    directory = tmp_path / "t"
    save(CRASHED, directory)
    document = json.loads((directory / "truth.json").read_text(encoding="utf-8"))
    change(document)
    (directory / "truth.json").write_text(json.dumps(document), encoding="utf-8")
    return directory


BROKEN = [
    (lambda d: d.pop("time"), r"truth\.json: time: expected a value, found none"),
    (lambda d: d["threads"][1].pop("teb"), r"truth\.json: threads\[1\]\.teb: expected a value, found none"),
    (lambda d: d["threads"][1].update(colour=1), r"threads\[1\]\.colour: expected no such member, found 1"),
    (
        lambda d: d["system"].update(build_number="19045"),
        r'system\.build_number: expected an integer .*, found "19045"',
    ),
    (lambda d: d["process"].update(peb=5), r"process\.peb: expected up to 64 bits .*, found 5"),
    (
        lambda d: d["process"].update(peb="0xAB"),
        r"process\.peb: expected up to 64 bits as a lower-case",
    ),
    (lambda d: d["modules"][0].update(code_view="zz"), r"modules\[0\]\.code_view: expected bytes"),
    (
        lambda d: d["modules"][0].update(version_info=[1]),
        r"modules\[0\]\.version_info: expected 13 to 13 elements",
    ),
    (lambda d: d["exception"].update(first_chance=1), r"exception\.first_chance: expected true or false"),
    (lambda d: d["exception"]["context"]["registers"].update(Rax=1), r"exception\.context\.registers\.Rax: expected"),
    (lambda d: d.update(handles={}), r"handles: expected an array"),
    (lambda d: d.update(version=2), r"version: expected 1, found 2"),
    (lambda d: d.update(mode="kernel"), r'mode: expected "user", found "kernel"'),
    (lambda d: d["memory"][1].update(offset="0x0"), r"memory\[1\]\.offset: expected 0x1000"),
    (
        lambda d: d["memory"][1].update(start="0x7ffe1000"),
        r"memory\[1\]: expected runs of whole pages",
    ),
]


@pytest.mark.parametrize(("change", "message"), BROKEN)
def test_a_broken_document_is_refused_by_the_name_of_its_member(change: Any, message: str, tmp_path: Path) -> None:
    directory = edit(tmp_path, change)
    with pytest.raises(TruthError, match=message) as caught:
        load(directory)
    assert "\n" not in str(caught.value)
    assert "truth.json" in str(caught.value)


@pytest.mark.parametrize("length", [0, 5, -1, 1])
def test_memory_that_is_short_or_long_is_refused(length: int, tmp_path: Path) -> None:
    save(CRASHED, tmp_path)
    file = tmp_path / "memory.bin"
    content = file.read_bytes()
    file.write_bytes(content[:length] if length <= 0 or length == 5 else content + b"x")
    with pytest.raises(TruthError, match=r"memory\.bin: expected \d+ bytes, as truth\.json lists, found \d+"):
        load(tmp_path)


def test_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TruthError, match=r"truth\.json: cannot be read"):
        load(tmp_path)
    save(replace(CRASHED), tmp_path)
    (tmp_path / "memory.bin").unlink()
    with pytest.raises(TruthError, match=r"memory\.bin: cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 100_000])
def test_other_documents_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "truth.json").write_text(text, encoding="utf-8")
    with pytest.raises(TruthError, match=r"truth\.json: "):
        load(tmp_path)


@pytest.mark.parametrize("contract", Contract)
@pytest.mark.parametrize("session", Session)
def test_contract_and_session_of_a_request_return_from_request_json(
    tmp_path: Path, contract: Contract, session: Session
) -> None:
    request = Request(DEBUG_DUMP_SMALL, contract=contract, session=session)
    save_request(request, tmp_path)
    assert load_request(tmp_path) == request
    judged = oracle_request(tmp_path)
    assert judged is not None
    assert (judged.contract, judged.session) == (contract, session)


@pytest.mark.parametrize("member", ["contract", "session"])
def test_an_unknown_contract_or_session_is_refused_by_both_readers(tmp_path: Path, member: str) -> None:
    document = request_document(Request(DEBUG_DUMP_SMALL)) | {member: "other"}
    (tmp_path / "request.json").write_text(json.dumps(document))
    with pytest.raises(TruthError, match=f"{member}: expected one of"):
        load_request(tmp_path)
    with pytest.raises(OracleTruthError, match=f"{member}: expected one of"):
        oracle_request(tmp_path)
