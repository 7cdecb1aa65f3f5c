"""The oracle: parses a Windows crash dump, and says what is missing, forbidden or wrong in it.

``check`` judges a dump. ``read`` gives its threads, modules and memory. ``identify`` names what a file is, ``describe``
what the dump in it tells. The page docs/api.md says which names are stable. Imports nothing of ``dumptruth.emu`` and no
third-party package.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .case import CabinetCase, Case, KernelCase, KernelReplayer, Replayed, Replayer, UserdumpCase
    from .checking import check
    from .content_reader import read
    from .contents import (
        BugCheck,
        Contents,
        ExceptionRecord,
        Memory,
        Module,
        NotADumpError,
        PhysicalPages,
        Stream,
        Thread,
    )
    from .identity.describe import describe
    from .identity.model import Description
    from .inputs import InputError, identify
    from .memory.source import ByteSource
    from .model import (
        Fault,
        Finding,
        Grade,
        KnownError,
        Level,
        Outcome,
        Report,
        RuleResult,
        Shift,
        Source,
        Span,
        Unjudged,
        Verdict,
    )
    from .readers.cab import Cabinet, read_cabinet
    from .readers.facts import Dump
    from .readers.identify import Identity
    from .readers.kernel import KernelDump, read_kernel
    from .readers.minidump import read_minidump
    from .readers.userdump import UserDump, read_userdump
    from .selection import SelectionError, all_rules
    from .truth.load import (
        KernelTruth,
        ProcessTruth,
        RequestTruth,
        Truth,
        TruthError,
        load_any_truth,
        load_request,
        load_request_file,
        load_truth,
    )

__all__ = [
    "BugCheck",
    "ByteSource",
    "Cabinet",
    "CabinetCase",
    "Case",
    "Contents",
    "Description",
    "Dump",
    "ExceptionRecord",
    "Fault",
    "Finding",
    "Grade",
    "Identity",
    "InputError",
    "KernelCase",
    "KernelDump",
    "KernelReplayer",
    "KernelTruth",
    "KnownError",
    "Level",
    "Memory",
    "Module",
    "NotADumpError",
    "Outcome",
    "PhysicalPages",
    "ProcessTruth",
    "Replayed",
    "Replayer",
    "Report",
    "RequestTruth",
    "RuleResult",
    "SelectionError",
    "Shift",
    "Source",
    "Span",
    "Stream",
    "Thread",
    "Truth",
    "TruthError",
    "Unjudged",
    "UserDump",
    "UserdumpCase",
    "Verdict",
    "all_rules",
    "check",
    "describe",
    "identify",
    "load_any_truth",
    "load_request",
    "load_request_file",
    "load_truth",
    "read",
    "read_cabinet",
    "read_kernel",
    "read_minidump",
    "read_userdump",
]

_HOMES: Final = {
    "case": "CabinetCase Case KernelCase KernelReplayer Replayed Replayer UserdumpCase",
    "checking": "check",
    "content_reader": "read",
    "contents": "BugCheck Contents ExceptionRecord Memory Module NotADumpError PhysicalPages Stream Thread",
    "identity.describe": "describe",
    "identity.model": "Description",
    "inputs": "InputError identify",
    "memory.source": "ByteSource",
    "model": "Fault Finding Grade KnownError Level Outcome Report RuleResult Shift Source Span Unjudged Verdict",
    "readers.cab": "Cabinet read_cabinet",
    "readers.facts": "Dump",
    "readers.identify": "Identity",
    "readers.kernel": "KernelDump read_kernel",
    "readers.minidump": "read_minidump",
    "readers.userdump": "UserDump read_userdump",
    "selection": "SelectionError all_rules",
    "truth.load": "KernelTruth ProcessTruth RequestTruth Truth TruthError load_any_truth load_request load_request_file"
    " load_truth",
}
"""Module -> the names that it gives to this package. A module is imported when one of its names is first used, so that
no caller waits for what it does not use.
"""
_HOME: Final = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_HOME[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
