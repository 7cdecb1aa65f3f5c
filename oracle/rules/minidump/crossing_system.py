"""Judges SystemInfo, MiscInfo and the sizes of contexts against other streams."""

from __future__ import annotations

from typing import Final

from ...case import Case
from ...decode import structure
from ...model import Grade, Level, Source
from ...readers.architectures import ARCHITECTURES
from ...readers.contexts import without_context
from ...rule import Checks, bad, ok, rule
from .system import is_blank

_EXCEPTION: Final = "MINIDUMP_EXCEPTION_STREAM"


def _plain_size(case: Case) -> int:
    """Bytes of a context of the dump's architecture without extension; 0 if the architecture is unknown."""
    layout = ARCHITECTURES.get(case.dump.architecture or "")
    return 0 if layout is None else structure(layout.structure).size


@rule(
    "XCUT-XSTATE-001",
    "The contexts have the size in XStateData",
    Level.MUST,
    Source("docs/format/minidump-contexts.md#extended-state-description", Grade.OBSERVED),
    Source("docs/format/minidump-contexts.md#extended-state-of-the-exception", Grade.WITNESSED, versions=("29507",)),
    needs=("misc_info", "contexts"),
    applies=lambda case: case.dump.misc_info is not None and case.dump.misc_info["XStateData.SizeOfInfo"] != 0,
    foreign_level=Level.SHOULD,
)
def xstate_size(case: Case) -> Checks:
    """With XStateData a debugger takes ContextSize for every context of a thread. Crashpad's authors found that another
    size makes the dump invalid. The exception's context may have no extension: the vendor's engine stores it plain.
    """
    misc = case.dump.misc_info
    assert misc is not None
    size = misc["XStateData.ContextSize"]
    plain = _plain_size(case)
    threads = [thread for thread in case.dump.threads if not without_context(thread.record)]
    contexts = [(f"context of thread {thread.id:#x}", thread.record) for thread in threads]
    if case.truth is not None and case.dump.exception is not None:  # Crashpad's may be longer than those of its threads
        contexts.append(("context of the exception", case.dump.exception.record))
    for subject, record in contexts:
        actual = record["ThreadContext.DataSize"]
        if actual == size or (record.structure.name == _EXCEPTION and actual == plain):
            yield ok(subject)
        else:
            yield bad(subject, f"{size} bytes", str(actual), record.span_of("ThreadContext.DataSize"))


@rule(
    "XCUT-SYSTEM-001",
    "SystemInfo and SystemMemoryInfo agree on the number of processors",
    Level.SHOULD,
    Source("docs/format/minidump-system.md#values-of-system-memory-info", Grade.OBSERVED),
    needs=("system_info", "system_memory_info"),
    applies=lambda case: case.dump.system_memory_info is not None and not is_blank(case, 21),
)
def processor_counts(case: Case) -> Checks:
    """SystemInfo has 8 bits for the number, SystemMemoryInfo 32. Below 256 the numbers are equal. The rule skips a
    SystemMemoryInfo of zeros.
    """
    info, memory = case.dump.system_info, case.dump.system_memory_info
    assert info is not None
    assert memory is not None
    wide, narrow = memory["BasicInfo.NumberOfProcessors"], info["NumberOfProcessors"]
    if wide > 0xFF or wide == narrow:
        yield ok("NumberOfProcessors")
    else:
        span = memory.span_of("BasicInfo.NumberOfProcessors")
        yield bad("NumberOfProcessors", f"{narrow}, as in SystemInfo", str(wide), span)


@rule(
    "XCUT-TIME-001",
    "The process was not created after the dump",
    Level.SHOULD,
    Source("docs/format/minidump-container.md#timedatestamp", Grade.OBSERVED),
    needs=("header", "misc_info"),
    applies=lambda case: case.dump.misc_info is not None and bool(case.dump.misc_info["Flags1"] & 2),
)
def created_before(case: Case) -> Checks:
    """The times of process creation and dump are 32-bit time_t values."""
    header, misc = case.dump.header, case.dump.misc_info
    assert header is not None
    assert misc is not None
    if misc["ProcessCreateTime"] <= header["TimeDateStamp"]:
        yield ok("ProcessCreateTime")
    else:
        expected = f"at most {header['TimeDateStamp']:#x}, the dump's time"
        actual = f"{misc['ProcessCreateTime']:#x}"
        yield bad("ProcessCreateTime", expected, actual, misc.span_of("ProcessCreateTime"))
