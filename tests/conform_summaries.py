"""Results of conformance runs with every verdict, for the tests of reports."""

from __future__ import annotations

from collections.abc import Callable

from dumptruth.fixtures.mutants.registry import BaseDump
from dumptruth.fixtures.vectors.target import case_of
from dumptruth.oracle import ByteSource, check
from dumptruth.oracle.conform import CaseResult, Kind, Summary, Verdict
from dumptruth.oracle.conform.catalog import facts_of
from dumptruth.oracle.conform.facts import WrongFact

CONTROL = "\x00\x1b[31m\x0b\ufffe\ud800<&>\"'\u2028\U0010ffff"


def of_a_writer() -> Summary:
    """The findings are those of the judge."""
    made = case_of(BaseDump.DEFAULT)
    data = bytearray(made.data)
    for at in (8, 0x20, len(data) - 1):
        data[at] ^= 0x41
    report = check(ByteSource(bytes(data), "own.dmp"), made.truth, made.asked)
    broken = tuple(report.failing())
    assert broken
    results = (
        CaseResult("user/default/a", Verdict.AGREES, True, checks=100),
        CaseResult("user/default/b", Verdict.FAILS, False, broken=broken, checks=report.checks),
        CaseResult("user/default/c", Verdict.FAILS, False, ("answered written, but there is no file",)),
        CaseResult("user/small/d", Verdict.REFUSES, False, (f"refused a request that can be met: {CONTROL}",)),
        CaseResult("user/small/e", Verdict.FAILS, False, broken=broken, checks=9, known="issue 12"),
        CaseResult("kernel/f", Verdict.SKIPPED, True, ("no kernel dumps",)),
    )
    return Summary("writer", results)


def of_a_reader() -> Summary:
    facts = ("threads.thread_id", "threads.teb", "modules.name", "flags", "extra")
    assert {name.partition(".")[0] for name in facts} <= {*facts_of("process")}
    teb = WrongFact("threads.teb", ("threads 0x1 teb: expected 0x2, read 0x3", "threads 0x2 teb: expected 0x4"), 102)
    name = WrongFact("modules.name", (f"modules 0x1 name: expected 'a', read {CONTROL!r}",), 1)
    results = (
        CaseResult("user/a", Verdict.AGREES, True, (), Kind.VALID, compared=facts[:3], facts=facts),
        *(
            CaseResult(f"user/b{index}", Verdict.MISREADS, False, (), Kind.VALID, compared=facts[:3], facts=facts,
                       misread=(teb, name)[: 2 - index % 2])
            for index in range(5)
        ),
        CaseResult("user/c", Verdict.DIES, False, ("ended by SIGSEGV",), Kind.VALID),
        CaseResult("user/d", Verdict.BREAKS, False, (f"answered {CONTROL}: expected JSON",), Kind.INVALID),
        CaseResult("user/e", Verdict.ACCEPTS, True, ("accepted a broken dump: broken",), Kind.INVALID),
        CaseResult("user/f", Verdict.REFUSES, True, ("bad magic",), Kind.INVALID),
        CaseResult("user/g", Verdict.AGREES, False, ("mended: remove 'g' from the known failures",), Kind.VALID,
                   mended=True),
        CaseResult("kernel/h", Verdict.SKIPPED, True, ("only minidumps",), Kind.VALID),
        CaseResult("kernel/i", Verdict.SKIPPED, True, ("only minidumps",), Kind.VALID),
    )  # fmt: skip
    return Summary("reader", results)


SUMMARIES: dict[str, Callable[[], Summary]] = {
    "writer": of_a_writer,
    "reader": of_a_reader,
    "nothing judged": lambda: Summary("reader", of_a_reader().results[-2:]),
    "all right": lambda: Summary("reader", of_a_reader().results[:1]),
}
