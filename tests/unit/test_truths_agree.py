"""The loader of the oracle and that of the emulator accept the same truths, and refuse the others at the same place.

They share no code. docs/truth-format.md and the schemas are the specification between them.
"""

from __future__ import annotations

import copy
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dumptruth.emu.truth import files as emu_files
from dumptruth.oracle.truth import document as oracle_files
from dumptruth.oracle.truth.load import TruthError
from hypothesis import given
from hypothesis import strategies as st

from ..truth_corpus import STRANGE, holder, places, put, sound, verdicts, write

NAMES = ("amd64", "x86", "arm64", "machine")
ACCEPTED = ("accepted", "accepted")


def agreed(where: str) -> tuple[str, str]:
    return where, where


@pytest.mark.parametrize("name", NAMES)
def test_both_accept_a_sound_truth_and_its_request(name: str, tmp_path: Path) -> None:
    truth = sound()[name]
    write(tmp_path, truth.document, truth.memory, truth.request)
    assert verdicts(tmp_path) == ACCEPTED
    assert verdicts(tmp_path, request=True) == ACCEPTED


def strange_members(document: dict[str, Any], step: int, start: int = 0) -> list[dict[str, Any]]:
    """Every ``step``-th pair of a place and a strange value, and each place without its member."""
    every = list(places(document))
    made = []
    for number in range(start, len(every) * (len(STRANGE) + 1), step):
        place, kind = every[number // (len(STRANGE) + 1)], number % (len(STRANGE) + 1)
        changed = copy.deepcopy(document)
        if kind == len(STRANGE):
            del holder(changed, place)[place[-1]]
        else:
            put(changed, place, STRANGE[kind])
        made.append(changed)
    return made


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("step", [41, pytest.param(1, marks=pytest.mark.slow)])
def test_both_refuse_a_strange_member_at_the_same_place(name: str, step: int, tmp_path: Path) -> None:
    truth = sound()[name]
    write(tmp_path, memory=truth.memory)
    refused = set()
    for document in strange_members(truth.document, step):
        found = verdicts(write(tmp_path, document))
        assert found[0] == found[1]
        refused.add(found[0])
    assert len(refused) > 60


def test_both_refuse_a_strange_member_of_a_request_at_the_same_place(tmp_path: Path) -> None:
    refused = set()
    for request in strange_members(sound()["amd64"].request, 1):
        found = verdicts(write(tmp_path, request=request), request=True)
        assert found[0] == found[1]
        refused.add(found[0])
    assert len(refused) > 15


Change = Callable[[dict[str, Any]], object]


def _set(path: str, value: Any) -> Change:
    place = tuple(int(step) if step.isdigit() else step for step in path.split("/"))
    return lambda document: put(document, place, value)


def _swap(member: str, one: int, other: int) -> Change:
    def change(document: dict[str, Any]) -> None:
        rows = document[member]
        rows[one], rows[other] = rows[other], rows[one]

    return change


def _moved(member: str, row: int, key: str, by: int) -> Change:
    def change(document: dict[str, Any]) -> None:
        holding = document[member][row]
        holding[key] = hex(int(holding[key], 16) + by)

    return change


def _again(member: str, row: int = 0) -> Change:
    return lambda document: document[member].append(copy.deepcopy(document[member][row]))


XSTATE = "threads/0/context/xstate"
CONTRADICTIONS: list[tuple[str, Change, str]] = [
    ("amd64", _swap("regions", 1, 2), "truth.json regions[1].base"),
    ("amd64", _moved("regions", 1, "size", 0x1000), "truth.json regions[2].base"),
    ("amd64", lambda d: d["regions"].pop(), "truth.json regions"),
    ("amd64", _set("regions", []), "truth.json regions"),
    ("amd64", _set("regions/0/size", "0x0"), "truth.json regions[0].size"),
    ("amd64", _set("regions/0/protect", 4), "truth.json regions[0]"),
    ("amd64", _swap("memory", 1, 2), "truth.json memory[2]"),
    ("amd64", _again("memory"), "truth.json memory[12]"),
    ("amd64", lambda d: d["memory"].pop(), "truth.json memory"),
    ("amd64", lambda d: d["memory"].pop(0), "truth.json memory[0].offset"),
    ("amd64", _moved("memory", 1, "start", 1), "truth.json memory[1]"),
    ("amd64", _moved("memory", 1, "start", -0x1000), "truth.json memory[1]"),
    ("amd64", _moved("memory", 1, "size", -0x1000), "truth.json memory[1]"),
    ("amd64", _moved("memory", 1, "offset", 0x1000), "truth.json memory[1].offset"),
    ("amd64", _set("unreadable", [{"start": "0x0", "size": "0x1000"}]), "truth.json unreadable[0]"),
    ("amd64", _set("unreadable", [{"start": "0x0", "size": "0x0"}]), "truth.json unreadable[0]"),
    ("amd64", _again("threads"), "truth.json threads[4].thread_id"),
    ("amd64", _again("modules"), "truth.json modules[3].base"),
    ("amd64", _again("image_files"), "truth.json image_files[1]"),
    ("amd64", _set("image_files", ["0x1"]), "truth.json image_files[0]"),
    ("amd64", _swap("handles", 0, 1), "truth.json handles[1].value"),
    ("amd64", _again("handles", -1), "truth.json handles[5].value"),
    ("amd64", _set("exception/thread_id", 1), "truth.json exception.thread_id"),
    ("amd64", _set("threads", []), "truth.json exception.thread_id"),
    ("amd64", _set("threads/1/stack_limit", "0xfffffffffffff"), "truth.json threads[1].stack_limit"),
    ("amd64", _set(XSTATE, {"1": "00"}), "truth.json threads[0].context.xstate.1"),
    ("amd64", _set(XSTATE, {"02": "00" * 256}), "truth.json threads[0].context.xstate.02"),
    ("amd64", _set(XSTATE, {"2": "00"}), "truth.json threads[0].context.xstate.2"),
    ("amd64", _set(XSTATE, {"63": "00"}), "truth.json threads[0].context.xstate.63"),
    ("amd64", _set(XSTATE, {"\u0662": "00" * 256}), "truth.json threads[0].context.xstate['\\u0662']"),
    ("amd64", _set("system/xstate", None), "truth.json threads[0].context.xstate.2"),
    ("amd64", _set("system/xstate/enabled_features", "0x3"), "truth.json system.xstate.features"),
    ("amd64", _set("system/xstate/features/0/size", 0), "truth.json system.xstate.features[0]"),
    ("amd64", _set("system/xstate/features/2/offset", 64), "truth.json system.xstate.features[2].offset"),
    ("amd64", _set("system/architecture", "x86"), "truth.json threads[0].context.registers.Edi"),
    ("amd64", _set("function_tables/0/maximum_address", "0x0"), "truth.json function_tables[0].maximum_address"),
    ("amd64", _set("function_tables/1/native", "00"), "truth.json function_tables[1].native"),
    ("amd64", _set("tokens/0/user/sid", "0101"), "truth.json tokens[0].user.sid"),
    ("amd64", _set("threads/0/context/registers/Cr3", "0x0"), "truth.json threads[0].context.registers.Cr3"),
    ("amd64", _set("\x1b[31m\n", 1), "truth.json ['\\x1b[31m\\n']"),
    ("x86", _set("threads/0/context/registers/Eax", "0x100000000"), "truth.json threads[0].context.registers.Eax"),
    ("x86", _set("system/x86_cpu", None), "truth.json system.x86_cpu"),
    ("x86", _set("system/x86_cpu/vendor_id", "GenuineInte\u00e9"), "truth.json system.x86_cpu.vendor_id"),
    ("x86", _set("threads/0/context/float_save", None), "truth.json threads[0].context.float_save"),
    ("arm64", _set("exception/context/v", None), "truth.json exception.context.v"),
    ("arm64", _set("exception/context/fxsave", "00" * 512), "truth.json exception.context.fxsave"),
    ("machine", _set("processors", []), "truth.json crashing_processor"),
    ("machine", _set("crashing_processor", 2), "truth.json crashing_processor"),
    ("machine", _swap("processors", 0, 1), "truth.json processors[0].number"),
    ("machine", _set("processors/0/context/registers", {}), "truth.json processors[0].context.registers.SegCs"),
    ("machine", _set("physical_runs", []), "truth.json physical_runs"),
    ("machine", _again("physical_runs"), "truth.json physical_runs[3]"),
    ("machine", _set("physical_runs/0/page_count", "0xffffffffffffffff"), "truth.json physical_runs[0]"),
    ("machine", _swap("memory", 0, 1), "truth.json memory[1]"),
    ("machine", _moved("memory", 1, "offset", 1), "truth.json memory[1].offset"),
    ("machine", _moved("memory", -1, "page_count", 0x1000000), "truth.json memory[13]"),
    ("machine", _again("free_pages"), "truth.json free_pages[3]"),
    ("machine", _set("standby_pages", [{"base_page": "0x999999", "page_count": "0x1"}]), "truth.json standby_pages[0]"),
    ("machine", _again("added_pages"), "truth.json added_pages[1]"),
    ("machine", _set("directory_table_base", "0x1008"), "truth.json directory_table_base"),
    ("machine", _set("system_directory_table_base", "0xffff000"), "truth.json system_directory_table_base"),
    ("machine", _set("drivers", []), "truth.json image_files[0]"),
    ("machine", _set("mode", "user"), "truth.json process"),
    ("amd64", _set("stacks/0/thread_id", 1), "truth.json stacks[0].thread_id"),
    ("amd64", _again("stacks"), "truth.json stacks[1].thread_id"),
    ("amd64", _set("stacks/0/frames", []), "truth.json stacks[0].frames"),
    ("amd64", lambda d: d["stacks"][0]["frames"].pop(), "truth.json stacks[0].frames"),
    ("amd64", _set("stacks/0/frames/0/entered", "start"), "truth.json stacks[0].frames[0].entered"),
    ("amd64", _set("stacks/0/frames/2/entry", "0x1"), "truth.json stacks[0].frames[2].entry"),
    ("amd64", _set("stacks/0/frames/0/entry", None), "truth.json stacks[0].frames[0].entry"),
    ("amd64", _set("stacks/0/frames/1/module", None), "truth.json stacks[0].frames[1].module_offset"),
    ("amd64", _set("stacks/0/frames/0/function", None), "truth.json stacks[0].frames[0].function_offset"),
    ("machine", _set("stacks/0/processor", 2), "truth.json stacks[0].processor"),
    ("machine", _again("stacks"), "truth.json stacks[2].processor"),
    ("machine", _set("stacks/1/frames/1/entered", "start"), "truth.json stacks[1].frames[1].entered"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "change", "where"), CONTRADICTIONS, ids=[f"{row[0]} {row[2]}" for row in CONTRADICTIONS]
)
def test_both_refuse_parts_that_contradict_each_other(name: str, change: Change, where: str, tmp_path: Path) -> None:
    truth = sound()[name]
    document = truth.copy()
    change(document)
    assert verdicts(write(tmp_path, document, truth.memory)) == agreed(where)


def _without_threads(document: dict[str, Any]) -> None:
    document |= {"threads": [], "exception": None, "modules": [], "image_files": [], "unloaded_modules": []}
    document |= {"handles": [], "tokens": None, "function_tables": None, "handle_operations": None, "stacks": None}


HARMLESS: list[tuple[str, Change]] = [
    ("amd64", _without_threads),
    ("amd64", _set("modules/0/name", "..\\..\\\ud800\x00\x1b[31m")),
    ("amd64", _set("modules/0/name", "C:NUL")),
    ("amd64", _set("image_files", None)),
    ("amd64", lambda d: d.pop("image_files")),
    ("amd64", _set("unloaded_modules/0/base", "0xffffffffffffffff")),
    ("machine", _set("processors/0/special_registers", {})),
    ("machine", _set("processes", [])),
    ("machine", _set("exception", None)),
]


@pytest.mark.parametrize(("name", "change"), HARMLESS)
def test_both_accept_what_is_odd_but_allowed(name: str, change: Change, tmp_path: Path) -> None:
    truth = sound()[name]
    document = truth.copy()
    change(document)
    assert verdicts(write(tmp_path, document, truth.memory)) == ACCEPTED


def _text(old: str = "", new: str = "") -> Callable[[str], bytes]:
    return lambda text: text.replace(old, new, 1).encode()


VERSION = '"version": 1'
TEXTS: dict[str, tuple[Callable[[str], bytes], str]] = {
    "empty": (lambda _: b"", "truth.json"),
    "only zeros": (lambda _: bytes(1000), "truth.json"),
    "null": (lambda _: b"null", "truth.json"),
    "array": (lambda _: b"[]", "truth.json"),
    "string": (lambda _: b'"{}"', "truth.json"),
    "no members": (lambda _: b"{}", "truth.json format"),
    "byte order mark": (lambda text: b"\xef\xbb\xbf" + text.encode(), "truth.json"),
    "UTF-16": (lambda text: text.encode("utf-16"), "truth.json"),
    "UTF-16 without a mark": (lambda text: text.encode("utf-16-le"), "truth.json"),
    "code page 1252": (lambda text: text.replace("main", "\xe9").encode("cp1252"), "truth.json"),
    "surrogate in UTF-8": (lambda text: text.encode().replace(b"main", b"\xed\xa0\x80"), "truth.json"),
    "cut": (lambda text: text[: len(text) // 2].encode(), "truth.json"),
    "twice": (lambda text: (text * 2).encode(), "truth.json"),
    "comment": (lambda text: b"// text\n" + text.encode(), "truth.json"),
    "trailing comma": (lambda text: text.rstrip()[:-1].encode() + b",}", "truth.json"),
    "line break in a string": (_text("main", "ma\nin"), "truth.json"),
    "NaN": (_text(VERSION, '"version": NaN'), "truth.json"),
    "infinity": (_text(VERSION, '"version": -Infinity'), "truth.json"),
    "overflow": (_text(VERSION, '"version": 1e999'), "truth.json version"),
    "fraction": (_text(VERSION, '"version": 1.0'), "truth.json version"),
    "boolean version": (_text(VERSION, '"version": true'), "truth.json version"),
    "next version": (_text(VERSION, '"version": 2'), "truth.json version"),
    "unknown mode": (_text('"mode": "user"', '"mode": "hyper"'), "truth.json mode"),
    "5000 digits": (_text(VERSION, '"version": ' + "9" * 5000), "truth.json"),
    "member twice": (lambda text: text.rstrip()[:-1].encode() + b', "threads": []}', "truth.json"),
    "member of a member twice": (_text('"thread_id":', '"thread_id": 1, "thread_id":'), "truth.json"),
    "deep arrays": (lambda _: b"[" * 200_000, "truth.json"),
    "deep objects": (lambda _: b'{"a":' * 100_000, "truth.json"),
    "nested as the parser allows": (_text(VERSION, '"version": ' + "[" * 400 + "]" * 400), "truth.json version"),
    "deep member": (_text('"time":', f'"time": 1, "x": {"[" * 400}{"]" * 400}, "y":'), "truth.json x"),
    "many members": (
        lambda text: (text.rstrip()[:-1] + "".join(f', "x{n}": 0' for n in range(50_000)) + ', "x0": 1}').encode(),
        "truth.json",
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_both_refuse_a_text_that_is_no_truth(name: str, tmp_path: Path) -> None:
    change, where = TEXTS[name]
    truth = sound()["amd64"]
    text = change(json.dumps(truth.document))
    assert verdicts(write(tmp_path, text, truth.memory)) == agreed(where)


def test_both_refuse_another_version_of_the_request(tmp_path: Path) -> None:
    request = sound()["amd64"].request
    for version in (2, True, None, "1", 1.0, [1]):
        changed = request | {"version": version}
        assert verdicts(write(tmp_path, request=changed), request=True) == agreed("request.json version")


@pytest.mark.parametrize("member", ["contract", "session", "user_streams"])
def test_null_is_no_value_of_an_optional_member_of_a_request(member: str, tmp_path: Path) -> None:
    request = sound()["amd64"].request
    changed = request | {member: None}
    assert verdicts(write(tmp_path, request=changed), request=True) == agreed(f"request.json {member}")
    del changed[member]
    assert verdicts(write(tmp_path, request=changed), request=True) == ACCEPTED


@pytest.mark.parametrize("name", ["amd64", "machine"])
@pytest.mark.parametrize("size", [0, 1, -1, 0x1000])
def test_both_refuse_memory_of_another_size(name: str, size: int, tmp_path: Path) -> None:
    truth = sound()[name]
    memory = b"" if size == 0 else truth.memory[:size] if size < 0 else truth.memory + bytes(size)
    assert verdicts(write(tmp_path, truth.document, memory)) == agreed("memory.bin")


@pytest.mark.parametrize("file", ["truth.json", "memory.bin"])
def test_both_refuse_a_missing_file_and_a_folder(file: str, tmp_path: Path) -> None:
    truth = sound()["amd64"]
    write(tmp_path, truth.document, truth.memory)
    (tmp_path / file).unlink()
    assert verdicts(tmp_path) == agreed(file)
    (tmp_path / file).mkdir()
    assert verdicts(tmp_path) == agreed(file)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no FIFOs, and links need a privilege")
@pytest.mark.parametrize("file", ["truth.json", "memory.bin", "request.json"])
def test_both_refuse_fifos_devices_and_broken_links_at_once(file: str, tmp_path: Path) -> None:
    truth = sound()["amd64"]
    write(tmp_path, truth.document, truth.memory, truth.request)
    path = tmp_path / file
    path.rename(tmp_path / "moved")
    os.mkfifo(path)
    assert verdicts(tmp_path, request=file == "request.json") == agreed(file)
    for target in ("/dev/zero", "/dev/null", file, "nowhere"):
        path.unlink()
        path.symlink_to(target)
        assert verdicts(tmp_path, request=file == "request.json") == agreed(file)
    path.unlink()
    path.symlink_to("moved")
    assert verdicts(tmp_path, request=file == "request.json") == ACCEPTED


def test_both_loaders_have_the_ceilings_of_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "truth-format.md").read_text(encoding="utf-8")
    ceilings = page.partition("## Ceilings")[2].partition("\n## ")[0]
    emu = (emu_files.LARGEST_DOCUMENT, emu_files.LARGEST_MEMORY, *(most for _, _, most in emu_files.MOST))
    assert emu == (
        oracle_files.MOST_BYTES, oracle_files.MOST_MEMORY, *(most for most, _ in oracle_files.MOST_TOKENS.values())
    )  # fmt: skip
    assert [f"{number:,}" in ceilings for number in emu] == [True] * 5
    assert f"{1 << 20:,}" in ceilings


@pytest.mark.skipif(sys.platform == "win32", reason="the files would take their whole size")
@pytest.mark.parametrize(
    ("file", "size"), [("truth.json", emu_files.LARGEST_DOCUMENT), ("memory.bin", emu_files.LARGEST_MEMORY)]
)
def test_both_refuse_a_file_above_the_ceiling_unread(file: str, size: int, tmp_path: Path) -> None:
    truth = sound()["amd64"]
    write(tmp_path, truth.document, truth.memory)
    with (tmp_path / file).open("wb") as target:
        target.truncate(size + 1)
    assert verdicts(tmp_path) == agreed(file)


@pytest.mark.parametrize("mark", ["{", "[", ","])
def test_both_count_objects_arrays_and_commas_before_they_parse(
    mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = {"{": 1000, "[": 1000, ",": 1000, mark: 20}
    monkeypatch.setattr(oracle_files, "MOST_TOKENS", {key: (value, "tokens") for key, value in most.items()})
    monkeypatch.setattr(emu_files, "MOST", [(key, "tokens", value) for key, value in most.items()])
    text = b"[" + b"{}," * 25 if mark != "[" else b"[" * 25
    with pytest.raises(TruthError, match="expected at most 20 tokens, found 25"):
        oracle_files.parse_json(text.decode(), "truth.json")
    assert verdicts(write(tmp_path, text, b"")) == agreed("truth.json")


def test_both_refuse_an_array_above_the_ceiling(tmp_path: Path) -> None:
    truth = sound()["amd64"]
    document = truth.copy() | {"image_files": ["0x0"] * ((1 << 20) + 1)}
    assert verdicts(write(tmp_path, document, truth.memory)) == agreed("truth.json image_files")


_VALUES = st.one_of(
    st.sampled_from(STRANGE), st.integers(-(1 << 66), 1 << 66), st.integers(0, 1 << 64).map(hex), st.text(max_size=4)
)


@given(st.data())
def test_both_agree_on_a_truth_with_a_member_changed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    truth = sound()[data.draw(st.sampled_from(NAMES))]
    document = truth.copy()
    place = data.draw(st.sampled_from(list(places(document))))
    inside = holder(document, place)
    match data.draw(st.sampled_from(["replace", "delete", "double", "reverse", "take"])):
        case "delete":
            del inside[place[-1]]
        case "double" if isinstance(inside[place[-1]], list):
            inside[place[-1]] *= 2
        case "reverse" if isinstance(inside[place[-1]], list):
            inside[place[-1]].reverse()
        case "take":
            other = data.draw(st.sampled_from(list(places(truth.document))))
            inside[place[-1]] = copy.deepcopy(holder(truth.document, (*other, "")))
        case _:
            inside[place[-1]] = data.draw(_VALUES)
    folder = tmp_path_factory.getbasetemp() / "agree"
    found = verdicts(write(folder, document, truth.memory))
    assert found[0] == found[1]
