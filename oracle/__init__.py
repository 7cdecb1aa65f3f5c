"""The oracle: parses a Windows crash dump, and says what is missing, forbidden or wrong in it.

``check`` judges a dump. ``read`` gives its threads, modules and memory. ``identify`` names what a file is, ``describe``
what the dump in it tells. The page docs/api.md says which names are stable. Imports nothing of ``dumptruth.emu`` and no
third-party package.
"""

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
from .judge import SelectionError, all_rules
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
