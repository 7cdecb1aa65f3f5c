"""A complete dump can be brought back to life, and meets the same fault."""

from __future__ import annotations

from typing import Final, NamedTuple

from ...case import KernelCase
from ...entitlement.kernel import Kind
from ...model import Grade, Level, Source
from ...readers.kernel_dump import COMPLETE, FULL
from ...rule import Checks, bad, kernel_rule, ok
from .asserts import asked_kind, header_of


class Expected(NamedTuple):
    """The processor's exception behind a bug check."""

    vectors: tuple[int, ...]
    """Either of them: one NTSTATUS can stand for several."""
    address: int | None
    """Of the faulting instruction."""
    referenced: int | None
    """What Cr2 has to be."""
    operation: int | None = None
    """What W/R (bit 1) and I/D (bit 4) of a page fault's error code have to be; None: the bug check does not tell."""


_PAGE_FAULT: Final = 14
_FAST_FAIL: Final = 0x29
"""int 29h: learn.microsoft.com __fastfail."""
_WRITE: Final = 0x2
_FETCH: Final = 0x10
"""Bits of a page fault's error code (Intel SDM volume 3, 4.7)."""
# Of 0x0A and 0xD1 the third parameter: bit 0 a write, bit 3 (0xD1: also the value 2) an execution.
_OPERATION: Final = {0: 0, 1: _WRITE, 2: _FETCH, 8: _FETCH}
# Of 0x50 the second: 2 a write and 0x10 an execution from version 1507 on, 1 a write before.
_OPERATION_50: Final = {0: 0, 1: _WRITE, 2: _WRITE, 0x10: _FETCH}
_VECTORS: Final = {  # ntstatus.h -> vectors of the Intel SDM, volume 3, 6.3.1
    0xC0000005: (14, 13),  # STATUS_ACCESS_VIOLATION: a non-canonical address is a general protection fault
    0xC0000094: (0,),  # STATUS_INTEGER_DIVIDE_BY_ZERO
    0xC0000095: (0,),  # STATUS_INTEGER_OVERFLOW: of a division
    0xC000001D: (6,),  # STATUS_ILLEGAL_INSTRUCTION
    0xC0000096: (13,),  # STATUS_PRIVILEGED_INSTRUCTION
    0x80000003: (3,),  # STATUS_BREAKPOINT
    0x80000004: (1,),  # STATUS_SINGLE_STEP
}


def expected_fault(code: int, parameters: tuple[int, int, int, int]) -> Expected | None:
    """What a bug check's parameters tell of the fault behind it; None for a bug check that has none.

    Source: learn.microsoft.com, Bug Check Code Reference, each code's page.
    """
    first, second, third, fourth = parameters
    match code & 0x0FFF_FFFF:
        case 0x0A | 0xD1:
            return Expected((_PAGE_FAULT,), fourth, first, _OPERATION.get(third))
        case 0x50:
            return Expected((_PAGE_FAULT,), third or None, first, _OPERATION_50.get(second))
        case 0xBE:
            return Expected((_PAGE_FAULT,), None, first, _WRITE)
        case 0xFC:
            return Expected((_PAGE_FAULT,), None, first, _FETCH)
        case 0x1E | 0x3B | 0x7E:
            vectors = _VECTORS.get(first & 0xFFFF_FFFF)
            return None if vectors is None else Expected(vectors, second, None)
        case 0x7F:
            return Expected((first,), None, None)
        case 0x139:
            return Expected((_FAST_FAIL,), None, None)
    return None


def _fault(case: KernelCase) -> Expected | None:
    header = header_of(case.dump)
    first, second, third, fourth = (header[f"BugCheckParameter{index}"] for index in range(1, 5))
    return expected_fault(header["BugCheckCode"], (first, second, third, fourth))


def _can_replay(case: KernelCase) -> bool:
    complete = case.dump.type in (FULL, COMPLETE) or (case.dump.paged and asked_kind(case) is Kind.COMPLETE)
    return case.replay is not None and case.dump.header is not None and complete and _fault(case) is not None


@kernel_rule(
    "KXCT-REPLAY-001",
    "Run from the dump alone, the machine meets the same fault",
    Level.MUST,
    Source("Intel SDM volume 3, faults restart at the faulting instruction; spec kernel-mode 4", Grade.DOCUMENTED),
    needs=("header", "context", "pages"),
    applies=_can_replay,
)
def replay(case: KernelCase) -> Checks:
    """Physical memory, root and the context of the fault, loaded from the dump into a fresh machine and executed, must
    meet the exception that the bug check's parameters tell of, at the same instruction and, for a page fault, with the
    same address referenced by the same operation. It proves that registers, page tables and pages belong together.
    """
    expected, replayer, header = _fault(case), case.replay, header_of(case.dump)
    assert expected is not None
    assert replayer is not None
    outcome = replayer(case.dump)
    span = header.span_of("BugCheckCode")
    if outcome.error is not None:
        yield bad("replay", "a run from the dump alone", outcome.error, span)
        return
    referenced = operation = None
    if outcome.code == _PAGE_FAULT and len(outcome.information) == 2:
        error_code, referenced = outcome.information
        operation = error_code & (_WRITE | _FETCH)
    for name, wanted, met in (
        ("vector", expected.vectors, outcome.code),
        ("instruction", (expected.address,), outcome.address),
        ("address referenced", (expected.referenced,), referenced),
        ("operation", (expected.operation,), operation),
    ):
        if None in wanted or met in wanted:
            yield ok(f"replay, {name}")
        else:
            acceptable = tuple(f"{value:#x}" for value in wanted)
            yield bad(f"replay, {name}", acceptable, "none" if met is None else f"{met:#x}", span)
