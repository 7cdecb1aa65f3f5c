"""Targets with data for each flag of user minidumps, and the ranges that a plan gives them."""

from __future__ import annotations

from dumptruth.emu.constants import FormatFlag
from dumptruth.emu.plan.ranges import Range, subtract
from dumptruth.emu.plan.user import Plan, plan_user
from dumptruth.emu.request import Contract, Request, Session
from dumptruth.emu.snapshot.process import ProcessSnapshot
from dumptruth.emu.synthetic.flag_process import flag_target

SMALL = 1024
ARCHITECTURES = ("amd64", "x86", "arm64")
TARGETS = {architecture: flag_target(architecture) for architecture in ARCHITECTURES}
READABLE = {architecture: flag_target(architecture, unreadable=False) for architecture in ARCHITECTURES}

FULL_MEMORY = FormatFlag.DEBUG_FORMAT_USER_SMALL_FULL_MEMORY
INDIRECT_MEMORY = FormatFlag.DEBUG_FORMAT_USER_SMALL_INDIRECT_MEMORY
DATA_SEGMENTS = FormatFlag.DEBUG_FORMAT_USER_SMALL_DATA_SEGMENTS
CODE_SEGMENTS = FormatFlag.DEBUG_FORMAT_USER_SMALL_CODE_SEGMENTS
MODULE_HEADERS = FormatFlag.DEBUG_FORMAT_USER_SMALL_MODULE_HEADERS
PROCESS_THREAD_DATA = FormatFlag.DEBUG_FORMAT_USER_SMALL_PROCESS_THREAD_DATA
PRIVATE_READ_WRITE = FormatFlag.DEBUG_FORMAT_USER_SMALL_PRIVATE_READ_WRITE_MEMORY
NO_OPTIONAL_DATA = FormatFlag.DEBUG_FORMAT_USER_SMALL_NO_OPTIONAL_DATA
FILTER_TRIAGE = FormatFlag.DEBUG_FORMAT_USER_SMALL_FILTER_TRIAGE
IGNORE = FormatFlag.DEBUG_FORMAT_USER_SMALL_IGNORE_INACCESSIBLE_MEM
NO_IGNORE = FormatFlag.DEBUG_FORMAT_USER_SMALL_NO_IGNORE_INACCESSIBLE_MEM
SCAN = FormatFlag.DEBUG_FORMAT_USER_SMALL_SCAN_PARTIAL_PAGES

TEXT, RDATA, DATA, SHARED = 0x1000, 0x3000, 0x4000, 0x8000  # RVAs of the images' sections
SHARED_USER_DATA = (0x7FFE0000, 0x7FFE0AA0)


def plan(target: ProcessSnapshot, flags: int = 0, contract: str = "documented", session: str = "live") -> Plan:
    request = Request(SMALL, flags, contract=Contract(contract), session=Session(session))
    return plan_user(target, request)


def ranges(made: Plan) -> list[Range]:
    """The ranges by address."""
    return sorted((planned.start, planned.end) for planned in made.ranges)


def added(target: ProcessSnapshot, flags: int) -> list[Range]:
    """The ranges that the flags add to a dump without flags."""
    return subtract(ranges(plan(target, flags)), ranges(plan(target)))


def beside(target: ProcessSnapshot, wanted: list[Range]) -> list[Range]:
    """The part of ``wanted`` that a dump without flags does not hold."""
    return subtract(wanted, ranges(plan(target)))


def readable(target: ProcessSnapshot) -> list[Range]:
    return [(run.start, run.end) for run in target.memory]


def of(start: int, *sizes: tuple[int, int]) -> list[Range]:
    """Ranges from offsets to ``start`` and sizes."""
    return [(start + offset, start + offset + size) for offset, size in sizes]
