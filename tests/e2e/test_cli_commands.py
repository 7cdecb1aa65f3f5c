"""Output, JSON, exit status and files of each command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dumptruth.emu.errors import DumptruthError
from dumptruth.emu.images.services import FOLDER as IMAGES
from dumptruth.fixtures.app import demonstration
from dumptruth.fixtures.app.cli import run_command
from dumptruth.fixtures.app.commands import failure
from dumptruth.oracle import Grade, Source, all_rules
from dumptruth.oracle.citations import cited


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The truth of a scenario, without a request."""
    folder = tmp_path_factory.mktemp("held") / "truth"
    assert run_command(["run", "dll-after-unload", "--truth", str(folder)]) == 0
    return folder


def test_help_names_every_command(dumptruth: Any) -> None:
    done = dumptruth("--help")
    assert done.status == 0
    for command in ("demo", "scenarios", "run", "dump", "check", "diff", "identify", "rules", "explain"):
        assert f"\n  {command} " in done.out
        assert dumptruth(command, "-h").status == 0


def test_no_command_at_all_is_wrong_usage_and_shows_the_help(dumptruth: Any) -> None:
    done = dumptruth()
    assert done.status == 2
    assert done.out == dumptruth("--help").out


def test_version_prints_name_and_number(dumptruth: Any) -> None:
    assert dumptruth("--version").out == "dumptruth 0.1.0\n"


def test_scenarios_lists_name_and_event(dumptruth: Any) -> None:
    lines = dumptruth("scenarios").out.splitlines()
    assert len(lines) == 2 + 28 + 15
    assert any(line.startswith("wild-call ") and "ACCESS_VIOLATION" in line for line in lines)


def test_scenarios_as_json_give_the_expected_event(dumptruth: Any) -> None:
    listed = {item["name"]: item for item in dumptruth("scenarios", "--json").json()}
    assert [item["mode"] for item in listed.values()] == ["user"] * 28 + ["kernel"] * 15
    wild = listed["wild-call"]
    assert (wild["mode"], wild["arch"]) == ("user", "amd64")
    assert wild["expected"] == {"code": 0xC0000005, "address": "0xbad00000ba0", "information": ["0x8", "0xbad00000ba0"]}
    assert listed["deadlock"]["expected"] is None


def test_run_prints_event_threads_and_modules_and_saves_the_truth(dumptruth: Any) -> None:
    done = dumptruth("run", "null-write", "--truth", "made/truth")
    assert done.status == 0
    assert "ACCESS_VIOLATION" in done.out.splitlines()[0]
    assert "write of 00000000`00000018" in done.out.splitlines()[0]
    assert "waits for mutex" in done.out
    assert "beta.dll (unloaded)" in done.out
    assert sorted(path.name for path in Path("made/truth").iterdir()) == ["memory.bin", "truth.json"]
    stacks = json.loads(Path("made/truth/truth.json").read_text(encoding="utf-8"))["stacks"]
    assert [frame["function"] for frame in stacks[0]["frames"]][:2] == ["crash_write", "write_deep"]


def test_run_as_json_is_one_object(dumptruth: Any) -> None:
    document = dumptruth("run", "execute-nx", "--json").json()
    assert document["event"]["code"] == 0xC0000005
    assert document["event"]["information"] == ["0x8", "0x20000010040"]
    assert any(thread["name"] == "main" for thread in document["threads"])
    assert [module["unloaded"] for module in document["modules"]].count(True) == 1
    assert document["truth"] is None


def test_a_deadlock_is_run_and_dumped_without_an_exception(dumptruth: Any) -> None:
    assert dumptruth("run", "deadlock", "--json").json()["event"] is None
    assert "without an exception" in dumptruth("run", "deadlock").out
    assert dumptruth("dump", "deadlock", "-o", "d.dmp", "--truth", "t").status == 0
    assert dumptruth("check", "d.dmp", "--truth", "t").status == 0


def test_dump_records_the_request_that_check_then_takes(dumptruth: Any) -> None:
    done = dumptruth("dump", "null-read", "-q", "small", "-f", "handle-data", "-f", "THREAD_INFO",
                     "-f", "DEBUG_FORMAT_USER_SMALL_FULL_MEMORY_INFO", "--comment", "Größe", "-o", "a.dmp",
                     "--truth", "t")  # fmt: skip
    assert done.status == 0
    request = json.loads(Path("t/request.json").read_text(encoding="utf-8"))
    assert request["format_flags_value"] == 0x2 | 0x800 | 0x400
    assert (request["qualifier"], request["comment"], request["file"]) == ("DEBUG_DUMP_SMALL", "Größe", "a.dmp")
    checked = dumptruth("check", "a.dmp", "--truth", "t")
    assert checked.status == 0
    assert checked.out.splitlines()[-1] == "a.dmp: CONFORMANT"
    assert ", 0 unclaimed" in checked.out


def test_options_of_check_override_what_was_recorded(dumptruth: Any) -> None:
    dumptruth("dump", "null-read", "-f", "handle-data", "--comment", "one", "-o", "a.dmp", "--truth", "t")
    assert dumptruth("check", "a.dmp", "--truth", "t").status == 0
    for override, rule in (
        (("--comment", "two"), "TRUE-COMMENT-001"),
        (("-f", "thread-info"), "TRUE-FLAGS-001"),
        (("-q", "default"), "TRUE-FLAGS-001"),
        (("-q", "small", "--comment", "one"), "TRUE-FLAGS-001"),
    ):
        done = dumptruth("check", "a.dmp", "--truth", "t", *override)
        assert done.status == 1, override
        assert rule in done.out
    assert dumptruth("check", "a.dmp", "--truth", "t", "-q", 1024, "-f", "handle_data", "--comment", "one").status == 0


def test_a_request_file_goes_before_the_request_in_the_truth(dumptruth: Any) -> None:
    dumptruth("dump", "null-read", "-f", "handle-data", "--comment", "one", "-o", "a.dmp", "--truth", "t")
    Path("apart").mkdir()
    asked = Path("t/request.json").rename("apart/mine.json")
    assert dumptruth("check", "a.dmp", "--truth", "t").status == 2
    assert dumptruth("check", "a.dmp", "--truth", "t", "--request", asked).status == 0
    assert dumptruth("map", "a.dmp", "--truth", "t", "--request", asked, "--json").json()["memory"]["judged"]
    done = dumptruth("check", "a.dmp", "--truth", "t", "--request", asked, "--comment", "two")
    assert (done.status, "TRUE-COMMENT-001" in done.out) == (1, True)
    # It goes before the request in the truth.
    other = json.loads(asked.read_text(encoding="utf-8")) | {"comment": "two"}
    Path("t/request.json").write_text(json.dumps(other), encoding="utf-8")
    assert dumptruth("check", "a.dmp", "--truth", "t").status == 1
    assert dumptruth("check", "a.dmp", "--truth", "t", "--request", asked).status == 0


@pytest.mark.parametrize(("every", "verdict"), [((), "NOT_APPLICABLE"), (("-f", "cab-secondary-all-images"), "PASS")])
def test_the_cabinet_of_a_machine_holds_the_images_whose_files_exist(
    dumptruth: Any, every: tuple[str, ...], verdict: str
) -> None:
    """Without CAB_SECONDARY_ALL_IMAGES the engines pack no image, so no rule demands those that our writer packs."""
    cab = ("-f", "write-cab", "-f", "cab-secondary-files", *every)
    dumptruth("dump", "bugcheck-d1", "--ram", "4M", "-q", "small", *cab, "-o", "a.cab", "--truth", "t")
    document = json.loads(Path("t/truth.json").read_text(encoding="utf-8"))
    assert document["symbols"]["kernel_base"] in document["image_files"]
    done = dumptruth("check", "a.cab", "--truth", "t", "--json", "-")
    rules = {item["rule"]: item["verdict"] for item in json.loads(done.out)["rules"]}
    assert (done.status, rules["CAB-SECONDARY-005"]) == (0, verdict), rules
    members = dumptruth("identify", "a.cab", "--json").json()["members"]
    assert {"a.cab.dmp", "ntoskrnl.exe", "ntkrnlmp.pdb"} <= {item["name"] for item in members}


def test_a_cabinet_must_hold_the_images_whose_files_are_listed_in_the_truth(dumptruth: Any) -> None:
    cab = ("-f", "write-cab", "-f", "cab-secondary-files")
    assert dumptruth("dump", "null-read", *cab, "-o", "used.cab", "--truth", "t").status == 0
    document = json.loads(Path("t/truth.json").read_text(encoding="utf-8"))
    assert document["image_files"] == [module["base"] for module in document["modules"]]
    assert dumptruth("check", "used.cab", "--truth", "t").status == 0
    every = (*cab, "-f", "cab-secondary-all-images")
    done = dumptruth("check", "used.cab", "--truth", "t", "-q", "small", *every)
    assert (done.status, "CAB-SECONDARY-005" in done.out) == (1, True)
    # Without a list of image files in the truth the rule is only advice.
    del document["image_files"]
    Path("t/truth.json").write_text(json.dumps(document), encoding="utf-8")
    assert dumptruth("check", "used.cab", "--truth", "t", "-q", "small", *every).status == 0
    done = dumptruth("check", "used.cab", "--truth", "t", "-q", "small", *every, "--strict")
    assert (done.status, "CAB-SECONDARY-004" in done.out) == (1, True)


@pytest.mark.parametrize("spelling", ["default", "DEFAULT", "DEBUG_DUMP_DEFAULT", "debug_user_windows_dump", "0x401"])
def test_a_qualifier_may_be_spelt_in_several_ways(dumptruth: Any, held: Path, spelling: str) -> None:
    assert dumptruth("dump", held, "-q", spelling, "-o", "a.dmp", "--json").json()["qualifier"] == "DEBUG_DUMP_DEFAULT"


def test_a_dump_from_a_truth_is_the_dump_from_its_scenario(dumptruth: Any, held: Path) -> None:
    for qualifier in ("small", "default"):
        assert dumptruth("dump", held, "-q", qualifier, "-o", "one.dmp").status == 0
        assert dumptruth("dump", "dll-after-unload", "-q", qualifier, "-o", "two.dmp").status == 0
        assert Path("one.dmp").read_bytes() == Path("two.dmp").read_bytes()
        assert dumptruth("check", "one.dmp", "--truth", held, "-q", qualifier).status == 0


def test_a_truth_can_be_saved_over_the_one_it_came_from(dumptruth: Any, held: Path) -> None:
    assert dumptruth("dump", held, "-o", "a.dmp", "--truth", "t").status == 0
    assert dumptruth("dump", "t", "-q", "default", "-o", "b.dmp", "--truth", "t").status == 0
    assert dumptruth("check", "b.dmp", "--truth", "t").status == 0
    assert dumptruth("run", "t", "--truth", "t").status == 0
    assert not Path("t/request.json").exists()
    assert sorted(path.name for path in Path().iterdir()) == ["a.dmp", "b.dmp", "t"]


def test_dump_as_json_says_which_streams_and_why(dumptruth: Any, held: Path) -> None:
    document = dumptruth("dump", held, "-q", "default", "-f", "cab-secondary-files", "-o", "a.dmp", "--json").json()
    assert (document["hresult"], document["hresult_name"]) == ("0x00000000", "S_OK")
    assert document["size"] == Path("a.dmp").stat().st_size
    assert {stream["type"] for stream in document["streams"]} == {3, 4, 6, 7, 9, 12, 14, 15, 16, 17, 19, 21, 22, 24}
    assert all(stream["reason"] for stream in document["streams"])
    assert "CAB_SECONDARY_FILES" in document["warnings"][0]


def test_check_without_truth_judges_the_structure(dumptruth: Any, held: Path) -> None:
    dumptruth("dump", held, "-o", "a.dmp")
    done = dumptruth("check", "a.dmp")
    assert done.status == 0
    assert "no truth given: only structural rules ran" in done.out
    assert dumptruth("check", "a.dmp", "--strict").status == 0


def test_check_finds_a_changed_byte_of_memory(dumptruth: Any, held: Path) -> None:
    dumptruth("dump", held, "-q", "default", "-o", "a.dmp")
    data = bytearray(Path("a.dmp").read_bytes())
    data[-1] ^= 1
    Path("a.dmp").write_bytes(data)
    done = dumptruth("check", "a.dmp", "--truth", held, "-q", "default", "--json", "-")
    assert done.status == 1
    report = done.json()
    assert (report["outcome"], report["exit_status"]) == ("NON_CONFORMANT", 1)
    assert {item["rule"] for item in report["rules"] if item["verdict"] == "FAIL"} == {"PAGE-BYTES-001"}


def test_check_writes_its_json_to_a_file_and_its_text_to_the_screen(dumptruth: Any, held: Path) -> None:
    dumptruth("dump", held, "-o", "a.dmp")
    done = dumptruth("check", "a.dmp", "--truth", held, "-q", "small", "--json", "report.json")
    assert done.out.endswith("a.dmp: CONFORMANT\n")
    assert json.loads(Path("report.json").read_text(encoding="utf-8"))["outcome"] == "CONFORMANT"


def test_a_default_dump_is_replayed_by_check(dumptruth: Any, held: Path) -> None:
    dumptruth("dump", held, "-q", "default", "-o", "a.dmp")
    report = dumptruth("check", "a.dmp", "--truth", held, "-q", "default", "--json", "-").json()
    assert [item["verdict"] for item in report["rules"] if item["rule"] == "XCUT-REPLAY-001"] == ["PASS"]


def test_identify_names_dumps_and_rejects_other_files(dumptruth: Any, held: Path) -> None:
    dumptruth("dump", held, "-o", "a.dmp")
    done = dumptruth("identify", "a.dmp")
    assert done.status == 0
    assert "minidump" in done.out
    assert "STATUS_ACCESS_VIOLATION (0xc0000005) at alpha.dll+0x" in done.out
    assert "\nmodules\n" not in done.out
    listed = dumptruth("identify", "a.dmp", "-v")
    assert "\nmodules\n" in listed.out
    assert "C:\\Windows\\System32\\ntdll.dll" in listed.out
    document = dumptruth("identify", "a.dmp", "--json").json()
    assert (document["schema"], document["file"], document["kind"]) == ("dumptruth-identity", "a.dmp", "minidump")
    for file, kind in ((held / "truth.json", "text"), (IMAGES / "crash.exe", "pe")):
        assert dumptruth("identify", file).status == 3
        assert dumptruth("identify", file, "--json").json()["kind"] == kind


def test_diff_lists_the_differences_of_two_dumps(dumptruth: Any, held: Path) -> None:
    for qualifier in ("small", "default"):
        dumptruth("dump", held, "-o", f"{qualifier}.dmp", "-q", qualifier)
    assert dumptruth("diff", "small.dmp", "small.dmp").status == 0
    done = dumptruth("diff", "small.dmp", "default.dmp", "--limit", "5")
    assert done.status == 1
    assert "Memory64ListStream" in done.out or "Flags" in done.out
    assert "more (--limit shows more of them)" in done.out
    document = dumptruth("diff", "small.dmp", "default.dmp", "--json").json()
    assert document["same"] is False
    assert {"subject": "header", "name": "Flags", "first": "0x40000", "second": "0x61826"} in document["differences"]
    assert {item["where"] for item in document["memory"]} == {"only in the second"}
    assert dumptruth("diff", "small.dmp", held / "truth.json").status == 3


def test_rules_are_listed_and_any_of_them_is_explained(dumptruth: Any) -> None:
    listed = dumptruth("rules", "--json").json()
    assert len(listed) > 100
    text = dumptruth("rules").out
    for rule in listed:
        assert rule["rule"] in text
        assert rule["sources"]
        assert rule["rationale"]
    for rule in listed[::11]:
        done = dumptruth("explain", rule["rule"])
        assert done.status == 0
        assert rule["title"] in done.out
        words = " ".join(done.out.split())
        for source in rule["sources"]:
            assert source["where"] in done.out
            section = cited(source["where"])
            if section is not None:
                assert f"-- {source['where']}: {section.title}" in done.out.splitlines()
                assert " ".join(section.text.split()) in words


def test_explain_takes_any_case_and_has_json(dumptruth: Any) -> None:
    document = dumptruth("explain", "xcut-replay-001", "--json").json()
    assert document["rule"] == "XCUT-REPLAY-001"
    assert "fresh machine" in document["rationale"]


def test_the_json_of_explain_has_the_text_of_each_cited_section(dumptruth: Any, monkeypatch: Any) -> None:
    sources = (
        Source("docs/format/minidump-threads.md#size-of-the-thread-list", Grade.DOCUMENTED),
        Source("https://learn.microsoft.com/", Grade.DOCUMENTED),
    )
    rule = replace(all_rules()["MDMP-THREAD-001"], sources=sources)
    monkeypatch.setattr("dumptruth.oracle.all_rules", lambda: {rule.id: rule})
    cited_text, address_text = (
        source["text"] for source in dumptruth("explain", "MDMP-THREAD-001", "--json").json()["sources"]
    )
    assert cited_text.startswith("`DataSize` is exactly")
    assert address_text is None
    printed = dumptruth("explain", "MDMP-THREAD-001").out
    assert [line for line in printed.splitlines() if line.startswith("-- ")] == [
        "-- docs/format/minidump-threads.md#size-of-the-thread-list: Size of the thread list"
    ]


def test_a_truth_that_is_overwritten_is_told(dumptruth: Any) -> None:
    assert dumptruth("run", "null-read", "--truth", "held").err == ""
    assert dumptruth("dump", "held", "-o", "a.dmp", "--truth", "held").err == ""  # it only adds the request
    assert dumptruth("dump", "held", "-o", "a.dmp", "--truth", "held").err == ""
    done = dumptruth("dump", "held", "-q", "default", "-o", "a.dmp", "--truth", "held")
    assert done.err == "dumptruth: warning: held: the request of another dump was replaced\n"
    for command in (["dump", "divide-by-zero", "-o", "a.dmp"], ["run", "null-read"]):
        done = dumptruth(*command, "--truth", "held")
        assert done.err == "dumptruth: warning: held: the truth of another target was replaced\n"


@pytest.mark.slow
def test_demo_runs_every_program_under_both_qualifiers_and_a_sample_of_machines_under_four(dumptruth: Any) -> None:
    demonstrated(dumptruth, programs=18, machines=3)


def test_demo_passes_on_a_program_and_a_machine(dumptruth: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # one process: other workers would not see the next line
    monkeypatch.setattr(demonstration, "scenario_names", lambda **_: ["guard-page", "deadlock", "bugcheck-d1"])
    demonstrated(dumptruth, programs=2, machines=1)


def demonstrated(dumptruth: Any, *, programs: int, machines: int) -> None:
    done = dumptruth("demo", "--out", "kept", "--json")
    document = done.json()
    assert done.status == 0
    assert document["passed"]
    modes = [row["mode"] for row in document["rows"]]
    assert modes == ["user"] * 2 * programs + ["kernel"] * 4 * machines
    for row in document["rows"]:
        assert row["outcome"] == "CONFORMANT", row
        assert row["unclaimed"] == 0
        assert row["checks"] > 400
        # Bug check 0x161 has no exception.
        complete = row["qualifier"] == ("default" if row["mode"] == "user" else "full")
        replayed = complete and row["event"] not in (None, 0x161)
        assert row["replay"] is (True if replayed else None)
        assert (row["streams"] is None) == (row["mode"] == "kernel")
    assert dumptruth("check", "kept/guard-page/default.dmp", "--truth", "kept/guard-page", "-q", "default").status == 0
    assert dumptruth("check", "kept/bugcheck-d1/full.dmp", "--truth", "kept/bugcheck-d1", "-q", "full").status == 0


def test_the_installed_command_prints_plain_text_into_a_pipe(held: Path, tmp_path: Path) -> None:
    """Starts one real process. Output in a Windows code page holds only characters of that page."""
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "FORCE_COLOR")}
    commands = [["run", str(held)], ["scenarios"], ["rules"]]
    code = (
        "import sys\n"
        "from dumptruth.fixtures.app.cli import run_command\nfrom dumptruth.fixtures.app.start import main\n"
        f"for command in {commands[:-1]!r}:\n    assert run_command(command) == 0\n"
        f"sys.argv[1:] = {commands[-1]!r}\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        check=True,
        env={**environment, "PYTHONIOENCODING": "cp1252"},
    )
    assert b"\x1b" not in done.stdout
    assert done.stdout.decode("cp1252").isascii()
    assert done.stderr == b""


class CompilerError(DumptruthError):
    keeps_lines = True


@pytest.mark.parametrize(("kind", "printed"), [(DumptruthError, "first second"), (CompilerError, "first\n  second")])
def test_an_error_for_the_user_is_one_line_unless_its_class_keeps_lines(
    kind: type[DumptruthError], printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failure.report(kind("first\n  second")) == failure.USAGE
    assert capsys.readouterr().err == f"dumptruth: {printed}\n"
