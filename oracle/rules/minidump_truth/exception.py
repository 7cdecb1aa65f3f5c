"""Judges the Exception stream against truth."""

from __future__ import annotations

from ...case import Case
from ...model import Grade, Level, Source, Span
from ...rule import Checks, bad, ok, rule
from ..asserts import left_to_writer, same, tail_left_to_writer

_RECORD = Source("docs/format/minidump-exception.md#exception-record", Grade.WITNESSED, versions=("15063", "29507"))
_PREFIX = "ExceptionRecord."


def _both(case: Case) -> bool:
    return case.truth is not None and case.truth.exception is not None


@rule(
    "TRUE-EXCEPTION-001",
    "The exception names the thread that raised it",
    Level.MUST,
    _RECORD,
    needs=("exception",),
    applies=_both,
)
def exception_thread(case: Case) -> Checks:
    """Debuggers make this thread the current one."""
    truth, fact = case.truth, case.dump.exception
    assert truth is not None
    assert truth.exception is not None
    if fact is not None:
        yield from same(fact.record, "exception", {"ThreadId": truth.exception.thread_id})


@rule(
    "TRUE-EXCEPTION-002",
    "The exception record is that of the target's last event",
    Level.MUST,
    _RECORD,
    needs=("exception",),
    applies=_both,
)
def exception_record(case: Case) -> Checks:
    """Code, flags, nested record and address are equal. !analyze starts from them."""
    truth, fact = case.truth, case.dump.exception
    assert truth is not None
    assert truth.exception is not None
    if fact is not None:
        expected = {
            "ExceptionCode": truth.exception.code,
            "ExceptionFlags": truth.exception.flags,
            "ExceptionRecord": truth.exception.record,
            "ExceptionAddress": truth.exception.address,
        }
        yield from same(fact.record, "exception", {f"{_PREFIX}{name}": value for name, value in expected.items()})


@rule(
    "TRUE-EXCEPTION-003",
    "The exception has its parameters",
    Level.MUST,
    Source("docs/format/minidump-exception.md#parameters", Grade.DOCUMENTED),
    needs=("exception",),
    applies=_both,
)
def exception_parameters(case: Case) -> Checks:
    """An access violation has two: 0 read, 1 write or 8 execute, and the address. Real files hold arbitrary bytes in
    the slots from NumberParameters on and in the padding.
    """
    truth, fact = case.truth, case.dump.exception
    assert truth is not None
    assert truth.exception is not None
    if fact is None:
        return
    record, information = fact.record, truth.exception.information
    yield from same(record, "exception", {f"{_PREFIX}NumberParameters": len(information)})
    name = f"{_PREFIX}ExceptionInformation"
    wrong = [
        f"[{index}] {actual:#x} instead of {value:#x}"
        for index, (actual, value) in enumerate(zip(record.array(name), information, strict=False))
        if actual != value
    ]
    place = record.span_of(name)
    if wrong:
        shown = " ".join(f"{value:#x}" for value in information)
        yield bad(f"exception, {name}", shown, ", ".join(wrong), place)
    else:
        yield ok(f"exception, {name}", count=max(1, len(information)))
    unused = Span(place.start + 8 * len(information), place.end)
    tail_left_to_writer(case, unused, f"{name}: unused slots (docs/format/minidump-exception.md#parameters)")
    left_to_writer(case, record, ("__alignment", f"{_PREFIX}__unusedAlignment"), "padding")
