"""A user's C file becomes a program or a DLL, or one error that says why not."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import lief
import pytest
from dumptruth.emu.images.build import ImageBuildError, compile_dll, compile_program

from ..marks import needs_compiler
from .pe_files import parse

pytestmark = needs_compiler

PLAIN = """
#include <windows.h>
#include <winternl.h>
#include <stdint.h>
#include <string.h>
#include "mine.h"

static volatile uint32_t sink;
static void third(int *p) { *p = MINE; }
static void second(int *p) { char big[20000]; memset(big, 1, sizeof big); sink = (uint32_t)big[77]; third(p); }
static void first(int *p) { struct { char c[300]; } a = {{1}}, b = a; sink += (uint32_t)strlen(b.c); second(p); }

DWORD WINAPI worker(void *p) { WaitForSingleObject((HANDLE)p, INFINITE); return 0; }

void mainCRTStartup(void)
{
    HANDLE event = CreateEventA(NULL, FALSE, FALSE, "plain");
    CloseHandle(CreateThread(NULL, 0, worker, event, 0, NULL));
    OutputDebugStringA("plain");
    first(NULL);
    ExitProcess(0);
}
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


def test_a_plain_program_links_against_the_two_system_dlls_alone(tmp_path: Path) -> None:
    sources = tmp_path / "my sources"
    sources.mkdir()
    write(sources, "mine.h", "#define MINE 7\n")
    made = compile_program(write(sources, "plain.c", PLAIN), tmp_path / "out")
    assert made == tmp_path / "out" / "plain.exe"
    assert sorted(path.name for path in made.parent.iterdir()) == ["plain.exe", "plain.pdb"]
    image = parse(made)
    assert {str(i.name).lower() for i in image.imports} == {"kernel32.dll", "ntdll.dll"}
    codeview = image.codeview_pdb
    assert codeview is not None
    assert codeview.filename == "plain.pdb"
    again = tmp_path / "elsewhere"
    again.mkdir()
    write(again, "mine.h", "#define MINE 7\n")
    second = compile_program(write(again, "plain.c", PLAIN), again / "out")
    assert second.read_bytes() == made.read_bytes()
    pdb = made.with_suffix(".pdb").read_bytes()
    assert second.with_suffix(".pdb").read_bytes() == pdb
    assert str(tmp_path).encode() not in pdb + made.read_bytes()


def test_the_null_write_of_a_user_is_kept_as_written(tmp_path: Path) -> None:
    source = "int mainCRTStartup(void) { *(int *)0 = 1; return 0; }\n"
    image = parse(compile_program(write(tmp_path, "w.c", source), tmp_path))
    text = bytes(next(s for s in image.sections if s.name == ".text").content)
    assert b"\xc7\x00\x01\x00\x00\x00" in text, "mov dword ptr [rax], 1"
    assert b"\x0f\x0b" not in text, "no UD2 in its place"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("#include <windows.h>\nint mainCRTStartup(void) { return Undeclared(3); }\n", ["bad.c:2", "Undeclared"]),
        ("int mainCRTStartup(void) { return 1 }\n", ["bad.c:1", "expected ';'"]),
        ("int other(void) { return 0; }\n", ["bad.c: expected one of main, wmain"]),
        ("int nobody(void); int mainCRTStartup(void) { return nobody(); }\n", ["undefined symbol: nobody"]),
        ("#include <absent.h>\n", ["bad.c:1", "'absent.h' file not found"]),
    ],
)
def test_a_program_that_does_not_build_says_why_and_leaves_nothing(
    tmp_path: Path, source: str, words: list[str]
) -> None:
    with pytest.raises(ImageBuildError) as caught:
        compile_program(write(tmp_path, "bad.c", source), tmp_path / "out")
    assert [word for word in words if word not in str(caught.value)] == []
    assert not (tmp_path / "out").exists()


def test_a_missing_file_and_an_unknown_architecture_are_named(tmp_path: Path) -> None:
    with pytest.raises(ImageBuildError, match=r"no such C file: absent\.c"):
        compile_program(tmp_path / "absent.c", tmp_path)
    with pytest.raises(ImageBuildError, match="architecture 'mips': images can be built for amd64"):
        compile_program(write(tmp_path, "a.c", "int mainCRTStartup(void) { return 0; }\n"), tmp_path, "mips")


def test_a_missing_toolchain_is_one_line_that_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    with pytest.raises(ImageBuildError) as caught:
        compile_program(write(tmp_path, "a.c", "int mainCRTStartup(void) { return 0; }\n"), tmp_path)
    assert str(caught.value) == "building images needs the ziglang package: pip install 'dumptruth[images]'"


@pytest.mark.parametrize("with_entry", [True, False])
def test_a_dll_exports_what_its_source_says_and_enters_at_dllmain_if_there_is_one(
    tmp_path: Path, with_entry: bool
) -> None:
    source = "#include <windows.h>\n__declspec(dllexport) int twice(int n) { return n * 2; }\n"
    if with_entry:
        source += "BOOL WINAPI DllMain(HINSTANCE i, DWORD r, LPVOID p) { (void)i; (void)p; return r < 4; }\n"
    image = parse(compile_dll(write(tmp_path, "own.c", source), tmp_path / "out"))
    table = image.get_export()
    assert isinstance(table, lief.PE.Export)
    assert [str(entry.name) for entry in table.entries] == ["twice"]
    assert (image.optional_header.addressof_entrypoint != 0) is with_entry
    assert image.header.has_characteristic(lief.PE.Header.CHARACTERISTICS.DLL)
