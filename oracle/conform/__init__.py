"""Tests a dump writer or dump reader that is a command in any language (docs/conform-protocol.md).

``run_writer`` judges the dumps of a writer. ``run_reader`` compares the facts that a reader reports with the expected
ones. The caller supplies the cases.
"""

from .cases import Kind, ReaderCase, WriterCase
from .exchange import Exchange, keeper
from .expectations import ExpectationsError, KnownFailures, load_known_failures
from .limits import Limits
from .process import CannotStartError, Command
from .protocol import PROTOCOL, VERSION, ProtocolError
from .reader import UnsoundCaseError
from .results import CaseResult, Summary, Verdict, as_object
from .run import HopelessError, Options, run_reader, run_writer
from .values import FactsError
from .vectors import VectorsError, load_reader_cases, load_writer_cases

__all__ = [
    "PROTOCOL",
    "VERSION",
    "CannotStartError",
    "CaseResult",
    "Command",
    "Exchange",
    "ExpectationsError",
    "FactsError",
    "HopelessError",
    "Kind",
    "KnownFailures",
    "Limits",
    "Options",
    "ProtocolError",
    "ReaderCase",
    "Summary",
    "UnsoundCaseError",
    "VectorsError",
    "Verdict",
    "WriterCase",
    "as_object",
    "keeper",
    "load_known_failures",
    "load_reader_cases",
    "load_writer_cases",
    "run_reader",
    "run_writer",
]
