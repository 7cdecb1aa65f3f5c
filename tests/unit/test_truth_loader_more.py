"""The optional members of a truth: extended state, function tables, handle operations, tokens, other architectures."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from dumptruth.fixtures.mutants.userdump_assembled import stored_memory, truth_document
from dumptruth.oracle.truth.context import CONTEXT_REGISTERS
from dumptruth.oracle.truth.load import TruthError, parse_request, parse_truth

from ..hand_documents import VM_COUNTERS, request_document
from .schemas import validator

Change = Callable[[dict[str, Any]], None]
SID = "010100000000000512000000"
OPTIONAL: dict[str, Any] = {
    "function_tables": [
        {
            "minimum_address": "0x14000",
            "maximum_address": "0x14100",
            "base_address": "0x14000",
            "native": "ab" * 136,
            "entries": [{"begin_address": 16, "end_address": 32, "unwind_data": 64}],
        }
    ],
    "handle_operations": [
        {
            "handle": "0x4",
            "process_id": 4660,
            "thread_id": 4664,
            "operation_type": 3,
            "index": 7,
            "return_addresses": ["0x1", "0x2"],
        }
    ],
    "tokens": [
        {
            "token_id": 4660,
            "handle": "0xffffffffffffffff",
            "token_type": 1,
            "user": {"sid": SID, "attributes": 0},
            "groups": [{"sid": SID, "attributes": 7}],
            "privileges": [{"luid": "0x17", "attributes": 3}],
            "statistics": "01" * 56,
        }
    ],
}
XSTATE = {
    "enabled_features": "0x7",
    "features": [{"offset": 0, "size": 160}, {"offset": 160, "size": 256}, {"offset": 576, "size": 256}],
}
NUMBERS = (
    "processor_level processor_revision number_of_processors product_type major_version minor_version "
    "build_number suite_mask time_zone_id time_zone_bias processor_max_mhz processor_current_mhz "
    "allocation_granularity timer_resolution"
)
WIDE = (
    "number_of_physical_pages lowest_physical_page_number highest_physical_page_number available_pages "
    "minimum_user_mode_address committed_pages commit_limit peak_commitment"
)
THREAD = "teb stack_base stack_limit create_time exit_time kernel_time user_time start_address affinity"
X86 = "Dr0 Dr1 Dr2 Dr3 Dr6 Dr7 SegGs SegFs SegEs SegDs Edi Esi Ebx Edx Ecx Eax Ebp Eip SegCs EFlags Esp SegSs"
SYSTEM: dict[str, Any] = {
    "architecture": "amd64",
    **dict.fromkeys(NUMBERS.split(), 1),
    **dict.fromkeys(WIDE.split(), "0x0"),
    **dict.fromkeys(("csd_version", "build_string", "standard_name", "daylight_name"), ""),
    "processor_features": ["0x0", "0x0"],
    "maximum_user_mode_address": "0xffff",
}
AREAS: dict[str, dict[str, Any]] = {
    "amd64": {"fxsave": "00" * 512},
    "x86": {"fxsave": "00" * 512, "float_save": "00" * 112},
    "arm64": {"fxsave": None, "v": "00" * 512},
}


def truth(architecture: str = "amd64", **more: Any) -> dict[str, Any]:
    system = SYSTEM | {"architecture": architecture}
    if architecture == "x86":
        cpu = {"vendor_id": "GenuineIntel", "version_information": 1, "feature_information": 2}
        system |= {"processor_features": None, "x86_cpu": cpu | {"amd_extended_cpu_features": 3}}
    registers = {name: hex(index) for index, name in enumerate(CONTEXT_REGISTERS[architecture])}
    context = {"context_flags": 1, "registers": registers, **AREAS[architecture]}
    thread: dict[str, Any] = {
        **dict.fromkeys(("suspend_count", "priority_class", "priority", "exit_status"), 0),
        **dict.fromkeys(THREAD.split(), "0x0"),
        "thread_id": 4664,
        "name": None,
        "state": "",
        "context": context,
    }
    process: dict[str, Any] = {
        **dict.fromkeys(("process_id", "integrity_level", "execute_flags", "protected", "cookie"), 0),
        **dict.fromkeys(("create_time", "user_time", "kernel_time", "peb"), "0x0"),
        "command_line": "",
        "vm": {"page_fault_count": 0, **dict.fromkeys(VM_COUNTERS, "0x0")},
    }
    free = {"allocation_base": "0x0", "allocation_protect": 0, "state": 0x10000, "protect": 1, "type": 0}
    document = {
        "format": "dumptruth-truth",
        "version": 1,
        "mode": "user",
        "source": "by hand",
        "system": system,
        "process": process,
        "time": "0x0",
        "start_directory": "",
        "threads": [thread],
        "regions": [{"base": "0x0", "size": "0x10000", **free}],
        **{name: [] for name in ("modules", "unloaded_modules", "memory", "unreadable", "handles")},
        "exception": None,
        **more,
    }
    return copy.deepcopy(document)


def test_absent_and_null_members_mean_unknown() -> None:
    nulls: dict[str, Any] = dict.fromkeys((*OPTIONAL, "image_files"))
    for document in (truth(), truth(**nulls)):
        told = parse_truth(document, b"")
        unknown = (told.function_tables, told.handle_operations, told.tokens, told.image_files, told.system.xstate)
        assert (*unknown, told.threads[0].context.xstate) == (None,) * 6
        validator("truth-1.json").validate(document)


@pytest.mark.parametrize(
    ("bases", "line"),
    [
        (["0x1000"], "truth.json.image_files[0]: expected the base of a module, found 0x1000"),
        (["0x400000", "0x400000"], "truth.json.image_files[1]: expected each base once, found 0x400000 again"),
        ([4194304], "truth.json.image_files[0]: expected at most 64 bits as lower-case hexadecimal"),
    ],
)
def test_image_files_are_those_of_modules(bases: list[Any], line: str) -> None:
    document = truth_document("amd64")
    with pytest.raises(TruthError) as caught:
        parse_truth(document | {"image_files": bases}, stored_memory("amd64"))
    assert line in str(caught.value)
    assert parse_truth(document | {"image_files": ["0x400000"]}, stored_memory("amd64")).image_files == (0x400000,)
    assert parse_truth(document | {"image_files": []}, stored_memory("amd64")).image_files == ()


def test_optional_members_are_read_member_for_member() -> None:
    document = truth(**OPTIONAL)
    document["system"]["xstate"] = XSTATE
    document["threads"][0]["context"]["xstate"] = {"2": "5a" * 256}
    told = parse_truth(document, b"")
    assert told.function_tables is not None
    assert told.function_tables[0].entries[0].unwind_data == 64
    assert told.handle_operations is not None
    assert told.handle_operations[0].return_addresses == (1, 2)
    assert told.tokens is not None
    assert told.tokens[0].groups[0].sid == bytes.fromhex(SID)
    assert told.system.xstate is not None
    assert [feature.size for feature in told.system.xstate.features] == [160, 256, 256]
    assert told.threads[0].context.components == {2: b"\x5a" * 256}
    validator("truth-1.json").validate(document)


@pytest.mark.parametrize(
    ("architecture", "ip", "sp", "pointer"),
    [("amd64", "Rip", "Rsp", 8), ("x86", "Eip", "Esp", 4), ("arm64", "Pc", "Sp", 8)],
)
def test_each_architecture_has_its_own_registers(architecture: str, ip: str, sp: str, pointer: int) -> None:
    document = truth(architecture)
    told = parse_truth(document, b"")
    names = CONTEXT_REGISTERS[architecture]
    context = told.threads[0].context
    assert (context.ip, context.sp) == (names.index(ip), names.index(sp))
    assert told.system.pointer_size == pointer
    validator("truth-1.json").validate(document)


def test_the_names_of_the_registers_are_those_of_the_interface() -> None:
    assert CONTEXT_REGISTERS["x86"] == tuple(X86.split())
    assert [len(names) for names in CONTEXT_REGISTERS.values()] == [31, 22, 56]


def _at(path: str, value: Any) -> Change:
    def change(document: dict[str, Any]) -> None:
        target: Any = document
        *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
        for part in parents:
            target = target[part]
        target[last] = value

    return change


CONTEXT = "threads/0/context"
BAD: list[tuple[str, Change, str]] = [
    ("amd64", _at("function_tables/0/maximum_address", "0x1"), "maximum_address: expected at least minimum_address"),
    ("amd64", lambda d: d["function_tables"].append({**d["function_tables"][0], "native": "00"}),
     "truth.json.function_tables[1].native: expected 136 bytes, as in all tables, found 1"),
    ("x86", _at("source", "32-bit"), "truth.json.function_tables: expected none on x86"),
    ("amd64", _at("function_tables/0/entries/0/begin_address", "0x1"), "begin_address: expected an integer"),
    ("amd64", _at("handle_operations/0/operation_type", 4), "operation_type: expected one of 1, 2, 3, found 4"),
    ("amd64", _at("handle_operations/0/return_addresses", ["0x0"] * 33), "expected 0 to 32 elements, found 33"),
    ("amd64", _at("tokens/0/token_type", 0), "tokens[0].token_type: expected one of 1, 2, found 0"),
    ("amd64", _at("tokens/0/statistics", "00"), "tokens[0].statistics: expected 56 bytes, found 1"),
    ("amd64", _at("tokens/0/user/sid", "0102"), "truth.json.tokens[0].user.sid: expected a SID"),
    ("amd64", _at("tokens/0/groups/0/sid", SID + "00"), "truth.json.tokens[0].groups[0].sid: expected a SID"),
    ("amd64", _at("system/xstate", {"enabled_features": "0x7", "features": []}),
     "truth.json.system.xstate.features: expected 3 entries, up to the highest enabled component, found 0"),
    ("amd64", _at("system/xstate", {**XSTATE, "enabled_features": "0x5"}),
     "system.xstate.features[1]: expected offset 0 and size 0: it is not enabled"),
    ("amd64", _at("system/xstate", {**XSTATE, "features": [*XSTATE["features"][:2], {"offset": 512, "size": 8}]}),
     "system.xstate.features[2].offset: expected at least 576"),
    ("amd64", _at(f"{CONTEXT}/xstate", {"2": ""}), "xstate.2: expected a component from 2 on that system.xstate"),
    ("amd64", _at(f"{CONTEXT}/v", "00" * 512), "truth.json.threads[0].context.v: expected null on amd64, found bytes"),
    ("amd64", _at(f"{CONTEXT}/fxsave", None), "threads[0].context.fxsave: expected bytes on amd64, found null"),
    ("amd64", _at("system/processor_features", None), "system.processor_features: expected a value on amd64"),
    ("arm64", _at("function_tables", []) , "context.v: expected bytes on arm64, found null"),
    ("x86", _at("function_tables", []), "registers.Dr0: expected at most 32 bits, found 0x100000000"),
]  # fmt: skip


@pytest.mark.parametrize(("architecture", "change", "line"), BAD, ids=[line[:60] for _, _, line in BAD])
def test_a_bad_optional_member_is_named_in_one_line(architecture: str, change: Change, line: str) -> None:
    document = truth(architecture, **OPTIONAL)
    change(document)
    if architecture == "arm64":
        document["threads"][0]["context"].pop("v")
    if architecture == "x86" and not document["function_tables"]:
        document["threads"][0]["context"]["registers"]["Dr0"] = "0x100000000"
    with pytest.raises(TruthError) as caught:
        parse_truth(document, b"")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("components", "line"),
    [
        ({"2": "00"}, "xstate.2: expected 256 bytes, found 1"),
        ({"1": "00" * 256}, "xstate.1: expected a component from 2 on: the others are in fxsave"),
        ({"3": "00"}, "xstate.3: expected a component from 2 on that system.xstate enables"),
        ({"02": "00" * 256}, "xstate.02: expected a component from 2 on"),
    ],
)
def test_extended_state_is_that_of_enabled_components(components: dict[str, str], line: str) -> None:
    document = truth()
    document["system"]["xstate"] = XSTATE
    document["threads"][0]["context"]["xstate"] = components
    with pytest.raises(TruthError, match="context") as caught:
        parse_truth(document, b"")
    assert line in str(caught.value)


REQUEST = request_document()


def test_a_request_may_bring_streams_of_its_own() -> None:
    assert parse_request(REQUEST).user_streams == ()
    document = {**REQUEST, "user_streams": [{"type": 65536, "data": "00ff"}]}
    (stream,) = parse_request(document).user_streams
    assert (stream.type, stream.data) == (65536, b"\0\xff")
    validator("request-1.json").validate(document)
    with pytest.raises(TruthError, match=r"user_streams\[0\]\.data: expected bytes"):
        parse_request({**REQUEST, "user_streams": [{"type": 1, "data": "0"}]})
