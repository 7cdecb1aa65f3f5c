"""The debugger's .dump command: every documented letter, and errors in the line."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dumptruth.emu.constants import (
    DEBUG_DUMP_ACTIVE,
    DEBUG_DUMP_DEFAULT,
    DEBUG_DUMP_FULL,
    DEBUG_DUMP_SMALL,
    DEBUG_FORMAT_CAB_SECONDARY_FILES,
    DEBUG_FORMAT_NO_OVERWRITE,
    DEBUG_FORMAT_WRITE_CAB,
)
from dumptruth.emu.debugger.dot_dump import DotDump, DotDumpError, parse
from dumptruth.emu.debugger.stored_event import EventSource
from dumptruth.emu.synthetic.kernel import bare_machine
from dumptruth.emu.synthetic.process import synthetic_process

PROCESS = synthetic_process()
MACHINE = bare_machine(((1, 16),))
KEEP = int(DEBUG_FORMAT_NO_OVERWRITE)
LETTERS = {  # typed by hand: DbgEng.h's bits
    "f": 0x1, "h": 0x2, "u": 0x4, "i": 0x8, "d": 0x10, "r": 0x20, "R": 0x40, "p": 0x80, "w": 0x100, "F": 0x400,
    "t": 0x800, "c": 0x1000, "y": 0x20000, "a": 0xC07, "A": 0x8000C07,
}  # fmt: skip


def parsed(line: str) -> DotDump:
    command = parse(line)
    assert command is not None
    return command


def user(line: str) -> tuple[int, int, str | None]:
    request, warnings = parsed(line).request(PROCESS, "modern")
    assert warnings == []
    assert not isinstance(request.comment, bytes)
    return request.qualifier, request.format_flags, request.comment


@pytest.mark.parametrize("letter", LETTERS)
def test_every_letter_of_m_is_its_flag(letter: str) -> None:
    assert user(f".dump /m{letter} x.dmp") == (DEBUG_DUMP_SMALL, LETTERS[letter] | KEEP, None)


def test_letters_of_m_add_up_and_their_case_matters() -> None:
    assert user("/mfFhut x.dmp") == user("/ma x.dmp")
    assert user("/mrR x.dmp")[1] == 0x60 | KEEP
    assert user("/mpwdciy x.dmp")[1] == 0x80 | 0x100 | 0x10 | 0x1000 | 0x8 | 0x20000 | KEEP


@pytest.mark.parametrize("line", [".dump x.dmp", "x.dmp", ".dump /m x.dmp", "  .dump\t-m\t x.dmp  "])
def test_m_is_the_default_and_dashes_and_tabs_are_accepted(line: str) -> None:
    assert user(line) == (DEBUG_DUMP_SMALL, KEEP, None)
    assert parsed(line).file == "x.dmp"


def test_the_command_keeps_an_existing_file_unless_o_is_given() -> None:
    assert user("/o x.dmp") == (DEBUG_DUMP_SMALL, 0, None)
    assert user("/ma /o x.dmp") == (DEBUG_DUMP_SMALL, 0xC07, None)


def test_f_is_the_full_dump_of_either_mode() -> None:
    assert user("/f x.dmp") == (DEBUG_DUMP_DEFAULT, KEEP, None)
    assert user("/fy x.dmp") == (DEBUG_DUMP_DEFAULT, KEEP | 0x20000, None)
    request, warnings = parsed("/f x.dmp").request(MACHINE, "portable")
    assert (request.qualifier, request.format_flags, request.profile, warnings) == (
        DEBUG_DUMP_FULL, KEEP, "portable", [],
    )  # fmt: skip
    request, warnings = parsed("/fy x.dmp").request(MACHINE, "portable")
    assert request.format_flags == KEEP
    assert warnings == ["/fy has no effect on a kernel-mode target: its dumps cannot hold AVX state"]


@pytest.mark.parametrize(
    ("line", "qualifier"),
    [("/k x.dmp", DEBUG_DUMP_DEFAULT), ("/ka x.dmp", DEBUG_DUMP_ACTIVE), ("x.dmp", DEBUG_DUMP_SMALL)],
)
def test_letters_choose_the_kind_of_a_kernel_dump(line: str, qualifier: int) -> None:
    assert parsed(line).request(MACHINE, "portable")[0].qualifier == qualifier


def test_b_is_a_cabinet_and_a_adds_files() -> None:
    cab = int(DEBUG_FORMAT_WRITE_CAB)
    assert user("/b x.cab")[1] == cab | KEEP
    assert user("/ba x.cab")[1] == cab | int(DEBUG_FORMAT_CAB_SECONDARY_FILES) | KEEP
    assert user("/ba /mh /o x.cab")[1] == cab | int(DEBUG_FORMAT_CAB_SECONDARY_FILES) | 2


@pytest.mark.parametrize(
    ("line", "comment"),
    [
        ("/c word x.dmp", "word"),
        ('/c "two words" x.dmp', "two words"),
        ('/c"no space" x.dmp', "no space"),
        ('/c "" x.dmp', None),
        ('/c "/ma -o" x.dmp', "/ma -o"),
        ("/c /o x.dmp", "/o"),
        ('/c "Größe \u65e5" /ma x.dmp', "Größe \u65e5"),
    ],
)
def test_c_takes_a_word_or_a_quoted_text(line: str, comment: str | None) -> None:
    assert user(line)[2] == comment
    assert parsed(line).file == "x.dmp"


@pytest.mark.parametrize(
    ("line", "file"),
    [('"with spaces.dmp"', "with spaces.dmp"), ("/ma C:\\dumps\\x.dmp", "C:\\dumps\\x.dmp"),
     ('/o "/srv/x.dmp"', "/srv/x.dmp"), ("a/b-c.dmp", "a/b-c.dmp")],
)  # fmt: skip
def test_the_file_name_may_be_quoted(line: str, file: str) -> None:
    assert parsed(line).file == file


@pytest.mark.parametrize(
    ("line", "source"),
    [
        ("/xc 12ff00 x.dmp", EventSource(context=0x12FF00)),
        ("/xr 0x12ff00 x.dmp", EventSource(record=0x12FF00)),
        ("/xp 00000001`0012FF00 x.dmp", EventSource(pointers=0x1_0012_FF00)),
        ("/xp 1`2 x.dmp", EventSource(pointers=0x1_0000_0002)),
        ("/xt 0n4660 x.dmp", EventSource(thread=0x1234)),
        ("/xt1234 x.dmp", EventSource(thread=0x1234)),
        ("/j 10 x.dmp", EventSource(jit=0x10)),
        ("/xr 1 /xc 2 /xt 3 x.dmp", EventSource(record=1, context=2, thread=3)),
        ("/xp 1 /xt 3 x.dmp", EventSource(pointers=1, thread=3)),
        ("x.dmp", EventSource()),
    ],
)
def test_addresses_are_hexadecimal_as_the_debugger_reads_them(line: str, source: EventSource) -> None:
    assert parsed(line).source == source
    assert user(line)[0] == DEBUG_DUMP_SMALL


def test_u_puts_date_time_and_process_in_front_of_the_extension() -> None:
    snapshot = replace(PROCESS, time=133_500_000_001_230_000)  # 2024-01-17 21:20:00.123
    assert parsed("/u x.dmp").file_name(snapshot) == "x_0000_2024-01-17_21-20-00-123_1234.dmp"
    assert parsed("x.dmp").file_name(snapshot) == "x.dmp"
    assert parsed("/u a.b/c.d.cab").file_name(snapshot) == "a.b/c.d_0000_2024-01-17_21-20-00-123_1234.cab"
    assert parsed("/u x.dmp").file_name(MACHINE).endswith("_f0f0.dmp")


def test_a_makes_a_name_for_each_target() -> None:
    command = parsed("/a /u x.dmp")
    assert command.all_targets
    first = command.file_name(PROCESS)
    second = command.file_name(PROCESS, {first})
    third = command.file_name(PROCESS, {first, second})
    assert [name.removeprefix("x_0000_2024-01-17_21-20-00-000_1234") for name in (first, second, third)] == [
        ".dmp", "_2.dmp", "_3.dmp",
    ]  # fmt: skip


def test_a_question_mark_asks_for_help() -> None:
    assert parse(".dump /?") is None
    assert parse("-?") is None
    assert parse("/ma /?") is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "column 1: the file name is missing"),
        (".dump /ma", "column 10: the file name is missing"),
        (".dump /q x.dmp", "column 8: unknown option /q, expected one of /a, /b,"),
        (".dump / x.dmp", "column 8: unknown option /,"),
        (".dump /M x.dmp", "column 8: unknown option /M,"),
        (".dump /srv/x.dmp", "quote a file name with a slash in front"),
        (".dump /maq x.dmp", "column 10: unknown letter 'q' after /m, expected one of a, A, f, F, h, u, t, i, p, w,"),
        (".dump /fh x.dmp", "column 9: unknown letter 'h' after /f, expected one of y"),
        (".dump /kA x.dmp", "column 9: unknown letter 'A' after /k"),
        (".dump /kpmf f x.dmp", "column 9: unknown letter 'p' after /k"),
        (".dump /kab x.dmp", "column 10: unknown letter 'b' after /ka"),
        (".dump /bx x.dmp", "column 9: unknown letter 'x' after /b"),
        (".dump /bab x.dmp", "column 10: unknown letter 'b' after /ba"),
        (".dump /oo x.dmp", "column 9: unknown letter 'o' after /o"),
        (".dump /u1 x.dmp", "column 9: unknown letter '1' after /u"),
        (".dump /ma /f x.dmp", "column 11: /f: the kind of dump is already given by /m"),
        (".dump /xq 1 x.dmp", "column 9: unknown letter 'q' after /x, expected c, r, p or t"),
        (".dump /x 1 x.dmp", "column 9: unknown letter '' after /x"),
        (".dump /xr", "column 10: /xr: a number is missing"),
        (".dump /xr zz x.dmp", "column 11: /xr: expected a number, found 'zz'"),
        (".dump /xr @rsp x.dmp", "expected a number, found '@rsp'"),
        (".dump /j 12345678123456789 x.dmp", "column 10: /j: 12345678123456789 has more than 64 bits"),
        (".dump /xr 1`123456789 x.dmp", "expected a number"),
        (".dump /xr 1 /xr 2 x.dmp", "column 13: /xr: given twice"),
        (".dump /c a /c b x.dmp", "column 12: /c: given twice"),
        (".dump /c", "column 9: the comment of /c is missing"),
        ('.dump /c "open x.dmp', "column 10: the comment of /c has no closing quotation mark"),
        ('.dump /c "a"b x.dmp', "column 13: unexpected 'b' after a quotation mark"),
        ('.dump "x.dmp', "column 7: the file name has no closing quotation mark"),
        ('.dump ""', "column 7: the file name is empty"),
        (".dump x.dmp /ma", "column 13: unexpected '/ma' after the file name"),
        (".dump my file.dmp", "column 10: unexpected 'file.dmp' after the file name"),
        (".dump /a x.dmp", "column 7: /a: needs /u"),
        (".dump /xp 1 /xc 2 x.dmp", "column 13: /xc: already given by /xp"),
        (".dump /xr 1 /j 2 x.dmp", "column 7: /xr: already given by /j"),
        (".dump /j 1 /xt 2 x.dmp", "column 12: /xt: already given by /j"),
        (".dump /j 1 /xp 2 x.dmp", "column 7: /j: already given by /xp"),
    ],
)  # fmt: skip
def test_an_error_is_one_line_with_letter_and_column(line: str, message: str) -> None:
    with pytest.raises(DotDumpError) as caught:
        parse(line)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"column {caught.value.column}: ")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (".dump /k x.dmp", "column 7: /k: only for a kernel-mode target"),
        (".dump /o /ka x.dmp", "column 10: /ka: only for a kernel-mode target"),
        (".dump /f /xr 1 x.dmp", "column 10: /xr: only for a user-mode minidump"),
    ],
)
def test_options_of_the_other_mode_are_refused_for_a_process(line: str, message: str) -> None:
    with pytest.raises(DotDumpError) as caught:
        parsed(line).request(PROCESS, "modern")
    assert str(caught.value) == message


@pytest.mark.parametrize("option", ["/xc 1", "/xr 1", "/xp 1", "/xt 1", "/j 1", "/mh"])
def test_options_of_the_other_mode_are_refused_for_a_machine(option: str) -> None:
    with pytest.raises(DotDumpError, match=r"column 7: /\w+: .*only .*user-mode"):
        parsed(f".dump {option} x.dmp").request(MACHINE, "portable")
