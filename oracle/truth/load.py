"""Loads truths and requests (docs/truth-format.md), and checks that they are consistent.

In the truth of a process the regions leave no gap, and the runs of memory.bin are exactly the pages that a debugger can
read. Anything else raises ``TruthError``: one line with the file, the member, what was expected, what was found.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

from ..memory.page import PAGE_SIZE
from ..memory.source import ByteSource
from . import layouts
from .context import ContextTruth
from .document import MEMORY, check_size, file_bytes, load_json, open_memory, parse_bytes, without_collector
from .kernel import KernelTruth
from .load_kernel import parse_kernel_truth
from .members import Array, Misfit, TruthError, build, fail, object_reader, shown
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
from .region import COMMIT, FREE, NOACCESS, RESERVE
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
_KERNEL_HEAD = re.compile(rb'[^\[\]]{,4096}?"mode"\s*:\s*"kernel"')
_FREE_AS_REPORTED = (NOACCESS, 0, 0, 0)
_FREE_TEXT = "protect 1, and all else 0, in a free region"


@without_collector()
def load_truth(directory: Path) -> ProcessTruth:
    """The truth of a process in ``directory``. Raises TruthError, also for a truth of mode ``kernel``."""
    return _with_memory(directory, parse_truth, _truth_document(directory / TRUTH))


@without_collector()
def load_any_truth(directory: Path) -> Truth:
    """The truth in ``directory``, of either mode. Raises TruthError."""
    document = _truth_document(directory / TRUTH)
    kernel = isinstance(document, dict) and document.get("mode") == "kernel"
    parse: Callable[[Any, ByteSource], Truth] = parse_kernel if kernel else parse_truth
    return _with_memory(directory, parse, document)


def _truth_document(path: Path) -> Any:
    """The JSON value of truth.json. Long arrays in it are Rows."""
    data = file_bytes(path)
    if len(data) >= layouts.LONG:
        cls = KernelTruth if _KERNEL_HEAD.match(data) else ProcessTruth
        plan = object_reader(cls).plan
        arrays = {member: reader for member, (reader, _) in plan.items() if isinstance(reader, Array)}
        try:
            return layouts.parse_long(data, path.name, arrays)
        except (layouts.Unlike, TruthError):
            pass  # told, with its place in the file, by the reader of single values
    return parse_bytes(data, path.name)


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
    sound: set[tuple[int, ...]] = set()
    for index, region in enumerate(truth.regions):
        # Of these values there are few, so each set of them is checked once.
        allocation = (region.allocation_base, region.allocation_protect) if region.state == FREE else ()
        values = (region.size % PAGE_SIZE, region.state, region.protect, region.type, *allocation)
        if region.base != end or not region.size or values not in sound:
            misfit = _misfit(region, end)
            if misfit is not None:
                fail(f"{TRUTH}.regions[{index}]{misfit.where}", misfit.expected, misfit.found)
            sound.add(values)
        end += region.size
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
    allowed = list(_allowed(truth))
    holes = [(hole.start, hole.start + hole.size) for hole in truth.unreadable]
    _check_runs(allowed, "unreadable", holes)
    readable = list(_without(allowed, holes))
    runs = [(run.start, run.start + run.size) for run in truth.memory]
    if runs != readable:
        _check_runs(allowed, "memory", runs)
    offset = 0
    for index, run in enumerate(truth.memory):
        if run.offset != offset:
            where = f"{TRUTH}.memory[{index}].offset"
            fail(where, f"{offset:#x}, where the run before ends", f"{run.offset:#x}")
        if index >= len(readable) or readable[index] != runs[index]:
            expected = "no run: no more pages are readable" if index >= len(readable) else _span(*readable[index])
            fail(f"{TRUTH}.memory[{index}]", expected, _span(*runs[index]))
        offset += run.size
    if len(runs) < len(readable):
        fail(f"{TRUTH}.memory", f"a run for the readable pages {_span(*readable[len(runs)])}", "none")


def _allowed(truth: ProcessTruth) -> Iterator[tuple[int, int]]:
    """The maximal runs of pages whose protection allows a read."""
    start = end = 0
    for region in truth.regions:
        if region.state == COMMIT and region.readable:
            if region.base != end:
                if start < end:
                    yield start, end
                start = region.base
            end = region.base + region.size
    if start < end:
        yield start, end


def _check_runs(allowed: Sequence[tuple[int, int]], key: str, runs: Sequence[tuple[int, int]]) -> None:
    """``runs`` are sorted pages of ``allowed``. Both are walked side by side."""
    at, before = 0, -1
    for index, (start, end) in enumerate(runs):
        if start % PAGE_SIZE or end % PAGE_SIZE or end == start or start <= before:
            fail(f"{TRUTH}.{key}[{index}]", "sorted runs of whole pages with gaps between them", _span(start, end))
        before = end
        while at < len(allowed) and allowed[at][1] <= start:
            at += 1
        if at == len(allowed) or start < allowed[at][0] or end > allowed[at][1]:
            fail(f"{TRUTH}.{key}[{index}]", "pages whose protection allows a read", _span(start, end))


def _without(allowed: Sequence[tuple[int, int]], holes: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The parts of ``allowed`` between the holes, which are inside of it."""
    if not holes:
        yield from allowed
        return
    left = iter(holes)
    hole = next(left, None)
    for start, end in allowed:
        at = start
        while hole is not None and hole[0] < end:
            if at < hole[0]:
                yield at, hole[0]
            at, hole = hole[1], next(left, None)
        if at < end:
            yield at, end


def _check_lists(truth: ProcessTruth) -> None:
    system = truth.system
    if truth.exception is not None and truth.thread(truth.exception.thread_id) is None:
        fail(f"{TRUTH}.exception.thread_id", "a thread of the process", str(truth.exception.thread_id))
    if system.xstate is not None:
        system.xstate.check(f"{TRUTH}.system.xstate")
    contexts = [thread.context for thread in truth.threads]
    if truth.exception is not None:
        contexts.append(truth.exception.context)
    alike = {id(like): (index, like) for index, like in reversed([*enumerate(context.like for context in contexts)])}
    for index, like in sorted(alike.values(), key=itemgetter(0)):
        try:
            like.check(system.architecture, system.xstate)
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
