"""The compiler confirms structures and constants of writer and oracle against the headers of the ziglang wheel."""

from __future__ import annotations

import importlib.util

import pytest
from dumptruth.fixtures.headers.compiler import (
    Claim,
    Finding,
    HeadersError,
    Verdict,
    constant_is,
    examine,
    member_at,
    size_of,
)

if importlib.util.find_spec("ziglang") is None:
    pytest.skip("the extra `images` (ziglang, the compiler and its headers) is not installed", allow_module_level=True)

from dumptruth.fixtures.headers import claims as headers
from dumptruth.oracle import decode

WRONG = (
    Claim("test", "size", "sizeof", size_of("MINIDUMP_THREAD", 44)),
    Claim("test", "width", "Teb", member_at("MINIDUMP_THREAD", "Teb", 16, 4)),
    Claim("test", "constant", "ThreadNamesStream", constant_is("ThreadNamesStream", 25)),
    Claim("test", "signed", "E_INVALIDARG", constant_is("E_INVALIDARG", 0x80070058)),
    Claim("test", "context", "Rip", member_at("CONTEXT", "Rip", 0xF0, 8), ("amd64",)),
)
MISPLACED = Claim("test", "MINIDUMP_THREAD", "Teb", member_at("MINIDUMP_THREAD", "Teb", 20, 8))
UNDECLARED = (
    Claim("test", "structure", "sizeof", size_of("MINIDUMP_NO_SUCH_THING", 4)),
    Claim("test", "tag", "sizeof", size_of("struct _MINIDUMP_NO_SUCH_THING", 4)),
    Claim("test", "misspelt", "Teb", member_at("MINIDUMP_THREADS", "Teb", 16, 8)),
    Claim("test", "member", "NoSuchMember", member_at("MINIDUMP_THREAD", "NoSuchMember", 0, 4)),
    Claim("test", "unknown", "NoSuchStream", constant_is("NoSuchStream", 1)),
)
POINTER = Claim("test", "pointer", "sizeof", "sizeof(void *) == 8")


MOVED = ("MINIDUMP_THREAD", "MINIDUMP_MODULE", "MINIDUMP_EXCEPTION_STREAM")


def moved(structure: str) -> list[Claim]:
    """The rows of the oracle's table, once for each row, which is moved by four bytes."""
    table = decode.structures()[structure]
    return [
        Claim("test", f"{structure}.{wrong}", row.name, member_at(structure, row.name, offset, row.width))
        for wrong in table.fields
        for row in table.fields.values()
        for offset in [row.offset + 4 * (row.name == wrong)]
    ]


@pytest.fixture(scope="module")
def answers() -> dict[Claim, Finding]:
    """The compiler's verdicts on all claims, the false ones too, from one compilation for each architecture."""
    false = [*WRONG, MISPLACED, *UNDECLARED, POINTER, *(claim for structure in MOVED for claim in moved(structure))]
    claims = [*headers.oracle_claims(), *headers.writer_claims(), *false]
    return {finding.claim: finding for finding in examine(claims)}


@pytest.fixture(scope="module")
def findings(answers: dict[Claim, Finding]) -> list[Finding]:
    """The verdicts on the claims of the project."""
    return [answers[claim] for claim in (*headers.oracle_claims(), *headers.writer_claims())]


def test_no_header_refutes_a_row_of_the_writer_or_of_the_oracle(findings: list[Finding]) -> None:
    assert [str(finding) for finding in findings if finding.verdict is Verdict.REFUTED] == []


@pytest.mark.parametrize("side", ["oracle", "writer"])
@pytest.mark.parametrize(
    "structure",
    [
        "MINIDUMP_HEADER", "MINIDUMP_DIRECTORY", "MINIDUMP_SYSTEM_INFO", "MINIDUMP_THREAD", "MINIDUMP_MODULE",
        "MINIDUMP_EXCEPTION_STREAM", "MINIDUMP_MEMORY_DESCRIPTOR", "MINIDUMP_MEMORY_DESCRIPTOR64",
        "MINIDUMP_MEMORY_INFO", "MINIDUMP_HANDLE_DATA_STREAM", "MINIDUMP_UNLOADED_MODULE", "MINIDUMP_THREAD_INFO",
    ],
)  # fmt: skip
def test_the_structures_that_dumps_are_made_of_are_proven_whole(
    findings: list[Finding], side: str, structure: str
) -> None:
    rows = [finding for finding in findings if (finding.claim.side, finding.claim.subject) == (side, structure)]
    assert rows
    assert {finding.verdict for finding in rows} == {Verdict.PROVEN}
    assert {finding.architectures for finding in rows} == {("amd64", "x86", "arm64")}


@pytest.mark.parametrize(
    ("side", "structure", "architecture"),
    [
        ("oracle", "CONTEXT_AMD64", "amd64"),
        ("oracle", "CONTEXT_X86", "x86"),
        ("oracle", "CONTEXT_ARM64", "arm64"),
        ("writer", "CONTEXT", "amd64"),
    ],
)
def test_processor_contexts_are_proven_whole_on_their_own_architecture(
    findings: list[Finding], side: str, structure: str, architecture: str
) -> None:
    rows = [finding for finding in findings if (finding.claim.side, finding.claim.subject) == (side, structure)]
    assert rows
    assert {(finding.verdict, finding.architectures) for finding in rows} == {(Verdict.PROVEN, (architecture,))}


def test_the_list_of_undeclared_rows_is_current(findings: list[Finding]) -> None:
    assert headers.UNDECLARED.read_text(encoding="utf-8") == headers.undeclared(findings)


@pytest.mark.parametrize("structure", MOVED)
def test_a_table_with_one_wrong_offset_is_refuted_and_only_there(answers: dict[Claim, Finding], structure: str) -> None:
    refuted = [claim for claim in moved(structure) if answers[claim].verdict is Verdict.REFUTED]
    assert [f"{structure}.{claim.member}" for claim in refuted] == [claim.subject for claim in refuted]
    assert len(refuted) == len(decode.structures()[structure].fields)


def test_wrong_sizes_widths_and_constants_are_refuted(answers: dict[Claim, Finding]) -> None:
    assert [answers[claim].verdict for claim in WRONG] == [Verdict.REFUTED] * len(WRONG)


def test_a_refutation_says_what_the_headers_have(answers: dict[Claim, Finding]) -> None:
    assert "16 == 20" in answers[MISPLACED].said
    assert answers[MISPLACED].architectures == ("amd64", "x86", "arm64")


def test_what_no_header_declares_is_unproven_and_never_proven(answers: dict[Claim, Finding]) -> None:
    assert [answers[claim].verdict for claim in UNDECLARED] == [Verdict.UNDECLARED] * len(UNDECLARED)


def test_a_claim_that_does_not_compile_is_an_error() -> None:
    with pytest.raises(HeadersError, match="neither a proof nor a refutation"):
        examine([Claim("test", "syntax", "x", "1 +")])


def test_one_architecture_that_refutes_is_enough(answers: dict[Claim, Finding]) -> None:
    assert (answers[POINTER].verdict, answers[POINTER].architectures) == (Verdict.REFUTED, ("x86",))
