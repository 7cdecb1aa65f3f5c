"""The user's own programs on the command line: compiled, run, dumped, and handed over with their symbols."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dumptruth.emu.images.services import FOLDER as IMAGES

# Compiling C needs the extra `images`.
ZIGLANG = "ziglang"
CRASHING = """
#include <windows.h>
static int deep(volatile int *place, int calls) { return calls ? deep(place, calls - 1) + 1 : (*place = 7); }
void mainCRTStartup(void) {
    DWORD written;
    WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), "hello\\r\\n", 7, &written, NULL);
    OutputDebugStringA("first\\nsecond\\n");
    ExitProcess(deep(NULL, 3));
}
"""


def test_a_c_file_runs_prints_its_output_and_its_dumps_conform(dumptruth: Any) -> None:
    pytest.importorskip(ZIGLANG, reason="compiling C needs the extra 'images'")
    Path("own.c").write_text(CRASHING, encoding="utf-8")
    done = dumptruth("run", "own.c")
    assert done.status == 0
    assert done.out.splitlines()[:3] == ["console> hello", "debug> first", "debug> second"]
    assert "own.exe: ACCESS_VIOLATION" in done.out
    for qualifier in ("small", "default"):
        done = dumptruth("dump", "own.c", "-q", qualifier, "-o", "own.dmp", "--truth", "t", "--json")
        assert done.json()["hresult_name"] == "S_OK"
        assert "console> hello" in done.err
        assert dumptruth("check", "own.dmp", "--truth", "t").status == 0
    assert sorted(path.name for path in Path().iterdir()) == ["own.c", "own.dmp", "t"]


ENDS = "#include <windows.h>\nint mainCRTStartup(void) { return 0; }\n"


def test_the_compiled_program_and_its_pdb_are_handed_over(dumptruth: Any) -> None:
    pytest.importorskip(ZIGLANG, reason="compiling C needs the extra 'images'")
    Path("own.c").write_text(CRASHING, encoding="utf-8")
    done = dumptruth("dump", "own.c", "-o", "own.dmp", "--truth", "held", "--keep-program", "new/built")
    assert done.status == 0
    assert "program kept in" in done.out
    program, symbols = (Path("new/built", name).read_bytes() for name in ("own.exe", "own.pdb"))
    assert (program[:2], symbols[:24]) == (b"MZ", b"Microsoft C/C++ MSF 7.00")
    again = dumptruth("dump", "new/built/own.exe", "-o", "again.dmp", "--truth", "again")
    assert (again.status, Path("again.dmp").stat().st_size) == (0, Path("own.dmp").stat().st_size)
    Path("ends.c").write_text(ENDS, encoding="utf-8")
    done = dumptruth("dump", "ends.c", "-o", "ends.dmp", "--keep-program", "new/built")
    assert (done.status, Path("ends.dmp").exists(), Path("new/built/ends.exe").exists()) == (1, False, True)


def test_only_a_c_file_has_a_program_to_hand_over(dumptruth: Any) -> None:
    done = dumptruth("dump", "null-read", "-o", "a.dmp", "--keep-program", "built")
    assert (done.status, done.err) == (
        2,
        "dumptruth: --keep-program: only a C or C++ file is compiled, found null-read\n",
    )
    assert not Path("built").exists()


def test_a_program_gets_its_arguments_and_the_dlls_beside_it(dumptruth: Any) -> None:
    folder = Path("programs")
    folder.mkdir()
    for name in ("crash.exe", "alpha.dll", "beta.dll"):
        (folder / name).write_bytes((IMAGES / name).read_bytes())
    event = dumptruth("run", folder / "crash.exe", "--arg", "wild-call", "--json").json()["event"]
    assert event["address"] == "0xbad00000ba0"


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("null-read", ["alpha.dll", "alpha.pdb", "crash.exe", "crash.pdb", "kernel32.dll", "ntdll.pdb"]),
        ("bugcheck-d1", ["crashdrv.sys", "crashdrv.pdb", "hal.dll", "ntoskrnl.exe", "ntkrnlmp.pdb"]),
    ],
)
def test_dump_puts_the_images_and_their_pdbs_into_the_symbols_folder(
    dumptruth: Any, tmp_path: Path, target: str, names: list[str]
) -> None:
    folder = tmp_path / "new" / "symbols"
    done = dumptruth("dump", target, "-o", str(tmp_path / "a.dmp"), "--symbols", str(folder))
    assert (done.status, done.err) == (0, "")
    made = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(names) <= set(made)
    built = [path for name in made for path in (IMAGES / name, IMAGES / "kernel" / name) if path.is_file()]
    assert {path.name: path.read_bytes() for path in built} == made


def test_dump_refuses_a_symbols_folder_that_is_a_file_before_it_writes_a_dump(dumptruth: Any, tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"mine")
    done = dumptruth("dump", "null-read", "-o", str(tmp_path / "a.dmp"), "--symbols", str(tmp_path / "taken"))
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


HANDLES = """
#include <windows.h>
static LONG WINAPI top(EXCEPTION_POINTERS *e) { OutputDebugStringA("top\\n"); return EXCEPTION_EXECUTE_HANDLER; }
void mainCRTStartup(void) {
    __try { *(volatile int *)0x10 = 1; } __except (EXCEPTION_EXECUTE_HANDLER) { OutputDebugStringA("handled\\n"); }
    if (GetCommandLineA()[lstrlenA(GetCommandLineA()) - 1] == 'f') SetUnhandledExceptionFilter(top);
    *(volatile int *)0x20 = 1;
}
"""


def test_the_chance_decides_which_exception_stops_a_program(dumptruth: Any) -> None:
    pytest.importorskip(ZIGLANG, reason="compiling C needs the extra 'images'")
    Path("own.c").write_text(HANDLES, encoding="utf-8")
    done = dumptruth("run", "own.c", "--chance", "first")
    assert done.status == 0
    assert "debug>" not in done.out
    assert "write of 00000000`00000010" in done.out
    assert "second chance" not in done.out
    done = dumptruth("dump", "own.c", "-q", "small", "-o", "own.dmp", "--truth", "t")
    assert done.status == 0
    assert done.out.splitlines()[0] == "debug> handled"
    assert dumptruth("check", "own.dmp", "--truth", "t").status == 0
    done = dumptruth("run", "t")
    assert done.out.splitlines()[0].endswith("second chance")
    done = dumptruth("run", "own.c", "--arg", "f")
    assert done.status == 1
    assert "debug> top" in done.out
    assert "own.exe: exited with code 3221225477 (0xC0000005) and did not crash: nothing to dump" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("own.exe", "--chance", "third"), "--chance third: expected first or second"),
        (("null-read", "--chance", "second"), "null-read: only a program takes --chance"),
    ],
)
def test_a_chance_that_cannot_be_is_refused(dumptruth: Any, arguments: tuple[str, ...], message: str) -> None:
    Path("own.exe").write_bytes(b"MZ")
    done = dumptruth("run", *arguments)
    assert done.status == 2
    assert message in done.err
