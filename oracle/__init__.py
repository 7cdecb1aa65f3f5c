"""The judge: parses a dump, and says what is missing, forbidden or wrong in it.

``check`` judges, ``identify`` names what a file is, ``load_truth`` and ``load_request`` read what a dump must answer
to. Imports nothing of ``dumptruth.emu``; needs neither unicorn nor lief.
"""

from .case import CabinetCase, Case, KernelCase, KernelReplayer, Replayed, Replayer, UserdumpCase
from .judge import SelectionError, all_rules, check
from .memory.source import ByteSource
from .model import Fault, Finding, Grade, Level, Outcome, Report, RuleResult, Source, Span, Verdict
from .readers.cab import Cabinet, read_cabinet
from .readers.facts import Dump
from .readers.identify import Identity, identify
from .readers.kernel import KernelDump, read_kernel
from .readers.minidump import read_minidump
from .readers.summary import summary
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
    "ByteSource",
    "Cabinet",
    "CabinetCase",
    "Case",
    "Dump",
    "Fault",
    "Finding",
    "Grade",
    "Identity",
    "KernelCase",
    "KernelDump",
    "KernelReplayer",
    "KernelTruth",
    "Level",
    "Outcome",
    "ProcessTruth",
    "Replayed",
    "Replayer",
    "Report",
    "RequestTruth",
    "RuleResult",
    "SelectionError",
    "Source",
    "Span",
    "Truth",
    "TruthError",
    "UserDump",
    "UserdumpCase",
    "Verdict",
    "all_rules",
    "check",
    "identify",
    "load_any_truth",
    "load_request",
    "load_request_file",
    "load_truth",
    "read_cabinet",
    "read_kernel",
    "read_minidump",
    "read_userdump",
    "summary",
]
