"""C++ exceptions of gcc work on ntdll's services, without a C runtime. Skipped without Debian's mingw-w64 g++.

libgcc's language handler and libstdc++ are linked statically. The few C functions that they need are here.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from dumptruth.emu.process.library import RUNTIME_IMAGES
from dumptruth.emu.process.outcome import Chance, Crashed, Exited, Outcome
from dumptruth.emu.process.start import start_process

GPP = shutil.which("x86_64-w64-mingw32-g++")
pytestmark = pytest.mark.skipif(GPP is None, reason="x86_64-w64-mingw32-g++ is not installed")

RUNTIME = r"""
typedef __SIZE_TYPE__ size_t;
#define API __declspec(dllimport)
API void *__stdcall HeapAlloc(void *, unsigned, size_t);
API int __stdcall HeapFree(void *, unsigned, void *);
API void *__stdcall GetProcessHeap(void);
API void __stdcall ExitProcess(unsigned);
int _CRT_MT = 1;
void *malloc(size_t n) { return HeapAlloc(GetProcessHeap(), 0, n); }
void *calloc(size_t n, size_t m) { return HeapAlloc(GetProcessHeap(), 8, n * m); }
void *realloc(void *p, size_t n) { ExitProcess(0xABCE); __builtin_unreachable(); }
void free(void *p) { HeapFree(GetProcessHeap(), 0, p); }
void abort(void) { ExitProcess(0xABCD); __builtin_unreachable(); }
static void *stream(unsigned i) { return 0; }
void *(*__imp___acrt_iob_func)(unsigned) = stream;
int __mingw_vsprintf(char *b, const char *f, void *v) { *b = 0; return 0; }
int __mingwthr_key_dtor(unsigned long k, void (*d)(void *)) { return 0; }
int atexit(void (*f)(void)) { return 0; }
int fputc(int c, void *f) { return c; }
int fputs(const char *s, void *f) { return 0; }
size_t fwrite(const void *p, size_t a, size_t b, void *f) { return b; }
void *memcpy(void *d, const void *s, size_t n)
{
    for (size_t i = 0; i < n; i++) ((char *)d)[i] = ((const char *)s)[i];
    return d;
}
void *memset(void *d, int v, size_t n) { for (size_t i = 0; i < n; i++) ((char *)d)[i] = v; return d; }
size_t strlen(const char *s) { size_t n = 0; while (s[n]) n++; return n; }
int strncmp(const char *a, const char *b, size_t n)
{
    for (; n; n--, a++, b++) if (*a != *b || !*a) return (unsigned char)*a - (unsigned char)*b;
    return 0;
}
int strcmp(const char *a, const char *b) { return strncmp(a, b, -1); }
"""
PROGRAM = r"""
extern "C" __declspec(dllimport) void __stdcall OutputDebugStringA(const char *);
static void said(const char *text) { OutputDebugStringA(text); OutputDebugStringA(" "); }
struct guard { const char *name; ~guard() { said(name); } };
struct base { virtual ~base() {} virtual const char *what() const { return "base"; } };
struct derived : base { const char *what() const override { return "derived"; } };
__attribute__((noinline)) void throws(int n) { guard g{"~throws"}; if (n == 1) throw derived(); if (n == 2) throw 42; }
__attribute__((noinline)) void middle(int n)
{
    guard g{"~middle"};
    try { throws(n); } catch (int &i) { said("again"); i = 43; throw; }
}
static volatile int *volatile null;
extern "C" int mainCRTStartup()
{
    try { middle(1); } catch (const base &b) { said(b.what()); }
    said("|");
    try { middle(2); } catch (int i) { said(i == 43 ? "43" : "other"); }
    said("|");
    try { try { throws(1); } catch (...) { guard g{"~inner"}; throw 7L; } } catch (long l) { said(l == 7 ? "7" : "?"); }
    END
    return 0;
}
"""


def run(folder: Path, end: str, chance: Chance = "second") -> tuple[str, Outcome]:
    (folder / "runtime.c").write_text(RUNTIME, encoding="utf-8")
    (folder / "program.cpp").write_text(PROGRAM.replace("END", end), encoding="utf-8")
    assert GPP is not None
    quiet = ("-w", "-O1", "-fno-builtin", "-fno-tree-loop-distribute-patterns")
    subprocess.run([GPP.removesuffix("g++") + "gcc", *quiet, "-c", "runtime.c"], cwd=folder, check=True)
    libraries = ("-lstdc++", "-lgcc_eh", "-lgcc", "-lkernel32")
    start = ("-static", "-nostartfiles", "-nodefaultlibs", "-e", "mainCRTStartup")
    subprocess.run([GPP, "program.cpp", "runtime.o", "-o", "program.exe", *start, *libraries], cwd=folder, check=True)
    process = start_process(folder / "program.exe", system_directory=RUNTIME_IMAGES, chance=chance)
    outcome = process.run()
    return process.debug_output.decode().strip(), outcome


def test_objects_are_caught_destroyed_and_thrown_again(tmp_path: Path) -> None:
    output, outcome = run(tmp_path, "")
    assert outcome == Exited(0)
    assert output == "~throws ~middle derived | ~throws again ~middle 43 | ~throws ~inner 7"


def test_a_crash_after_the_exceptions_is_at_its_second_chance(tmp_path: Path) -> None:
    output, outcome = run(tmp_path, "*null = 1;")
    assert output.endswith("7")
    assert isinstance(outcome, Crashed)
    assert (outcome.record.code, outcome.first_chance) == (0xC0000005, False)


def test_the_first_chance_is_the_throw(tmp_path: Path) -> None:
    """0x20474343: the code of libgcc's exceptions (unwind-seh.c STATUS_GCC_THROW)."""
    output, outcome = run(tmp_path, "", "first")
    assert output == ""
    assert isinstance(outcome, Crashed)
    assert (outcome.record.code, outcome.first_chance) == (0x20474343, True)
