"""Judges the replay of a dump with full memory: it must raise the same exception."""

from __future__ import annotations

from ...case import Case
from ...model import Grade, Level, Source
from ...rule import Checks, bad, ok, rule

# minidumpapiset.h MiniDumpWithFullMemory, MiniDumpFilterMemory | MiniDumpFilterTriage. Filtered memory cannot run.
_FULL_MEMORY, _FILTERED = 0x2, 0x8 | 0x100000


def _can_replay(case: Case) -> bool:
    return (
        case.replay is not None
        and case.dump.exception is not None
        and bool(case.dump.flags & _FULL_MEMORY)
        and not case.dump.flags & _FILTERED
        and 9 in case.dump.streams
    )


@rule(
    "XCUT-REPLAY-001",
    "Replaying the dump raises the same exception",
    Level.MUST,
    Source("docs/format/minidump-exception.md#exception-address", Grade.DOCUMENTED),
    needs=("memory", "memory_info", "exception", "exception.context"),
    applies=_can_replay,
)
def replay(case: Case) -> Checks:
    """A fresh machine is loaded with the memory and the exception's context of the dump, and runs. It must raise the
    same exception at the same address with the same parameters. This proves that registers, memory and regions belong
    together, which no comparison of single fields can prove.
    """
    dump, replayer = case.dump, case.replay
    assert replayer is not None
    assert dump.exception is not None
    record = dump.exception.record
    outcome = replayer(dump)
    if outcome.unable is not None:
        dump.budget.leave("replay", outcome.unable, 0, 1)
        return
    if outcome.error is not None:
        yield bad("replay", "the dump can be loaded and run", outcome.error, dump.exception.record.span)
        return
    count = min(record["ExceptionRecord.NumberParameters"], 15)
    pairs = {
        "ExceptionCode": (record["ExceptionRecord.ExceptionCode"], outcome.code),
        "ExceptionAddress": (record["ExceptionRecord.ExceptionAddress"], outcome.address),
    }
    for name, (stored, met) in pairs.items():
        if stored == met:
            yield ok(f"replay, {name}")
        else:
            actual = "no exception" if met is None else f"{met:#x}"
            yield bad(f"replay, {name}", f"{stored:#x}", actual, record.span_of(f"ExceptionRecord.{name}"))
    information = record.array("ExceptionRecord.ExceptionInformation")[:count]
    if information == tuple(outcome.information):
        yield ok("replay, ExceptionInformation", count=max(count, 1))
    elif outcome.code is not None:
        yield bad(
            "replay, ExceptionInformation",
            " ".join(f"{value:#x}" for value in information) or "none",
            " ".join(f"{value:#x}" for value in outcome.information) or "none",
            record.span_of("ExceptionRecord.ExceptionInformation"),
        )
