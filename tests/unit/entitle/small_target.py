"""A hand-made target, and requests for dumps of it."""

from __future__ import annotations

from dataclasses import replace

from dumptruth.oracle import ByteSource
from dumptruth.oracle.truth.context import ThreadContextTruth
from dumptruth.oracle.truth.process import (
    ExceptionTruth,
    HandleTruth,
    ModuleTruth,
    ProcessFacts,
    ProcessTruth,
    RegionTruth,
    RequestTruth,
    RunTruth,
    SectionTruth,
    SystemTruth,
    ThreadTruth,
    UnloadedModuleTruth,
    UnreadableTruth,
    VmTruth,
)
from dumptruth.oracle.truth.region import COMMIT, FREE, IMAGE, PRIVATE, RESERVE

SMALL, DEFAULT, FULL = 1024, 1025, 1026
CODE, STACK, HEAP, TOP = 0x140000000, 0x10000, 0x30000, 0x200000000


def request(
    qualifier: int = SMALL,
    flags: int = 0,
    *,
    comment: str | None = None,
    profile: str = "modern",
    contract: str = "documented",
    session: str = "live",
) -> RequestTruth:
    return RequestTruth("", qualifier, (), flags, comment, profile, "a.dmp", (), contract, session)


def context(ip: int, sp: int) -> ThreadContextTruth:
    return ThreadContextTruth(0x10001F, {"Rip": ip, "Rsp": sp}, bytes(512))


def thread(number: int, ip: int, sp: int, name: str | None = None) -> ThreadTruth:
    return ThreadTruth(
        number, 1, 32, 0, 0x50000, STACK + 0x4000, STACK + 0x2000, name, 0, 0, 259, 0, 0, 0, 1, "", context(ip, sp)
    )


REGIONS = (
    RegionTruth(0, STACK, 0, 0, FREE, 1, 0),
    RegionTruth(STACK, 0x1000, STACK, 4, RESERVE, 0, PRIVATE),
    RegionTruth(STACK + 0x1000, 0x1000, STACK, 4, COMMIT, 0x104, PRIVATE),
    RegionTruth(STACK + 0x2000, 0x2000, STACK, 4, COMMIT, 4, PRIVATE),
    RegionTruth(STACK + 0x4000, HEAP - STACK - 0x4000, 0, 0, FREE, 1, 0),
    RegionTruth(HEAP, 0x30000, HEAP, 4, COMMIT, 4, PRIVATE),
    RegionTruth(HEAP + 0x30000, CODE - HEAP - 0x30000, 0, 0, FREE, 1, 0),
    RegionTruth(CODE, 0x1000, CODE, 0x80, COMMIT, 2, IMAGE),
    RegionTruth(CODE + 0x1000, 0x1000, CODE, 0x80, COMMIT, 0x20, IMAGE),
    RegionTruth(CODE + 0x2000, 0x1000, CODE, 0x80, COMMIT, 4, IMAGE),
    RegionTruth(CODE + 0x3000, TOP - CODE - 0x3000, 0, 0, FREE, 1, 0),
)
SECTIONS = (
    SectionTruth(".text", 0x1000, 0x123, 0x60000020),
    SectionTruth(".data", 0x2000, 0x45, 0xC0000040),
    SectionTruth(".pdata", 0x2100, 0x18, 0x40000040),
)


def target(
    *,
    threads: tuple[ThreadTruth, ...] = (thread(8, CODE + 0x1040, STACK + 0x3F00),),
    exception: int | None = None,
    unreadable: tuple[UnreadableTruth, ...] = (),
    unloaded: tuple[UnloadedModuleTruth, ...] = (),
    words: dict[int, int] | None = None,
) -> ProcessTruth:
    runs: list[RunTruth] = []
    contents, last = bytearray(), -1
    for region in REGIONS:
        if not region.readable:
            continue
        for page in range(region.base, region.end, 0x1000):
            if any(hole.start <= page < hole.end for hole in unreadable):
                continue
            if last == page:
                runs[-1] = RunTruth(runs[-1].start, runs[-1].size + 0x1000, runs[-1].offset)
            else:
                runs.append(RunTruth(page, 0x1000, len(contents)))
            contents += bytes(0x1000)
            last = page + 0x1000
    truth = ProcessTruth(
        "",
        SystemTruth(
            "amd64", 6, 0, 1, 1, 10, 0, 19045, "", 0, (0, 0), "", 0, 0, "", "", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
        ),
        ProcessFacts(1, 0, 0, 0, 0, 0, 0, 0, 0, "", VmTruth(*[0] * 14)),
        0,
        "",
        threads,
        (ModuleTruth(CODE, 0x3000, 0, 0, "a.exe", None, None, 0, 0x400, SECTIONS),),
        unloaded,
        REGIONS,
        tuple(runs),
        unreadable,
        (HandleTruth(4, "Event", None, 0, 0, 1, 1),),
        ExceptionTruth(8, 0xC0000005, 0, 0, exception, (), True, context(exception, 0))
        if exception is not None
        else None,
    )
    for address, word in (words or {}).items():
        run = next(run for run in runs if run.start <= address < run.end)
        at = run.offset + address - run.start
        contents[at : at + 8] = word.to_bytes(8, "little")
    object.__setattr__(truth, "contents", ByteSource(bytes(contents)))
    return truth


def having(truth: ProcessTruth, **members: object) -> ProcessTruth:
    """The truth with other members and the same memory."""
    changed: ProcessTruth = replace(truth, **members)  # type: ignore[arg-type]
    object.__setattr__(changed, "contents", truth.contents)
    return changed
