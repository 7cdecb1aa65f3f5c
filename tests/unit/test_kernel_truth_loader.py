"""Truths of kernel targets are read strictly, and inconsistent ones are refused in one line."""

from __future__ import annotations

import copy
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from dumptruth.oracle import KernelTruth, TruthError, load_any_truth, load_truth
from dumptruth.oracle.truth import kernel as truth_kernel_model
from dumptruth.oracle.truth.load import parse_kernel

from .schemas import schema, validator

SCHEMA = "truth-kernel-1.json"

P = 0x1000
_REGISTERS = (
    "SegCs SegDs SegEs SegFs SegGs SegSs EFlags Dr0 Dr1 Dr2 Dr3 Dr6 Dr7 Rax Rcx Rdx Rbx Rsp Rbp Rsi Rdi "
    "R8 R9 R10 R11 R12 R13 R14 R15 Rip MxCsr"
)
_SYMBOLS = (
    "kernel_base kd_debugger_data_block kd_version_block ps_loaded_module_list ps_active_process_head mm_pfn_database "
    "ki_bugcheck_data ki_processor_block mm_unloaded_drivers mm_physical_memory_block"
)
DOCUMENT: dict[str, Any] = {
    "format": "dumptruth-truth", "version": 1, "mode": "kernel", "source": "by hand",
    "system": {"architecture": "amd64", "build_number": 19041, "major_version": 15, "product_type": 1,
               "suite_mask": 272, "nt_build_lab": ""},
    "time": "0x1", "up_time": "0x2",
    "processors": [{
        "number": 0, "kpcr": "0x0", "kprcb": "0x0", "current_thread": "0x0", "stack_limit": "0x0", "stack_base": "0x0",
        "context": {"context_flags": 1048591, "registers": dict.fromkeys(_REGISTERS.split(), "0x0"),
                    "fxsave": "00" * 512},
        "special_registers": {"Cr3": "0x1000"},
    }],
    "crashing_processor": 0, "directory_table_base": "0x1000", "system_directory_table_base": "0x1000",
    "bug_check": {"code": 209, "parameters": ["0x0"] * 4}, "exception": None,
    "symbols": dict.fromkeys(_SYMBOLS.split(), "0x0"),
    "processes": [],
    "drivers": [{"entry": "0x0", "base": "0x0", "size": 1, "entry_point": "0x0", "checksum": 0, "time_date_stamp": 0,
                 "full_name": "k", "base_name": "k", "flags": 0, "load_count": 1, "read_only_sections": []}],
    "unloaded_drivers": [],
    "physical_runs": [{"base_page": "0x1", "page_count": "0x4"}, {"base_page": "0x100000", "page_count": "0x2"}],
    "memory": [{"base_page": "0x1", "page_count": "0x1", "offset": "0x0"},
               {"base_page": "0x100001", "page_count": "0x1", "offset": "0x1000"}],
    "free_pages": [{"base_page": "0x3", "page_count": "0x2"}], "standby_pages": [], "unreadable_pages": [],
    "added_pages": [], "triage_data": [], "blobs": [],
}  # fmt: skip
MEMORY = b"a" * P + b"b" * P


def test_a_truth_reads_pages_touched_or_not() -> None:
    truth = parse_kernel(DOCUMENT, MEMORY)
    assert bytes(truth.page(1) or b"") == b"a" * P
    assert bytes(truth.page(0x100001) or b"") == b"b" * P
    assert truth.page(4) == bytes(P)
    assert (truth.page(0), truth.page(5), truth.page(0x100002)) == (None, None, None)
    assert list(truth.pieces(1, 4)) == [(1, 1, 0), (2, 3, None)]
    assert list(truth.pieces(0x100001, 1)) == [(0x100001, 1, P)]


def test_a_truth_is_loaded_by_its_mode(tmp_path: Path) -> None:
    (tmp_path / "truth.json").write_text(json.dumps(DOCUMENT), encoding="utf-8")
    (tmp_path / "memory.bin").write_bytes(MEMORY)
    assert isinstance(load_any_truth(tmp_path), KernelTruth)
    with pytest.raises(TruthError, match="mode"):
        load_truth(tmp_path)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("crashing_processor",), 1, "crashing_processor"),
        (("processors", 0, "number"), 1, "number"),
        (("directory_table_base",), "0x1008", "directory_table_base"),
        (("system_directory_table_base",), "0x9000", "system_directory_table_base"),
        (("drivers",), [], "the kernel at least"),
        (("physical_runs",), [], "at least one run"),
        (("physical_runs", 1, "base_page"), "0x5", "with gaps between them"),
        (("physical_runs", 0, "page_count"), "0x0", "with gaps between them"),
        (("physical_runs", 1, "page_count"), "0xffffffffffffffff", "below"),
        (("memory", 1, "offset"), "0x2000", "offset"),
        (("memory", 1, "page_count"), "0x2", "physical_runs"),
        (("memory", 1, "base_page"), "0x100002", "physical_runs"),
        (("free_pages", 0, "page_count"), "0x3", "physical_runs"),
        (("time",), 1, "hexadecimal"),
        (("bug_check", "parameters"), ["0x0"], "4 to 4"),
        (("system", "architecture"), "arm64", "amd64"),
        (("surplus",), 1, "no such member"),
        (("image_files",), ["0x1"], "the base of a driver"),
        (("processors", 0, "context", "registers", "Rax"), None, "Rax"),
    ],
)
def test_a_truth_that_contradicts_itself_is_refused_in_one_line(path: tuple[Any, ...], value: Any, said: str) -> None:
    document = copy.deepcopy(DOCUMENT)
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(TruthError) as refused:
        parse_kernel(document, MEMORY)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("change", [{"time": 1}, {"surplus": 1}, {"processors": []}, {"blobs": [{"tag": "00"}]}])
def test_the_schema_accepts_what_the_loader_accepts_and_no_other_shape(change: dict[str, Any]) -> None:
    validator(SCHEMA).validate(DOCUMENT)
    with pytest.raises(jsonschema.ValidationError):
        validator(SCHEMA).validate(DOCUMENT | change)


_DEFINED = {
    "KernelSystemTruth": "system", "ProcessorTruth": "processor", "BugCheckTruth": "bug_check",
    "KernelExceptionTruth": "exception", "SymbolsTruth": "symbols", "KernelThreadTruth": "thread",
    "KernelProcessTruth": "process", "ExtentTruth": "extent", "DriverTruth": "driver",
    "UnloadedDriverTruth": "unloaded_driver", "PageRunTruth": "page_run", "TouchedRunTruth": "touched_run",
    "BlobTruth": "blob", "KernelStackTruth": "thread_stack",
}  # fmt: skip


@pytest.mark.parametrize("name", _DEFINED)
def test_the_schema_and_the_loader_know_the_same_members(name: str) -> None:
    body = schema(SCHEMA)["$defs"][_DEFINED[name]]
    members = [entry.name for entry in fields(getattr(truth_kernel_model, name)) if entry.init]
    assert list(body["properties"]) == members
    assert body["required"] == members


def test_frames_are_the_same_in_both_schemas() -> None:
    assert schema(SCHEMA)["$defs"]["stack_frame"] == schema("truth-1.json")["$defs"]["stack_frame"]
