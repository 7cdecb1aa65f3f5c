"""Bad input gives one line and the right exit status, and leaves no file behind."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from dumptruth.emu.images.services import FOLDER as IMAGES
from dumptruth.emu.scenarios.process import ExpectationError, run_scenario
from dumptruth.fixtures.app import demonstration
from dumptruth.fixtures.app.cli import run_command
from dumptruth.fixtures.app.demo import run_demo
from dumptruth.fixtures.replay.judging import judge


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a truth and its small dump."""
    folder = tmp_path_factory.mktemp("made")
    arguments = ["dump", "null-read", "-o", str(folder / "a.dmp"), "--truth", str(folder / "truth")]
    assert run_command(arguments) == 0
    return folder


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command that must fail with the given status, print one line and make no file. Returns the line."""
    monkeypatch.chdir(tmp_path)

    def command(status: int, *arguments: object) -> str:
        before = _files(tmp_path)
        assert run_command([str(argument) for argument in arguments]) == status
        captured = capsys.readouterr()
        lines = (captured.out + captured.err).splitlines()
        assert len(lines) == 1, lines
        assert "Traceback" not in lines[0]
        assert _files(tmp_path) == before
        return lines[0]

    return command


def _files(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes() for path in folder.rglob("*")}


def test_an_empty_file_is_not_a_dump(refused: Any) -> None:
    Path("empty").touch()
    assert "an empty file" in refused(3, "check", "empty")
    assert "an empty file" in refused(3, "identify", "empty")


@pytest.mark.parametrize("command", ["check", "identify", "map"])
def test_an_empty_name_is_not_the_current_folder(refused: Any, command: str) -> None:
    Path("text").touch()
    assert refused(2, command, "") == "dumptruth: FILE is empty: expected a file, a folder, a pattern or -"


@pytest.mark.parametrize(
    "options",
    [
        ["check", "{dump}", "--json"], ["identify", "{dump}", "--json"], ["map", "{dump}", "--json"],
        ["diff", "{dump}", "{dump}", "--json"], ["vectors", "list", "--json"], ["scenarios", "--json"],
    ],
)  # fmt: skip
def test_an_output_without_a_place_is_told_before_the_work(refused: Any, made: Path, options: list[str]) -> None:
    words = [word.format(dump=made / "a.dmp") for word in options]
    assert refused(2, *words, "none/x.json") == "dumptruth: none/x.json: its folder does not exist"


def test_a_report_without_a_place_is_told_before_the_work(refused: Any, made: Path) -> None:
    Path("folder").mkdir()
    for to, told in (("folder", "a folder, expected a file"), ("none/x", "its folder does not exist")):
        assert refused(2, "check", made / "a.dmp", "--report", f"html={to}") == f"dumptruth: {to}: {told}"


def test_a_text_file_is_not_a_dump(refused: Any, made: Path) -> None:
    Path("text").write_text("MDMP is how a dump begins, not this\n", encoding="ascii")
    Path("other").write_text("plain words\n", encoding="ascii")
    assert "a text file" in refused(3, "check", "other")
    assert "a text file" in refused(3, "check", "other", "--truth", made / "truth")


def test_a_cut_dump_is_refused_at_any_length(capsys: pytest.CaptureFixture[str], made: Path, tmp_path: Path) -> None:
    whole = (made / "a.dmp").read_bytes()
    cut = tmp_path / "cut.dmp"
    for step in range(40):
        length = step * len(whole) // 40
        cut.write_bytes(whole[:length])
        status = run_command(["check", str(cut), "--truth", str(made / "truth")])
        captured = capsys.readouterr()
        assert captured.err == "", length
        # A file with a whole signature is judged and fails. A shorter file is not a dump.
        assert status == (1 if length >= 4 else 3), length
        assert captured.out.splitlines()[-1].startswith("cut.dmp: NO"), length


def test_a_name_that_cannot_be_written_gives_the_hresult(refused: Any, made: Path) -> None:
    Path("file").touch()
    source = made / "truth"
    assert "(0x80070003)" in refused(1, "dump", source, "-o", "file/a.dmp")
    assert "(0x80070003)" in refused(1, "dump", source, "-o", "missing/a.dmp")
    assert "ERROR_ACCESS_DENIED (0x80070005)" in refused(1, "dump", source, "-o", ".")
    Path("folder.dmp").mkdir()
    assert "(0x80070005)" in refused(1, "dump", source, "-o", "folder.dmp")


def test_a_truth_that_cannot_be_written_leaves_no_dump(refused: Any, made: Path) -> None:
    Path("file").touch()
    assert refused(2, "dump", made / "truth", "-o", "a.dmp", "--truth", "file/truth").startswith("dumptruth: file")
    assert "'file'" in refused(2, "dump", made / "truth", "-o", "a.dmp", "--truth", "file")
    assert refused(2, "run", made / "truth", "--truth", "file/deep/truth").startswith("dumptruth: file")


def test_a_refused_dump_leaves_no_truth_and_the_old_file(refused: Any, made: Path) -> None:
    source = made / "truth"
    assert "E_INVALIDARG" in refused(1, "dump", source, "-q", "full", "-o", "a.dmp", "--truth", "new/truth")
    default = ("-q", "default", "--profile", "refuse")
    assert "E_NOTIMPL" in refused(1, "dump", source, *default, "-o", "a.dmp", "--truth", "truth")
    Path("old.dmp").write_bytes(b"old")
    assert "(0x80070050)" in refused(1, "dump", source, "-f", "no-overwrite", "-o", "old.dmp", "--truth", "truth")


def test_a_refusal_as_json_has_the_hresult(capsys: pytest.CaptureFixture[str], made: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "a.dmp")
    assert run_command(["dump", str(made / "truth"), "-q", "active", "-o", out, "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["hresult"] == "0x80070057"
    assert "E_INVALIDARG" in captured.err


@pytest.mark.parametrize("command", [("dump", "-o", "a.dmp"), ("check",)])
def test_unknown_qualifiers_flags_and_profiles_list_the_known_ones(refused: Any, made: Path, command: Any) -> None:
    source = made / "truth" if command[0] == "dump" else made / "a.dmp"
    more = (*command[1:], *(("--truth", made / "truth") if command[0] == "check" else ()))
    for qualifier in ("gigantic", "7", "-1"):
        line = refused(2, command[0], source, *more, f"--qualifier={qualifier}")
        assert f"unknown qualifier '{qualifier}'" in line
        assert "small (1024), default (1025), full (1026)" in line
    line = refused(2, command[0], source, *more, "-f", "handle-dat")
    assert "unknown flag 'handle-dat' (did you mean handle-data?); expected " in line
    assert "full-memory" in line
    line = refused(2, command[0], source, *more, "--profile", "vista")
    assert line == (
        "dumptruth: unknown profile 'vista'; expected modern, legacy, refuse (user mode) "
        "or portable, classic, bitmap, ranges, header (kernel mode)"
    )


def test_a_program_for_another_machine_is_named(refused: Any) -> None:
    data = bytearray((IMAGES / "crash.exe").read_bytes())
    (at,) = struct.unpack_from("<I", data, 0x3C)
    struct.pack_into("<H", data, at + 4, 0xAA64)
    Path("arm.exe").write_bytes(data)
    line = refused(2, "run", "arm.exe", "--truth", "truth")
    assert line.startswith("dumptruth: arm.exe")
    assert "amd64" in line.lower()
    assert "arm64" in line.lower()


def test_a_file_that_is_not_a_program_is_named(refused: Any) -> None:
    Path("not.exe").write_bytes(b"not a program")
    assert "not.exe" in refused(2, "run", "not.exe")
    assert "not.exe" in refused(2, "dump", "not.exe", "-o", "a.dmp", "--truth", "truth")


def test_an_unknown_target_names_the_nearest_scenario(refused: Any) -> None:
    assert "did you mean null-read?" in refused(2, "run", "nullread")
    assert "no such scenario, program, C file or truth directory" in refused(2, "dump", "zzz", "-o", "a.dmp")


def test_only_programs_take_arguments(refused: Any, made: Path) -> None:
    assert "only a program takes arguments" in refused(2, "run", "null-read", "--arg", "x")
    assert "only a program takes arguments" in refused(2, "run", made / "truth", "--arg", "x")


@pytest.mark.parametrize("missing", ["memory.bin", "truth.json"])
def test_a_truth_with_a_file_missing_is_named(refused: Any, made: Path, missing: str) -> None:
    broken = Path("broken")
    broken.mkdir()
    for name in ("memory.bin", "truth.json", "request.json"):
        if name != missing:
            (broken / name).write_bytes((made / "truth" / name).read_bytes())
    for line in (
        refused(2, "check", made / "a.dmp", "--truth", broken),
        refused(2, "dump", broken, "-o", "a.dmp", "--truth", "copy"),
        refused(2, "run", broken),
    ):
        assert "broken" in line
        assert missing in line


def test_a_short_memory_file_is_named(refused: Any, made: Path) -> None:
    broken = Path("broken")
    broken.mkdir()
    for path in (made / "truth").iterdir():
        (broken / path.name).write_bytes(path.read_bytes()[: -1 if path.name == "memory.bin" else None])
    assert "memory.bin" in refused(2, "check", made / "a.dmp", "--truth", broken)
    assert "memory.bin" in refused(2, "dump", broken, "-o", "a.dmp")


def test_a_truth_without_request_needs_a_qualifier(refused: Any, made: Path) -> None:
    bare = Path("bare")
    bare.mkdir()
    for name in ("memory.bin", "truth.json"):
        (bare / name).write_bytes((made / "truth" / name).read_bytes())
    assert "has no request.json" in refused(2, "check", made / "a.dmp", "--truth", bare)
    assert "has no request.json" in refused(2, "check", made / "a.dmp", "--truth", bare, "-f", "full-memory")
    assert "only with --truth" in refused(2, "check", made / "a.dmp", "-q", "small")


@pytest.mark.parametrize("command", ["check", "map"])
def test_an_invalid_request_file_is_named(refused: Any, made: Path, command: str) -> None:
    dump, asked, own = made / "a.dmp", made / "truth" / "request.json", Path("own.json")
    truth = ("--truth", made / "truth")
    assert "own.json: cannot be read" in refused(2, command, dump, *truth, "--request", own)
    own.write_text("{", encoding="utf-8")
    assert "own.json: expected JSON" in refused(2, command, dump, *truth, "--request", own)
    document = json.loads(asked.read_text(encoding="utf-8"))
    own.write_text(json.dumps(document | {"format": "dumptruth-truth"}), encoding="utf-8")
    assert "own.json.format: expected 'dumptruth-request'" in refused(2, command, dump, *truth, "--request", own)
    own.write_text(json.dumps(document | {"comment": 5}), encoding="utf-8")
    assert "own.json.comment: expected" in refused(2, command, dump, *truth, "--request", own)
    assert "expected one of them" in refused(2, command, dump, *truth, "--request", asked, "-q", "small")
    assert "only " in (said := refused(2, command, dump, "--request", asked))
    assert "--truth" in said


def test_missing_files_are_named(refused: Any) -> None:
    assert refused(2, "check", "nothing.dmp").startswith("dumptruth: nothing.dmp: ")
    assert refused(2, "identify", "nothing.dmp").startswith("dumptruth: nothing.dmp: ")
    assert refused(2, "check", "nothing*.dmp").startswith("dumptruth: nothing*.dmp: ")


def test_an_unknown_rule_names_the_nearest(refused: Any) -> None:
    assert "did you mean XCUT-REPLAY-001" in refused(2, "explain", "XCUT-REPLAY-002")
    assert "'dumptruth rules' lists them" in refused(2, "explain", "zzz")


def test_wrong_usage_is_one_line(refused: Any) -> None:
    assert "No such command" in refused(2, "frobnicate")
    assert "No such option" in refused(2, "check", "--frobnicate", "x")
    assert "--out" in refused(2, "dump", "null-read")


def test_an_unexpected_error_is_one_line_that_says_how_to_see_more(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, made: Path
) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("dumptruth.fixtures.replay.judging.judge", broken)
    monkeypatch.delenv("DUMPTRUTH_DEBUG", raising=False)
    assert run_command(["check", str(made / "a.dmp")]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "internal error, RuntimeError: two lines" in line
    assert "DUMPTRUTH_DEBUG=1" in line
    monkeypatch.setenv("DUMPTRUTH_DEBUG", "1")
    assert run_command(["check", str(made / "a.dmp")]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_c_files_that_do_not_build_or_do_not_crash_say_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("ziglang", reason="compiling C needs the extra 'images'")
    sources = {
        "broken.c": ("int x", 2, "broken.c:1"),
        "noentry.c": (
            "int other(void) { return 1; }",
            2,
            "noentry.c: expected one of main, wmain, WinMain, wWinMain or mainCRTStartup",
        ),
        "quiet.c": ("void mainCRTStartup(void) {}", 1, "quiet.exe: exited with code"),
        "exits.c": (
            "__declspec(dllimport) void ExitProcess(unsigned);\nvoid mainCRTStartup(void) { ExitProcess(42); }",
            1,
            "exits.exe: exited with code 42",
        ),
    }
    for name, (text, status, message) in sources.items():
        (tmp_path / name).write_text(text + "\n", encoding="utf-8")
        arguments = ["dump", str(tmp_path / name), "-o", str(tmp_path / "a.dmp"), "--truth", str(tmp_path / "truth")]
        assert run_command(arguments) == status
        printed = capsys.readouterr().err
        assert message in printed
        assert (printed.count("\n") > 1) == (name == "broken.c"), "only the compiler's messages keep their lines"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(sources)


def test_a_c_file_without_the_compiler_says_what_to_install(refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dumptruth.emu.images.toolchain.importlib.util.find_spec", lambda _name: None)
    Path("own.c").write_text("void mainCRTStartup(void) {}\n", encoding="utf-8")
    assert "dumptruth[images]" in refused(2, "run", "own.c")


def test_demo_fails_when_a_scenario_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong dump, a wrong event and a missing replay each fail their row."""
    monkeypatch.setattr(demonstration, "scenario_names", lambda **_: ["null-read", "null-write"])

    def spoilt(file: Path, *case: Any) -> Any:
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
        return judge(file, *case)

    def other_event(name: str, *limits: Any) -> Any:
        if name == "null-write":
            raise ExpectationError("another event")
        return run_scenario(name, *limits)

    monkeypatch.setattr(demonstration, "judge", spoilt)
    monkeypatch.setattr(demonstration, "run_scenario", other_event)
    rows = run_demo(tmp_path / "out", workers=1)
    assert [(row.scenario, row.qualifier, row.passed) for row in rows] == [
        ("null-read", "small", False),
        ("null-read", "default", False),
        ("null-write", "small", False),
        ("null-write", "default", False),
    ]
    assert rows[1].problem is not None
    assert rows[1].problem.startswith("PAGE-BYTES-001")
    assert rows[2].problem == "another event"
    monkeypatch.setattr(demonstration, "judge", judge)
    monkeypatch.setattr("dumptruth.fixtures.replay.judging.find_spec", lambda _name: None)
    rows = run_demo(tmp_path / "again", workers=1)
    assert rows[0].passed
    assert rows[1].problem == "XCUT-REPLAY-001: NOT_APPLICABLE: the dump was not replayed"


def test_demo_refuses_an_output_path_below_a_file(refused: Any) -> None:
    Path("file").touch()
    assert "file" in refused(2, "demo", "--out", "file/deep")


def test_names_that_would_move_the_cursor_are_escaped(
    capsys: pytest.CaptureFixture[str], made: Path, tmp_path: Path
) -> None:
    truth = tmp_path / "hostile"
    truth.mkdir()
    (truth / "memory.bin").write_bytes((made / "truth" / "memory.bin").read_bytes())
    document = json.loads((made / "truth" / "truth.json").read_text(encoding="utf-8"))
    document["threads"][0]["name"] = "\x1b[2Jcleared"
    document["modules"][0]["name"] = "C:\\\ud800\x07.exe"
    (truth / "truth.json").write_text(json.dumps(document), encoding="utf-8")
    assert run_command(["run", str(truth)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert r"\x1b[2Jcleared" in out
    assert r"C:\\ud800\x07.exe" in out
    assert run_command(["dump", str(truth), "-o", str(tmp_path / "a.dmp")]) == 0
    capsys.readouterr()
    assert run_command(["check", str(tmp_path / "a.dmp"), "--truth", str(made / "truth"), "-q", "small"]) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x07" not in out
