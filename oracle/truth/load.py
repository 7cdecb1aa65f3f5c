"""Loads truths and requests (docs/truth-format.md), and checks that they are consistent.

In the truth of a process the regions leave no gap, and the runs of memory.bin are exactly the pages that a debugger can
read. Anything else raises ``TruthError``: one line with the file, the member, what was expected, what was found.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from ..memory.page import PAGE_SIZE
from ..memory.source import ByteSource
from .context import ContextTruth
from .document import MEMORY, check_size, load_json, open_memory, without_collector
from .kernel import KernelTruth
from .load_kernel import parse_kernel_truth
from .members import Misfit, TruthError, build, fail, shown
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
from .stacks import check_thread_stacks

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
T = TypeVar("T")

TRUTH, REQUEST = "truth.json", "request.json"
_FREE_AS_REPORTED = (NOACCESS, 0, 0, 0)
_FREE_TEXT = "protect 1, and all else 0, in a free region"


@without_collector()
def load_truth(directory: Path) -> ProcessTruth:
    """The truth of a process in ``directory``. Raises TruthError, also for a truth of mode ``kernel``."""
    return _with_memory(directory, parse_truth, load_json(directory / TRUTH))


@without_collector()
def load_any_truth(directory: Path) -> Truth:
    """The truth in ``directory``, of either mode. Raises TruthError."""
    document = load_json(directory / TRUTH)
    kernel = isinstance(document, dict) and document.get("mode") == "kernel"
    parse: Callable[[Any, ByteSource], Truth] = parse_kernel if kernel else parse_truth
    return _with_memory(directory, parse, document)


def _with_memory(directory: Path, parse: Callable[[Any, ByteSource], T], document: Any) -> T:
    memory = open_memory(directory / MEMORY)
    try:
        return parse(document, memory)
    except TruthError:
        memory.close()
        raise


def load_request(directory: Path) -> RequestTruth | None:
    """The request in ``directory``; None if it holds no request.json. Raises TruthError."""
    path = directory / REQUEST
    return load_request_file(path) if os.path.lexists(path) else None


def load_request_file(path: Path) -> RequestTruth:
    """The request in a file in the format of request.json. Raises TruthError, which names the file."""
    return parse_request(load_json(path), path.name)


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
    check_size(truth.contents, sum(run.size for run in truth.memory))
    return truth


def _source(memory: bytes | ByteSource) -> ByteSource:
    return memory if isinstance(memory, ByteSource) else ByteSource(memory, MEMORY)


def _body(document: Any, name: str, head: dict[str, Any]) -> dict[str, Any]:
    """The members of the document without those of ``head``, which must have the given values."""
    if not isinstance(document, dict):
        fail(name, "an object", shown(document))
    for key, expected in head.items():
        if key not in document:
            fail(f"{name}.{key}", repr(expected), "none")
        actual = document[key]
        if type(actual) is not type(expected) or actual != expected:
            fail(f"{name}.{key}", repr(expected), shown(actual))
    return {key: value for key, value in document.items() if key not in head}


def _check_regions(truth: ProcessTruth) -> None:
    end = 0
    for index, region in enumerate(truth.regions):
        misfit = _misfit(region, end)
        if misfit is not None:
            fail(f"{TRUTH}.regions[{index}]{misfit.where}", misfit.expected, misfit.found)
        end = region.end
    top = truth.system.maximum_user_mode_address + 1
    if end != top:
        fail(f"{TRUTH}.regions", f"an end at {top:#x}, maximum_user_mode_address + 1", f"{end:#x}")


def _misfit(region: RegionTruth, end: int) -> Misfit | None:
    """What is wrong with a region that follows one with that end."""
    if region.base != end:
        return Misfit(f"{end:#x}, where the region before ends", f"{region.base:#x}", ".base")
    if not region.size or region.size % PAGE_SIZE:
        return Misfit("whole pages", f"{region.size:#x}", ".size")
    if region.state == FREE:
        other = (region.protect, region.type, region.allocation_base, region.allocation_protect)
        return None if other == _FREE_AS_REPORTED else Misfit(_FREE_TEXT, "other values")
    if region.state == RESERVE and region.protect:
        return Misfit("0 in a reserved region", f"{region.protect:#x}", ".protect")
    return None if region.type else Misfit("private, mapped or image memory", "0", ".type")


def _check_memory(truth: ProcessTruth) -> None:
    _check_runs(truth, "unreadable", [(hole.start, hole.end) for hole in truth.unreadable])
    _check_runs(truth, "memory", [(run.start, run.end) for run in truth.memory])
    readable = list(_readable_runs(truth))
    offset = 0
    for index, run in enumerate(truth.memory):
        if run.offset != offset:
            where = f"{TRUTH}.memory[{index}].offset"
            fail(where, f"{offset:#x}, where the run before ends", f"{run.offset:#x}")
        if index >= len(readable) or readable[index] != (run.start, run.end):
            expected = "no run: no more pages are readable" if index >= len(readable) else _span(*readable[index])
            fail(f"{TRUTH}.memory[{index}]", expected, _span(run.start, run.end))
        offset += run.size
    if len(truth.memory) < len(readable):
        fail(f"{TRUTH}.memory", f"a run for the readable pages {_span(*readable[len(truth.memory)])}", "none")


def _check_runs(truth: ProcessTruth, key: str, runs: Sequence[tuple[int, int]]) -> None:
    """``runs`` are sorted pages of readable regions. They and the regions are walked side by side."""
    regions, at, before = truth.regions, 0, -1
    for index, (start, end) in enumerate(runs):
        if start % PAGE_SIZE or end % PAGE_SIZE or end == start or start <= before:
            fail(f"{TRUTH}.{key}[{index}]", "sorted runs of whole pages with gaps between them", _span(start, end))
        before = end
        while at < len(regions) and regions[at].end <= start:
            at += 1
        inside = start
        while inside < end:
            if at == len(regions) or not regions[at].readable:
                fail(f"{TRUTH}.{key}[{index}]", "pages whose protection allows a read", _span(start, end))
            inside = regions[at].end
            at += inside < end


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
    system = truth.system
    if truth.exception is not None and truth.thread(truth.exception.thread_id) is None:
        fail(f"{TRUTH}.exception.thread_id", "a thread of the process", str(truth.exception.thread_id))
    if system.xstate is not None:
        system.xstate.check(f"{TRUTH}.system.xstate")
    contexts = [thread.context for thread in truth.threads]
    if truth.exception is not None:
        contexts.append(truth.exception.context)
    for index, context in enumerate(contexts):
        try:
            context.check(system.architecture, system.xstate)
        except Misfit as misfit:
            where = f"threads[{index}]" if index < len(truth.threads) else "exception"
            fail(f"{TRUTH}.{where}.context{misfit.where}", misfit.expected, misfit.found)
    _check_processor(system)
    check_function_tables(truth.function_tables or (), system.architecture, f"{TRUTH}.function_tables")
    check_tokens(truth.tokens or (), f"{TRUTH}.tokens")
    check_thread_stacks(truth.stacks or (), (thread.thread_id for thread in truth.threads), f"{TRUTH}.stacks")
    _check_unique([thread.thread_id for thread in truth.threads], "threads", "thread_id")
    bases = [module.base for module in truth.modules]
    _check_unique(bases, "modules", "base")
    check_image_files(truth.image_files, bases, "module", f"{TRUTH}.image_files")
    for index, thread in enumerate(truth.threads):
        if thread.stack_limit > thread.stack_base:
            fail(f"{TRUTH}.threads[{index}].stack_limit", "at most stack_base", f"{thread.stack_limit:#x}")
    for index, (before, handle) in enumerate(pairwise(truth.handles), 1):
        if handle.value <= before.value:
            where = f"{TRUTH}.handles[{index}].value"
            fail(where, f"more than {before.value}, the value before", str(handle.value))


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


def _check_unique(values: list[int], among: str, key: str) -> None:
    seen: set[int] = set()
    for index, value in enumerate(values):
        if value in seen:
            fail(f"{TRUTH}.{among}[{index}].{key}", "a unique value", f"{value:#x} again")
        seen.add(value)


def _span(start: int, end: int) -> str:
    return f"{start:#x}..{end:#x}"
