"""Judges a complete kernel dump by replaying it: the run must raise the same fault."""

from __future__ import annotations

from typing import Final, NamedTuple

from ...case import KernelCase
from ...entitlement.kernel_writers import Kind
from ...model import Grade, Level, Source
from ...readers.kernel_dump import COMPLETE, FULL
from ...rule import Checks, bad, kernel_rule, ok
from .asserts import asked_kind, header_of


class Expected(NamedTuple):
    """The processor's exception that led to a bug check."""

    vectors: tuple[int, ...]
    """Acceptable exception vectors; one NTSTATUS can stand for several."""
    address: int | None
    """Address of the faulting instruction; None: unknown."""
    referenced: int | None
    """Expected value of Cr2; None: unknown."""
    operation: int | None = None
    """Expected bits W/R (bit 1) and I/D (bit 4) of a page fault's error code; None: unknown."""


_PAGE_FAULT: Final = 14
_FAST_FAIL: Final = 0x29
"""int 29h: https://learn.microsoft.com/cpp/intrinsics/fastfail."""
_WRITE: Final = 0x2
_FETCH: Final = 0x10
"""Bits of a page fault's error code (Intel SDM volume 3, 4.7)."""
# Third parameter of 0x0A and 0xD1: bit 0 means a write, bit 3 an execution. In 0xD1 the value 2 is an execution, too.
_OPERATION: Final = {0: 0, 1: _WRITE, 2: _FETCH, 8: _FETCH}
# Second parameter of 0x50: from version 1507 on 2 means a write and 0x10 an execution; before, 1 means a write.
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
    """The processor's exception that a bug check's parameters describe; None if they describe none.

    Source: the page of each code under
    https://learn.microsoft.com/windows-hardware/drivers/debugger/bug-check-code-reference2.
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
    "Replaying the dump raises the same fault",
    Level.MUST,
    Source("https://www.intel.com/content/www/us/en/developer/articles/technical/intel-sdm.html", Grade.DOCUMENTED),
    Source("https://learn.microsoft.com/windows-hardware/drivers/debugger/bug-check-code-reference2", Grade.DOCUMENTED),
    needs=("header", "context", "pages"),
    applies=_can_replay,
)
def replay(case: KernelCase) -> Checks:
    """The judge loads physical memory, root and context from the dump into a fresh machine and runs it. Faults restart
    at the faulting instruction. So the run must raise the exception of the bug check's parameters at the same
    instruction. A page fault must also have the same address and the same operation. This shows that registers, page
    tables and pages belong together.
    """
    expected, replayer, header = _fault(case), case.replay, header_of(case.dump)
    assert expected is not None
    assert replayer is not None
    outcome = replayer(case.dump)
    span = header.span_of("BugCheckCode")
    if outcome.unable is not None:
        case.dump.budget.leave("replay", outcome.unable, 0, 1)
        return
    if outcome.error is not None:
        yield bad("replay", "a run until the exception", outcome.error, span)
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
