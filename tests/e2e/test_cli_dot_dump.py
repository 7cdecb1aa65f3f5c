"""``dumptruth dot-dump`` writes dumps by the debugger's command line, and ``dumptruth check`` judges them."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from dumptruth.emu.synthetic.kernel import synthetic_machine
from dumptruth.emu.synthetic.process import Pages, synthetic_process
from dumptruth.emu.truth import store
from dumptruth.fixtures.app.cli import run_command

from .command_line import CommandLine

RECORD = 0x300_0000_0000


@pytest.fixture
def dot_dump(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Runs the command in the test's own folder."""
    monkeypatch.chdir(tmp_path)
    return CommandLine(capsys, "dot-dump")


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The truth of a process with an EXCEPTION_RECORD in its memory."""
    page = struct.pack("<IIQQI4x15Q", 0xC0000409, 1, 0, 0xDEAD, 1, 7, *[0] * 14).ljust(0x1000, b"\0")
    folder = tmp_path_factory.mktemp("process") / "truth"
    store.save(synthetic_process(extra=[Pages(RECORD, 0x1000, data=page)]), folder, source="crash.exe")
    return folder


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("machine") / "truth"
    store.save(synthetic_machine(), folder, source="crashdrv.sys")
    return folder


def files() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def test_the_help_of_the_command_lists_its_letters(dot_dump: Any) -> None:
    done = dot_dump(".dump /?")
    assert done.status == 0
    options = ("/m[letters]", "/f[y]", "/k, /ka", "/o", "/b[a]", "/c text", "/u", "/a", "/xc, /xr, /xp", "/xt", "/j")
    for option in options:
        assert f"\n{option} " in done.out


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The truth of a scenario."""
    folder = tmp_path_factory.mktemp("crashed") / "truth"
    assert run_command(["run", "dll-after-unload", "--truth", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("letters", ["", "fFhut", *"aAfFhutipwdcrRy"])
def test_dumps_of_every_letter_conform(dot_dump: Any, crashed: Path, letters: str) -> None:
    assert dot_dump(f'.dump /m{letters} /c "as asked" x.dmp', crashed, "--truth", "t").status == 0
    assert run_command(["check", "x.dmp", "--truth", "t"]) == 0
    request = json.loads(Path("t/request.json").read_text(encoding="utf-8"))
    assert (request["qualifier"], request["comment"], request["file"]) == ("DEBUG_DUMP_SMALL", "as asked", "x.dmp")
    assert "DEBUG_FORMAT_NO_OVERWRITE" in request["format_flags"]


def test_an_existing_file_is_kept_unless_o_is_given(dot_dump: Any, process: Path) -> None:
    Path("x.dmp").write_bytes(b"old")
    done = dot_dump("/ma x.dmp", process)
    assert done.status == 1
    assert done.err.startswith("dumptruth: WriteDumpFile: ERROR_FILE_EXISTS (0x80070050): ")
    assert Path("x.dmp").read_bytes() == b"old"
    assert dot_dump("/ma /o x.dmp", process).status == 0
    assert Path("x.dmp").read_bytes()[:4] == b"MDMP"
    assert files() == ["x.dmp"]


@pytest.mark.parametrize(
    ("letters", "name"), [("/m", "SMALL"), ("/k", "DEFAULT"), ("/ka", "ACTIVE"), ("/f", "FULL"), ("/fy", "FULL")]
)
def test_machines_take_their_own_letters(dot_dump: Any, machine: Path, letters: str, name: str) -> None:
    (document,) = dot_dump(f"{letters} m.dmp", machine, "--truth", "t", "--json").json()
    assert document["qualifier"] == f"DEBUG_DUMP_{name}"
    assert run_command(["check", "m.dmp", "--truth", "t"]) == 0


def test_f_of_a_process_follows_the_profile(dot_dump: Any, process: Path) -> None:
    assert dot_dump("/f x.dmp", process).status == 0
    assert dot_dump("/f y.dmp", process, "--profile", "legacy").out.startswith("y.dmp: ")
    assert [Path(name).read_bytes()[:8] for name in ("x.dmp", "y.dmp")][1] == b"USERDU64"
    done = dot_dump("/f z.dmp", process, "--profile", "refuse")
    assert (done.status, "E_NOTIMPL" in done.err) == (1, True)
    assert files() == ["x.dmp", "y.dmp"]


def test_the_stored_event_is_the_named_one_in_dump_and_truth(dot_dump: Any, process: Path) -> None:
    assert dot_dump(f"/xr {RECORD:x} x.dmp", process, "--truth", "t").status == 0
    truth = json.loads(Path("t/truth.json").read_text(encoding="utf-8"))
    assert truth["exception"]["code"] == 0xC0000409
    assert run_command(["check", "x.dmp", "--truth", "t"]) == 0
    assert run_command(["check", "x.dmp", "--truth", str(process), "-q", "small"]) == 1


def test_a_missing_event_refuses_the_dump(dot_dump: Any, process: Path) -> None:
    done = dot_dump("/xp 10 x.dmp", process, "--truth", "t")
    assert done.status == 1
    assert "ERROR_PARTIAL_COPY (0x8007012B): EXCEPTION_POINTERS 0x10: 16 bytes cannot be read" in done.err
    assert "E_INVALIDARG" in dot_dump("/xt 77 x.dmp", process).err
    assert files() == []


def test_several_targets_take_a_and_get_names_of_their_own(dot_dump: Any, process: Path, machine: Path) -> None:
    done = dot_dump("/a /u /b d.cab", process, process, machine, "--json")
    assert done.status == 0
    names = [document["file"] for document in done.json()]
    assert len(set(names)) == 3
    assert names[0] == "d_0000_2024-01-17_21-20-00-000_1234.cab"
    assert files() == sorted(names)
    assert [document["cabinet"] for document in done.json()] == [[f"{name}.dmp"] for name in names]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/mq x.dmp", "P"], "dot-dump: column 3: unknown letter 'q' after /m, expected one of "),
        (["/ma"], "dot-dump: column 4: the file name is missing"),
        (["/ma x.dmp"], "dot-dump: expected a target"),
        (["x.dmp", "P", "P"], "dot-dump: 2 targets need /a, which dumps all of them"),
        (["/a /u x.dmp", "P", "P", "--truth", "t"], "dot-dump: --truth needs a single target"),
        (["/ka x.dmp", "P"], "dot-dump: column 1: /ka: only for a kernel-mode target"),
        (["/mh x.dmp", "M"], "dot-dump: column 1: /m: letters are only for a user-mode target"),
        (["x.dmp", "nowhere"], "nowhere: no such scenario"),
        (["x.dmp", "P", "--profile", "portable"], "profile 'portable' is not for a user-mode target"),
        (["x.dmp", "P", "--profile", "vista"], "unknown profile 'vista'"),
    ],
)
def test_wrong_use_is_one_line_and_leaves_nothing(
    dot_dump: Any, process: Path, machine: Path, arguments: list[str], message: str
) -> None:
    given = [{"P": str(process), "M": str(machine)}.get(argument, argument) for argument in arguments]
    done = dot_dump(*given)
    assert done.status == 2
    assert done.out == ""
    (line,) = done.err.splitlines()
    assert line.startswith(f"dumptruth: {message}")
    assert files() == []


def test_the_writer_refuses_a_name_of_a_folder(dot_dump: Any, process: Path) -> None:
    done = dot_dump("/ma /o .", process, "--json")
    assert (done.status, done.json()["hresult_name"]) == (1, "ERROR_ACCESS_DENIED")


def test_under_an_engines_contract_the_command_is_parsed_and_answered_as_by_the_engine(
    dot_dump: Any, process: Path
) -> None:
    done = dot_dump("/mz x.dmp", process, "--contract", "e29507")
    assert (done.status, done.out) == (0, "Creating z x.dmp - mini user dump\nDump successfully written\n")
    assert files() == ["z x.dmp"]
    done = dot_dump("/k x.dmp", process, "--contract", "e15063")
    assert done.status == 1
    assert done.out.startswith("Unknown option 'k'\nUsage: .dump")
    assert files() == ["z x.dmp"]


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("null-read", {"crash.cab.dmp", "crash.exe", "crash.pdb"}),
        ("bugcheck-d1", {"crash.cab.dmp", "ntoskrnl.exe", "ntkrnlmp.pdb"}),
    ],
)
def test_ba_packs_images_and_symbols_of_a_scenario(dot_dump: Any, scenario: str, expected: set[str]) -> None:
    done = dot_dump("/ba /m crash.cab", scenario, "--json")
    (document,) = done.json()
    assert expected <= set(document["cabinet"])
    assert document["warnings"] == []
    assert document["size"] == Path("crash.cab").stat().st_size
    if shutil.which("cabextract"):
        subprocess.run(["cabextract", "-q", "-t", "crash.cab"], check=True, capture_output=True)


def test_warnings_go_to_standard_error(dot_dump: Any, process: Path) -> None:
    done = dot_dump("/ba x.cab", process)
    assert done.status == 0
    assert "warning: files left out of the cabinet, of another build: crash.exe, crash.pdb" in done.err
    assert done.out.startswith("x.cab: ")
    assert "a cabinet with x.cab.dmp" in done.out


def test_dump_has_the_flags_of_a_cabinet_and_the_legacy_format(process: Path, tmp_path: Path, capsys: Any) -> None:
    flags = ["-f", "write-cab", "-f", "cab-secondary-files", "-f", "cab-secondary-all-images"]
    arguments = ["dump", str(process), "-q", "default", "--profile", "legacy", *flags, "-o", str(tmp_path / "x.cab")]
    assert run_command([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["cabinet"] == ["x.cab.dmp"]
    assert document["dump_size"] > document["size"] == (tmp_path / "x.cab").stat().st_size
    assert document["regions"][0] == {"base": "0x7ffe0000", "size": "0x1000"}
    assert "another build: crash.exe" in document["warnings"][0] + document["warnings"][1]
    assert run_command(arguments) == 0
    printed = capsys.readouterr().out
    assert "a cabinet with x.cab.dmp\nx.cab.dmp: " in printed
    assert "legacy full user dump" in printed
