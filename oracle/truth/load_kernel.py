"""Loads truths of mode ``kernel``, and checks that they are consistent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..memory.page import PAGE_SIZE
from ..memory.source import ByteSource
from .context import check_registers
from .document import check_size
from .kernel import KernelTruth, PageRunTruth, TouchedRunTruth
from .members import Misfit, build, fail
from .objects import check_image_files
from .stacks import check_kernel_stacks

_MAX_PFN = 1 << 40  # amd64: 52 bits of physical address


def parse_kernel_truth(members: dict[str, Any], memory: ByteSource, name: str) -> KernelTruth:
    """A truth from the members of truth.json without its head, and from memory.bin. Raises TruthError.

    ``name`` is the file in errors.
    """
    truth = build(KernelTruth, members, name)
    object.__setattr__(truth, "contents", memory)
    _check_runs(truth, name)
    _check_lists(truth, name)
    check_size(memory, sum(run.page_count for run in truth.memory) * PAGE_SIZE)
    return truth


def _check_runs(truth: KernelTruth, name: str) -> None:
    _check_sorted(truth.physical_runs, f"{name}.physical_runs")
    if not truth.physical_runs:
        fail(f"{name}.physical_runs", "at least one run", "none")
    _check_sorted(truth.memory, f"{name}.memory")
    offset = 0
    for index, run in enumerate(truth.memory):
        if run.offset != offset:
            where = f"{name}.memory[{index}].offset"
            fail(where, f"{offset:#x}, where the run before ends", f"{run.offset:#x}")
        offset += run.page_count * PAGE_SIZE
    _check_inside(truth, truth.memory, f"{name}.memory")
    for member in ("free_pages", "standby_pages", "unreadable_pages"):
        runs: tuple[PageRunTruth, ...] = getattr(truth, member)
        _check_sorted(runs, f"{name}.{member}")
        _check_inside(truth, runs, f"{name}.{member}")
    _check_sorted(truth.added_pages, f"{name}.added_pages")


def _check_sorted(runs: Sequence[PageRunTruth | TouchedRunTruth], where: str) -> None:
    before = -1
    for index, run in enumerate(runs):
        if not run.page_count or run.base_page <= before or run.end_page > _MAX_PFN:
            shown = f"{run.base_page:#x}, {run.page_count:#x} pages"
            fail(f"{where}[{index}]", "sorted runs of pages with gaps between them, below 2^52 bytes", shown)
        before = run.end_page


def _check_inside(truth: KernelTruth, runs: Sequence[PageRunTruth | TouchedRunTruth], where: str) -> None:
    for index, run in enumerate(runs):
        if not truth.ram.covers(run.base_page, run.end_page):
            fail(f"{where}[{index}]", "pages of physical_runs", f"{run.base_page:#x}, {run.page_count:#x} pages")


def _check_lists(truth: KernelTruth, name: str) -> None:
    if not truth.processors or truth.crashing_processor >= len(truth.processors):
        expected = f"an index into the {len(truth.processors)} processors"
        fail(f"{name}.crashing_processor", expected, str(truth.crashing_processor))
    for index, processor in enumerate(truth.processors):
        where = f"{name}.processors[{index}]"
        try:
            check_registers(processor.context.registers, truth.system.architecture)
        except Misfit as misfit:
            fail(f"{where}.context{misfit.where}", misfit.expected, misfit.found)
        if processor.number != index:
            fail(f"{where}.number", str(index), str(processor.number))
    roots = {"directory_table_base": truth.directory_table_base}
    roots["system_directory_table_base"] = truth.system_directory_table_base
    for member, root in roots.items():
        if root % PAGE_SIZE or root // PAGE_SIZE not in truth.ram:
            fail(f"{name}.{member}", "the address of a page of RAM", f"{root:#x}")
    bases = [driver.base for driver in truth.drivers]
    check_image_files(truth.image_files, bases, "driver", f"{name}.image_files")
    if not truth.drivers:
        fail(f"{name}.drivers", "the kernel at least", "none")
    check_kernel_stacks(truth.stacks or (), len(truth.processors), f"{name}.stacks")
