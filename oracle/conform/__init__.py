"""Conformance runs: anyone's writer or reader, as a command in any language, against what the target really held.

``docs/conform-protocol.md`` says how the command is spoken to. ``run_writer`` judges a writer, ``run_reader``
compares what a reader says. The cases come from the caller. Standard library only, like all of the oracle.
"""

from .cases import Kind, ReaderCase, WriterCase
from .expectations import ExpectationsError, KnownFailures, load_known_failures
from .facts import FactsError
from .limits import Limits
from .process import Command
from .protocol import PROTOCOL, VERSION, ProtocolError
from .reader import UnsoundCaseError
from .results import CaseResult, Summary, Verdict, as_object
from .run import Options, run_reader, run_writer
from .vectors import VectorsError, load_reader_cases, load_writer_cases

__all__ = [
    "PROTOCOL",
    "VERSION",
    "CaseResult",
    "Command",
    "ExpectationsError",
    "FactsError",
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
    "load_known_failures",
    "load_reader_cases",
    "load_writer_cases",
    "run_reader",
    "run_writer",
]
