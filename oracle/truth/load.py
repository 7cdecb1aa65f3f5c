"""Loads truths and requests (docs/truth-format.md), and checks that they are consistent.

In the truth of a process the regions leave no gap, and the runs of memory.bin are exactly the pages that a debugger can
read. Anything else raises ``TruthError``: one line with the file, the member, what was expected, what was found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..memory.page import PAGE_SIZE
from ..memory.source import ByteSource
from .context import ContextTruth
from .kernel import KernelTruth
from .load_kernel import parse_kernel_truth
from .members import TruthError, build, fail, shown
from .objects import check_function_tables, check_image_files, check_tokens
from .process import (
    ExceptionTruth,
    HandleTruth,
    ModuleTruth,
    ProcessTruth,
    RegionTruth,
    RequestTruth,
    SystemTruth,
    ThreadTruth,
    UnloadedModuleTruth,
)
from .region import FREE, NOACCESS, RESERVE

__all__ = [
    "ContextTruth",
    "ExceptionTruth",
    "HandleTruth",
    "KernelTruth",
    "ModuleTruth",
    "ProcessTruth",
    "RegionTruth",
    "RequestTruth",
    "ThreadTruth",
    "Truth",
    "TruthError",
    "UnloadedModuleTruth",
    "load_any_truth",
    "load_request",
    "load_request_file",
    "load_truth",
    "parse_kernel",
    "parse_request",
    "parse_truth",
]

Truth = ProcessTruth | KernelTruth

TRUTH, MEMORY, REQUEST = "truth.json", "memory.bin", "request.json"
_FREE_AS_REPORTED = (NOACCESS, 0, 0, 0)


def load_truth(directory: Path) -> ProcessTruth:
    """The truth of a process in ``directory``. Raises TruthError, also for a truth of mode ``kernel``."""
    return parse_truth(*_load(directory))


def load_any_truth(directory: Path) -> Truth:
    """The truth in ``directory``, of either mode. Raises TruthError."""
    document, memory = _load(directory)
    kernel = isinstance(document, dict) and document.get("mode") == "kernel"
    return parse_kernel(document, memory) if kernel else parse_truth(document, memory)


def _load(directory: Path) -> tuple[Any, ByteSource]:
    document = _load_json(directory, TRUTH)
    try:
        return document, ByteSource.open(directory / MEMORY)
    except OSError as error:
        raise TruthError(f"{MEMORY}: cannot be read: {error.strerror}") from error


def load_request(directory: Path) -> RequestTruth | None:
    """The request in ``directory``; None if it holds no request.json. Raises TruthError."""
    return parse_request(_load_json(directory, REQUEST)) if (directory / REQUEST).exists() else None


def load_request_file(path: Path) -> RequestTruth:
    """The request in a file in the format of request.json. Raises TruthError, which names the file."""
    return parse_request(_load_json(path.parent, path.name), path.name)


def parse_request(document: Any, name: str = REQUEST) -> RequestTruth:
    """A request from the JSON value of a request.json. ``name`` is the file in errors. Raises TruthError."""
    return build(RequestTruth, _body(document, name, {"format": "dumptruth-request", "version": 1}), name)


def parse_kernel(document: Any, memory: bytes | ByteSource) -> KernelTruth:
    """The truth of a machine from the JSON value of truth.json and the bytes of memory.bin. Raises TruthError."""
    head = {"format": "dumptruth-truth", "version": 1, "mode": "kernel"}
    return parse_kernel_truth(_body(document, TRUTH, head), _source(memory), TRUTH)


def parse_truth(document: Any, memory: bytes | ByteSource) -> ProcessTruth:
    """The truth of a process from the JSON value of truth.json and the bytes of memory.bin. Raises TruthError."""
    head = {"format": "dumptruth-truth", "version": 1, "mode": "user"}
    truth = build(ProcessTruth, _body(document, TRUTH, head), TRUTH)
    object.__setattr__(truth, "contents", _source(memory))
    _check_regions(truth)
    _check_memory(truth)
    _check_lists(truth)
    return truth


def _source(memory: bytes | ByteSource) -> ByteSource:
    return memory if isinstance(memory, ByteSource) else ByteSource(memory, MEMORY)


def _load_json(directory: Path, name: str) -> Any:
    try:
        return json.loads((directory / name).read_text(encoding="utf-8"))
    except OSError as error:
        raise TruthError(f"{name}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise TruthError(f"{name}: not JSON: {error}") from error


def _body(document: Any, name: str, head: dict[str, Any]) -> dict[str, Any]:
    """The members of the document without those of ``head``, which must have the given values."""
    if not isinstance(document, dict):
        fail(name, "an object", shown(document))
    for member, expected in head.items():
        if member not in document:
            fail(f"{name}.{member}", repr(expected), "none")
        actual = document[member]
        if type(actual) is not type(expected) or actual != expected:
            fail(f"{name}.{member}", repr(expected), shown(actual))
    return {member: value for member, value in document.items() if member not in head}


def _check_regions(truth: ProcessTruth) -> None:
    end = 0
    for index, region in enumerate(truth.regions):
        where = f"{TRUTH}.regions[{index}]"
        if region.base != end:
            fail(f"{where}.base", f"{end:#x}, where the region before ends", f"{region.base:#x}")
        if not region.size or region.size % PAGE_SIZE:
            fail(f"{where}.size", "whole pages", f"{region.size:#x}")
        other = (region.protect, region.type, region.allocation_base, region.allocation_protect)
        if region.state == FREE and other != _FREE_AS_REPORTED:
            fail(where, "protect 1, and all else 0, in a free region", "other values")
        if region.state == RESERVE and region.protect:
            fail(f"{where}.protect", "0 in a reserved region", f"{region.protect:#x}")
        if region.state != FREE and not region.type:
            fail(f"{where}.type", "private, mapped or image memory", "0")
        end = region.end
    top = truth.system.maximum_user_mode_address + 1
    if end != top:
        fail(f"{TRUTH}.regions", f"an end at {top:#x}, maximum_user_mode_address + 1", f"{end:#x}")


def _check_memory(truth: ProcessTruth) -> None:
    _check_runs(truth, "unreadable", [(hole.start, hole.end) for hole in truth.unreadable])
    _check_runs(truth, "memory", [(run.start, run.end) for run in truth.memory])
    readable = list(_readable_runs(truth))
    offset = 0
    for index, run in enumerate(truth.memory):
        where = f"{TRUTH}.memory[{index}]"
        if run.offset != offset:
            fail(f"{where}.offset", f"{offset:#x}, where the run before ends", f"{run.offset:#x}")
        expected = "no run: no more pages are readable" if index >= len(readable) else _span(*readable[index])
        if index >= len(readable) or readable[index] != (run.start, run.end):
            fail(where, expected, _span(run.start, run.end))
        offset += run.size
    if len(truth.memory) < len(readable):
        fail(f"{TRUTH}.memory", f"a run for the readable pages {_span(*readable[len(truth.memory)])}", "none")
    if truth.contents.size != offset:
        fail(MEMORY, f"{offset:#x} bytes, the sum of the runs in truth.json", f"{truth.contents.size:#x}")


def _check_runs(truth: ProcessTruth, member: str, runs: Sequence[tuple[int, int]]) -> None:
    before = -1
    for index, (start, end) in enumerate(runs):
        if start % PAGE_SIZE or end % PAGE_SIZE or end == start or start <= before:
            fail(f"{TRUTH}.{member}[{index}]", "sorted runs of whole pages with gaps between them", _span(start, end))
        before = end
        at = start
        while at < end:
            region = truth.region_at(at)
            if region is None or not region.readable:
                fail(f"{TRUTH}.{member}[{index}]", "pages whose protection allows a read", _span(start, end))
            at = region.end


def _readable_runs(truth: ProcessTruth) -> Iterator[tuple[int, int]]:
    """The maximal runs of pages that are in readable regions and not in ``unreadable``."""
    run: tuple[int, int] | None = None
    holes = [(hole.start, hole.end) for hole in reversed(truth.unreadable)]
    for region in truth.regions:
        if not region.readable:
            continue
        at = region.base
        while at < region.end:
            while holes and holes[-1][1] <= at:
                holes.pop()
            if holes and holes[-1][0] <= at:
                at = holes[-1][1]
                continue
            end = min(region.end, holes[-1][0]) if holes else region.end
            if run is not None and run[1] == at:
                run = (run[0], end)
            else:
                if run is not None:
                    yield run
                run = (at, end)
            at = end
    if run is not None:
        yield run


def _check_lists(truth: ProcessTruth) -> None:
    contexts = [(f"threads[{index}]", thread.context) for index, thread in enumerate(truth.threads)]
    if truth.exception is not None:
        contexts.append(("exception", truth.exception.context))
        if truth.thread(truth.exception.thread_id) is None:
            fail(f"{TRUTH}.exception.thread_id", "a thread of the process", str(truth.exception.thread_id))
    system = truth.system
    if system.xstate is not None:
        system.xstate.check(f"{TRUTH}.system.xstate")
    for where, context in contexts:
        context.check(system.architecture, system.xstate, f"{TRUTH}.{where}.context")
    _check_processor(system)
    check_function_tables(truth.function_tables or (), system.architecture, f"{TRUTH}.function_tables")
    check_tokens(truth.tokens or (), f"{TRUTH}.tokens")
    _check_unique([thread.thread_id for thread in truth.threads], "threads", "thread_id")
    bases = [module.base for module in truth.modules]
    _check_unique(bases, "modules", "base")
    check_image_files(truth.image_files, bases, "module", f"{TRUTH}.image_files")
    for index, thread in enumerate(truth.threads):
        if thread.stack_limit > thread.stack_base:
            fail(f"{TRUTH}.threads[{index}].stack_limit", "at most stack_base", f"{thread.stack_limit:#x}")
    for index in range(1, len(truth.handles)):
        before, value = truth.handles[index - 1].value, truth.handles[index].value
        if value <= before:
            fail(f"{TRUTH}.handles[{index}].value", f"more than {before}, the value before", str(value))


def _check_processor(system: SystemTruth) -> None:
    """An x86 target has ``x86_cpu``; targets of other architectures have ``processor_features``."""
    x86 = system.architecture == "x86"
    for name, due in (("processor_features", not x86), ("x86_cpu", x86)):
        there = getattr(system, name) is not None
        if there != due:
            expected = f"{'a value' if due else 'null'} on {system.architecture}"
            fail(f"{TRUTH}.system.{name}", expected, "a value" if there else "null")
    vendor = None if system.x86_cpu is None else system.x86_cpu.vendor_id
    if vendor is not None and (len(vendor) != 12 or not vendor.isascii()):
        fail(f"{TRUTH}.system.x86_cpu.vendor_id", "12 ASCII characters", shown(vendor))


def _check_unique(values: list[int], member: str, key: str) -> None:
    seen: set[int] = set()
    for index, value in enumerate(values):
        if value in seen:
            fail(f"{TRUTH}.{member}[{index}].{key}", "a unique value", f"{value:#x} again")
        seen.add(value)


def _span(start: int, end: int) -> str:
    return f"{start:#x}..{end:#x}"
