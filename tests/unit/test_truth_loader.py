"""The judge's loader of truths reads every member and refuses an invalid document in one line."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from dumptruth.oracle.truth import context as truth_context
from dumptruth.oracle.truth import objects as truth_objects
from dumptruth.oracle.truth import process as truth_model
from dumptruth.oracle.truth import stacks as truth_stacks
from dumptruth.oracle.truth.load import TruthError, load_request, load_truth, parse_request, parse_truth

from ..hand_documents import REGISTERS, SYSTEM, VM_COUNTERS, Region, region, request_document
from .schemas import schema, validator

CONTEXT = {
    "context_flags": 0x10001F,
    "registers": dict.fromkeys(REGISTERS, "0x0") | {"Rsp": "0x11ff0", "Rip": "0xffffffffffffffff"},
    "fxsave": "7f02" + "00" * 510,
}
REGIONS: tuple[Region, ...] = (
    (0x0, 0x10000, 0, 0, 0x10000, 1, 0),
    (0x10000, 0x1000, 0x10000, 4, 0x1000, 0x104, 0x20000),
    (0x11000, 0x1000, 0x10000, 4, 0x1000, 4, 0x20000),
    (0x12000, 0x2000, 0x12000, 2, 0x1000, 2, 0x40000),
    (0x14000, 0x3000, 0x14000, 4, 0x1000, 4, 0x20000),
    (0x17000, 0x9000, 0x14000, 4, 0x2000, 0, 0x20000),
    (0x20000, 0x7FFE0000, 0, 0, 0x10000, 1, 0),
)
TRUTH: dict[str, Any] = {
    "format": "dumptruth-truth",
    "version": 1,
    "mode": "user",
    "source": "by hand",
    "system": SYSTEM,
    "process": {
        "process_id": 4660,
        "create_time": "0x1d9000000000000",
        "user_time": "0x0",
        "kernel_time": "0x0",
        "peb": "0x14000",
        "integrity_level": 8192,
        "execute_flags": 13,
        "protected": 0,
        "cookie": 0,
        "command_line": "crash.exe",
        "vm": {"page_fault_count": 1, **dict.fromkeys(VM_COUNTERS, "0x1000")},
    },
    "time": "0x1d9000000989680",
    "start_directory": "C:\\work",
    "threads": [
        {
            "thread_id": 4664,
            "suspend_count": 1,
            "priority_class": 32,
            "priority": -2,
            "teb": "0x14000",
            "stack_base": "0x12000",
            "stack_limit": "0x11000",
            "name": None,
            "create_time": "0x1d9000000000000",
            "exit_time": "0x0",
            "exit_status": 259,
            "kernel_time": "0x0",
            "user_time": "0x0",
            "start_address": "0x0",
            "affinity": "0xf",
            "state": "running",
            "context": CONTEXT,
        }
    ],
    "modules": [
        {
            "base": "0x40000",
            "size": 4096,
            "checksum": 0,
            "time_date_stamp": 0,
            "name": "C:\\crash.exe",
            "version_info": [0] * 13,
            "code_view": "52534453",
            "dll_characteristics": 33120,
            "size_of_headers": 1024,
            "sections": [{"name": ".text", "virtual_address": 4096, "virtual_size": 1, "characteristics": 1610612768}],
        }
    ],
    "unloaded_modules": [{"base": "0x50000", "size": 1, "checksum": 0, "time_date_stamp": 0, "name": "beta.dll"}],
    "regions": [region(row) for row in REGIONS],
    "memory": [
        {"start": "0x11000", "size": "0x4000", "offset": "0x0"},
        {"start": "0x16000", "size": "0x1000", "offset": "0x4000"},
    ],
    "unreadable": [{"start": "0x15000", "size": "0x1000"}],
    "handles": [
        {
            "value": value,
            "type_name": "Event",
            "object_name": None,
            "attributes": 0,
            "granted_access": 0x1F0003,
            "handle_count": 1,
            "pointer_count": 1,
        }
        for value in (4, 8)
    ],
    "exception": {
        "thread_id": 4664,
        "code": 0xC0000005,
        "flags": 0,
        "record": "0x0",
        "address": "0x0",
        "information": ["0x8", "0x0"],
        "first_chance": True,
        "context": CONTEXT,
    },
}
MEMORY = bytes(range(256)) * 0x50
REQUEST = request_document()


def write(directory: Path, document: Any = TRUTH, memory: bytes = MEMORY) -> Path:
    (directory / "truth.json").write_text(json.dumps(document), encoding="utf-8")
    (directory / "memory.bin").write_bytes(memory)
    return directory


def test_a_truth_is_read_member_for_member(tmp_path: Path) -> None:
    truth = load_truth(write(tmp_path))
    assert truth.system.time_zone_bias == -60
    assert truth.threads[0].priority == -2
    assert truth.threads[0].context.sp == 0x11FF0
    assert truth.threads[0].context.ip == 0xFFFF_FFFF_FFFF_FFFF
    assert truth.threads[0].context.fxsave[:2] == b"\x7f\x02"
    assert truth.modules[0].code_view == b"RSDS"
    assert truth.handles[0].object_name is None
    assert truth.exception is not None
    assert truth.exception.information == (8, 0)
    assert truth.process.vm.private_usage == 0x1000


def test_memory_is_read_by_address_across_regions_and_never_across_a_hole(tmp_path: Path) -> None:
    truth = load_truth(write(tmp_path))
    assert bytes(truth.read(0x11FFF, 2) or b"") == MEMORY[0xFFF:0x1001]
    assert truth.read(0x14FFF, 2) is None
    assert truth.read(0x10FFF, 2) is None
    assert bytes(truth.read(0x16000, 0x1000) or b"") == MEMORY[0x4000:]
    assert [(at, len(piece)) for at, piece in truth.readable(0, 1 << 64)] == [(0x11000, 0x4000), (0x16000, 0x1000)]
    assert [(at, len(piece)) for at, piece in truth.readable(0x14FF0, 0x16010)] == [(0x14FF0, 0x10), (0x16000, 0x10)]


def test_a_region_is_found_by_any_address_in_it(tmp_path: Path) -> None:
    truth = load_truth(write(tmp_path))
    assert [region.base for address in (0, 0xFFFF, 0x10000, 0x7FFFFFFF) if (region := truth.region_at(address))] == [
        0,
        0,
        0x10000,
        0x20000,
    ]
    assert truth.region_at(0x80000000) is None
    assert [region.base for region in truth.regions if region.readable] == [0x11000, 0x12000, 0x14000]


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        target: Any = document
        *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
        for part in parents:
            target = target[part]
        target[last] = value

    return change


BAD: list[tuple[Callable[[dict[str, Any]], None], str]] = [
    (lambda d: d.pop("time"), "truth.json.time: expected a value, found none"),
    (_set("extra", 1), "truth.json.extra: expected no such member, found 1"),
    (_set("format", "x"), "truth.json.format: expected 'dumptruth-truth', found 'x'"),
    (_set("version", 2), "truth.json.version: expected 1, found 2"),
    (_set("version", True), "truth.json.version: expected 1, found True"),
    (_set("mode", "kernel"), "truth.json.mode: expected 'user', found 'kernel'"),
    (_set("system/architecture", "vax"), "system.architecture: expected one of amd64, x86, arm64, found 'vax'"),
    (
        _set("system/product_type", 256),
        "truth.json.system.product_type: expected an integer from 0 to 255, found 256",
    ),
    (_set("system/processor_features", ["0x0"]), "expected 2 to 2 elements, found 1"),
    (_set("threads/0/teb", "0X10"), "truth.json.threads[0].teb: expected at most 64 bits as lower-case hexadecimal"),
    (_set("threads/0/teb", "0x" + "1" * 17), "truth.json.threads[0].teb"),
    (_set("threads/0/teb", 16), "truth.json.threads[0].teb"),
    (_set("threads/0/name", 3), "truth.json.threads[0].name: expected a string, found 3"),
    (_set("threads/0/context/fxsave", "00"), "truth.json.threads[0].context.fxsave: expected 512 bytes, found 1"),
    (_set("modules/0/code_view", "0g"), "truth.json.modules[0].code_view: expected bytes as pairs"),
    (_set("modules/0/version_info", [1]), "truth.json.modules[0].version_info: expected 13 to 13 elements, found 1"),
    (_set("threads/0/context/registers", {"Eax": "0x0"}), "registers.SegCs: expected a value, found none"),
    (_set("threads/0/context/registers/Cr3", "0x0"), "registers.Cr3: expected no such member"),
    (_set("exception/thread_id", 1), "truth.json.exception.thread_id: expected a thread of the process, found 1"),
    (_set("exception/information", ["0x0"] * 16), "truth.json.exception.information: expected 0 to 15 elements"),
    (_set("exception/first_chance", 1), "truth.json.exception.first_chance: expected a boolean, found 1"),
    (_set("handles/1/value", 4), "truth.json.handles[1].value: expected more than 4, the value before, found 4"),
    (_set("regions/2/base", "0x11001"), "truth.json.regions[2].base: expected 0x11000, where the region before ends"),
    (_set("regions/2/base", "0x10000"), "truth.json.regions[2].base"),
    (_set("regions/2/size", "0xfff"), "truth.json.regions[2].size: expected whole pages, found 0xfff"),
    (_set("regions/2/state", 7), "truth.json.regions[2].state: expected one of 4096, 8192, 65536, found 7"),
    (_set("regions/2/type", 0), "truth.json.regions[2].type: expected private, mapped or image memory, found 0"),
    (_set("regions/5/protect", 1), "truth.json.regions[5].protect: expected 0 in a reserved region, found 0x1"),
    (_set("regions/0/protect", 0), "truth.json.regions[0]: expected protect 1, and all else 0, in a free region"),
    (_set("regions/6/size", "0x1000"), "truth.json.regions: expected an end at 0x80000000"),
    (_set("regions", []), "truth.json.regions: expected an end at 0x80000000"),
    (_set("memory/1/offset", "0x3000"), "truth.json.memory[1].offset: expected 0x4000"),
    (_set("memory/0/size", "0x3000"), "truth.json.memory[0]: expected 0x11000..0x15000, found 0x11000..0x14000"),
    (_set("memory/1/start", "0x15000"), "truth.json.memory[1]: expected sorted runs of whole pages with gaps"),
    (_set("memory/1/start", "0x17000"), "truth.json.memory[1]: expected pages whose protection allows a read"),
    (lambda d: d["memory"].pop(), "truth.json.memory: expected a run for the readable pages 0x16000..0x17000"),
    (_set("unreadable", []), "truth.json.memory[0]: expected 0x11000..0x17000, found 0x11000..0x15000"),
    (_set("unreadable/0/start", "0x17000"), "truth.json.unreadable[0]: expected pages whose protection allows a read"),
    (_set("unreadable/0/start", "0x15001"), "truth.json.unreadable[0]: expected sorted runs of whole pages"),
    (lambda d: d["threads"].append(d["threads"][0]), "threads[1].thread_id: expected a unique value, found 0x1238"),
    (_set("threads/0/stack_limit", "0x13000"), "truth.json.threads[0].stack_limit: expected at most stack_base"),
    (_set("system", None), "truth.json.system: expected an object, found None"),
    (_set("threads", {}), "truth.json.threads: expected an array, found {}"),
]


@pytest.mark.parametrize(("change", "line"), BAD, ids=[line[:60] for _, line in BAD])
def test_a_bad_member_is_named_in_one_line(change: Callable[[dict[str, Any]], None], line: str, tmp_path: Path) -> None:
    document = copy.deepcopy(TRUTH)
    change(document)
    with pytest.raises(TruthError) as caught:
        load_truth(write(tmp_path, document))
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [0, 0x4FFF, 0x5001])
def test_a_memory_file_of_another_size_is_refused(size: int, tmp_path: Path) -> None:
    with pytest.raises(TruthError, match=r"memory\.bin: expected 0x5000 bytes, .*found 0x"):
        load_truth(write(tmp_path, memory=bytes(size)))


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(TruthError, match=r"truth\.json: cannot be read"):
        load_truth(tmp_path)
    write(tmp_path)
    (tmp_path / "memory.bin").unlink()
    with pytest.raises(TruthError, match=r"memory\.bin: cannot be read"):
        load_truth(tmp_path)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "truth.json: expected JSON, found at line 1, column 1: "),
        (b"{", "truth.json: expected JSON, found at line 1, column 2: "),
        (b"\xff\xfe", "truth.json: expected UTF-8, found byte 0xff at 0"),
        (b"[" * 100_000, "truth.json: expected at most 8 levels of nesting, found hundreds"),
    ],
)
def test_invalid_json_is_refused(content: bytes, line: str, tmp_path: Path) -> None:
    (tmp_path / "truth.json").write_bytes(content)
    with pytest.raises(TruthError) as caught:
        load_truth(tmp_path)
    assert str(caught.value).startswith(line)


def test_a_target_without_readable_memory_has_an_empty_memory_file(tmp_path: Path) -> None:
    document = copy.deepcopy(TRUTH)
    _set("regions", document["regions"][:1])(document)
    _set("system/maximum_user_mode_address", "0xffff")(document)
    _set("memory", [])(document)
    _set("unreadable", [])(document)
    truth = load_truth(write(tmp_path, document, b""))
    assert truth.read(0, 1) is None


def test_a_request_is_read_or_absent(tmp_path: Path) -> None:
    assert load_request(tmp_path) is None
    (tmp_path / "request.json").write_text(json.dumps(REQUEST), encoding="utf-8")
    request = load_request(tmp_path)
    assert request is not None
    assert (request.qualifier_value, request.profile, request.comment) == (1024, "modern", None)
    with pytest.raises(TruthError, match=r"request\.json\.qualifier_value: expected an integer"):
        parse_request(REQUEST | {"qualifier_value": -1})


def test_the_schemas_accept_what_the_loader_accepts() -> None:
    validator("truth-1.json").validate(TRUTH)
    validator("request-1.json").validate(REQUEST)
    parse_truth(TRUTH, MEMORY)


SHAPE = [entry for entry in BAD[:22] if "thread of the process" not in entry[1] and "the value before" not in entry[1]]
"""The bad members that a schema can detect. It cannot express relations between members."""


@pytest.mark.parametrize(("change", "line"), SHAPE, ids=[line[:60] for _, line in SHAPE])
def test_the_schema_refuses_what_has_the_wrong_shape(change: Callable[[dict[str, Any]], None], line: str) -> None:
    document = copy.deepcopy(TRUTH)
    change(document)
    with pytest.raises(jsonschema.ValidationError):
        validator("truth-1.json").validate(document)


@pytest.mark.parametrize(
    ("definition", "cls"),
    [
        ("system", truth_model.SystemTruth),
        ("vm", truth_model.VmTruth),
        ("process", truth_model.ProcessFacts),
        ("context", truth_context.ThreadContextTruth),
        ("thread", truth_model.ThreadTruth),
        ("section", truth_model.SectionTruth),
        ("module", truth_model.ModuleTruth),
        ("unloaded_module", truth_model.UnloadedModuleTruth),
        ("region", truth_model.RegionTruth),
        ("run", truth_model.RunTruth),
        ("unreadable_run", truth_model.UnreadableTruth),
        ("handle", truth_model.HandleTruth),
        ("exception", truth_model.ExceptionTruth),
        ("xstate", truth_context.XStateTruth),
        ("xstate_feature", truth_context.XStateFeature),
        ("x86_cpu", truth_model.X86CpuTruth),
        ("function_table", truth_objects.FunctionTableTruth),
        ("function_entry", truth_objects.FunctionEntryTruth),
        ("handle_operation", truth_objects.HandleOperationTruth),
        ("token", truth_objects.TokenTruth),
        ("sid", truth_objects.SidTruth),
        ("privilege", truth_objects.PrivilegeTruth),
        ("thread_stack", truth_stacks.ThreadStackTruth),
        ("stack_frame", truth_stacks.StackFrameTruth),
    ],
)
def test_schema_and_loader_have_the_same_members(definition: str, cls: type[Any]) -> None:
    body = schema("truth-1.json")["$defs"][definition]
    assert list(body["properties"]) == [entry.name for entry in fields(cls)]
    assert body["required"] == [entry.name for entry in fields(cls) if entry.default is MISSING]


def test_schema_and_loader_have_the_same_top_level_members() -> None:
    own = [entry for entry in fields(truth_model.ProcessTruth) if entry.init]
    head = {"format", "version", "mode"}
    body = schema("truth-1.json")
    assert set(body["properties"]) - head == {entry.name for entry in own}
    assert set(body["required"]) - head == {entry.name for entry in own if entry.default is MISSING}
    body = schema("request-1.json")
    assert set(body["properties"]) - head == {entry.name for entry in fields(truth_model.RequestTruth)}
    assert list(body["$defs"]["user_stream"]["properties"]) == [
        entry.name for entry in fields(truth_objects.UserStreamTruth)
    ]


@pytest.mark.parametrize("architecture", truth_context.CONTEXT_REGISTERS)
def test_schema_and_loader_have_the_same_registers(architecture: str) -> None:
    body = schema("truth-1.json")["$defs"][f"registers_{architecture}"]
    assert tuple(body["properties"]) == tuple(body["required"]) == truth_context.CONTEXT_REGISTERS[architecture]
