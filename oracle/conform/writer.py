"""Judges the answer and the dump of a writer."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ..case import KernelReplayer, Replayer
from ..checking import check
from ..entitlement.kernel import refusal as refusal_of_machine
from ..entitlement.refusal import refusal as refusal_of_process
from ..memory.source import ByteSource
from ..model import Outcome, Report
from ..truth.load import RequestTruth, Truth
from .cases import LoadedTruth, WriterCase
from .limits import POOR
from .protocol import REFUSED, SKIPPED, Answer
from .results import CaseResult, Verdict

ReplayerOf = Callable[[Truth], Replayer | KernelReplayer | None]
_DEFAULT: Final = 1025  # DbgEng.h DEBUG_DUMP_DEFAULT


def due_refusal(truth: Truth, request: RequestTruth) -> str | None:
    """Why a writer must refuse the request; None if it must write a dump.

    Sources: docs/format/write-dump-file.md#return-values-by-situation, docs/format/kernel-kinds.md#qualifiers.
    """
    if truth.mode == "kernel":
        return refusal_of_machine(truth, request)
    if request.qualifier_value == _DEFAULT and request.profile == "legacy":
        if truth.unreadable:  # docs/format/user-dump.md#memory-bytes: every region has all of its bytes
            return f"the page at {truth.unreadable[0].start:#x} cannot be read, and the format stores whole regions"
        return None
    return refusal_of_process(truth, request)


def judge_answer(
    case: WriterCase, target: LoadedTruth, answer: Answer, output: Path, *, strict: bool, replayer: ReplayerOf | None
) -> CaseResult:
    """The verdict on an answer, and on the file at ``output``."""
    if answer.result == SKIPPED:
        return CaseResult(case.name, Verdict.SKIPPED, True, (answer.reason or "no reason given",))
    due = due_refusal(target.truth, target.request)
    if answer.result == REFUSED:
        return _judge_refusal(case, due, answer, output)
    if due is not None and output.is_file():
        return _fails(case, f"written, expected a refusal: {due}")
    replay = None if replayer is None else replayer(target.truth)
    try:
        with ByteSource.open(output) as source:
            report = check(source, target.truth, target.request, strict=strict, replay=replay)
    except OSError as error:  # the command may still run, and do what it wants
        if error.errno in POOR:
            raise
        name = Path(error.filename or output).name
        return _fails(case, f"answered written, but there is no file that can be judged: {name}: {error.strerror}")
    return _judged(case, report)


def _judge_refusal(case: WriterCase, due: str | None, answer: Answer, output: Path) -> CaseResult:
    code = "" if answer.hresult is None else f"{answer.hresult:#010x}"
    said = " ".join(part for part in (code, answer.reason) if part) or "no reason given"
    if due is None:
        return CaseResult(case.name, Verdict.REFUSES, False, (f"refused a request that can be met: {said}",))
    if answer.hresult is not None and not answer.hresult >> 31:  # winerror.h: a failure has the top bit set
        return _fails(case, f"refused with {code}, expected a failure code: {due}")
    if None not in (answer.hresult, case.hresult) and answer.hresult != case.hresult:
        return _fails(case, f"refused with {code}, expected {case.hresult:#010x}: {due}")
    if os.path.lexists(output):
        return _fails(case, f"refused, but left a file: {due}")
    return CaseResult(case.name, Verdict.AGREES, True, (f"rightly refused: {due}",), checks=1)


def _fails(case: WriterCase, why: str) -> CaseResult:
    return CaseResult(case.name, Verdict.FAILS, False, (why,))


def _judged(case: WriterCase, report: Report) -> CaseResult:
    if report.outcome is Outcome.CONFORMANT:
        return CaseResult(case.name, Verdict.AGREES, True, checks=report.checks)
    if report.outcome is Outcome.NOT_A_DUMP:
        return _fails(case, f"the file is not a dump that can be judged: {report.reason}")
    if report.outcome is Outcome.INCOMPLETE:
        return _fails(case, f"the file is not judged whole: {report.reason}")
    details = (f"the judge failed: {report.reason}",) if report.outcome is Outcome.INTERNAL_ERROR else ()
    return CaseResult(case.name, Verdict.FAILS, False, details, broken=tuple(report.failing()), checks=report.checks)
