"""The C library of the runtime system: start-up and exit, sorting, files, time, threads, ends of programs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("ziglang")

from dumptruth.emu.images.toolchain import ImageBuildError
from dumptruth.emu.process.api_sets import host_of
from dumptruth.emu.process.outcome import Crashed, Exited

from .c_programs import compiled, run

SORT = """
    #include <stdio.h>
    #include <stdlib.h>
    static int order(const void *a, const void *b) {
        int x = *(const int *)a, y = *(const int *)b; return (x > y) - (x < y);
    }
    int main(int count, char **words) {
        int *values = malloc(count * sizeof *values), n = count - 1, missing = 0;
        for (int i = 0; i < n; i++) values[i] = atoi(words[i + 1]);
        qsort(values, n, sizeof *values, order);
        for (int i = 0; i < n; i++) printf("%d\\n", values[i]);
        for (int i = 1; i < count; i++) {
            int key = atoi(words[i]);
            missing += bsearch(&key, values, n, sizeof *values, order) == NULL;
        }
        printf("%d\\n", missing);
        return 0;
    }"""


@pytest.fixture(scope="module")
def sorter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("sort"), SORT)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=30))
def test_qsort_sorts_and_bsearch_finds(sorter: Path, values: list[int]) -> None:
    outcome, lines = run(sorter, *map(str, values))
    assert outcome == Exited(0)
    assert lines == [*map(str, sorted(values)), "0"]


def test_a_program_starts_with_its_arguments_and_ends_in_order(tmp_path: Path) -> None:
    program = compiled(
        tmp_path,
        r"""
        #include <stdio.h>
        #include <stdlib.h>
        static void first(void) { puts("first"); }
        static void last(void) { puts("last"); }
        __attribute__((constructor)) static void before(void) { puts("before"); }
        int main(int count, char **words, char **environment) {
            for (int i = 1; i < count; i++) printf("[%s]", words[i]);
            printf("%d %s\n", environment == _environ, getenv("homedrive"));
            atexit(last); atexit(first);
            return 7;
        }""",
    )
    outcome, lines = run(program, "a b", 'q"uote', "back\\")
    assert outcome == Exited(7)
    assert lines == ["before", '[a b][q"uote][back\\]1 C:', "first", "last"]


@pytest.mark.parametrize(
    ("main", "line"),
    [
        ('int wmain(int n, wchar_t **w) { wprintf(L"%d %s\\n", n, w[1]); return 0; }', "2 word"),
        (
            'int WINAPI WinMain(HINSTANCE i, HINSTANCE p, char *c, int s) { printf("%s %d\\n", c, i != 0); return 0; }',
            "word 1",
        ),
        ("int WINAPI wWinMain(HINSTANCE i, HINSTANCE p, wchar_t *c, int s) { _putws(c); return 0; }", "word"),
    ],
)
def test_other_entry_functions(tmp_path: Path, main: str, line: str) -> None:
    outcome, lines = run(compiled(tmp_path, f"#include <windows.h>\n#include <stdio.h>\n{main}\n"), "word")
    assert (outcome, lines) == (Exited(0), [line])


def test_a_program_without_an_entry_function_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageBuildError, match="expected one of main, wmain, WinMain, wWinMain or mainCRTStartup"):
        compiled(tmp_path, "int other(void) { return 0; }\n")


def test_files_time_strings_and_threads(tmp_path: Path) -> None:
    program = compiled(
        tmp_path,
        r"""
        #include <math.h>
        #include <process.h>
        #include <setjmp.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <time.h>
        #include <windows.h>
        static _Thread_local int own = 5;
        static unsigned __stdcall work(void *argument) { own += 1; errno = 3; return own + *(int *)argument; }
        static jmp_buf where;
        static void deep(int n) { char room[200]; sprintf(room, "%d", n); if (!n) longjmp(where, 4); deep(n - 1); }
        int main(void) {
            char line[40], text[] = "a,b;;c"; struct tm *t; time_t when = 86400 * 365; DWORD code; int add = 10;
            FILE *f = fopen("x.txt", "w"); fputs("one\ntwo\n", f); fclose(f);
            f = fopen("x.txt", "rb"); printf("%d\n", (int)fread(line, 1, 40, f)); fclose(f);
            f = fopen("x.txt", "r"); fgets(line, 40, f); printf("%ld %s", ftell(f), line);
            ungetc('X', f); printf("%c %s", getc(f), fgets(line, 40, f)); printf("%d %d\n", fgetc(f), feof(f) != 0);
            fseek(f, 0, SEEK_END); printf("%ld\n", ftell(f)); fclose(f);
            printf("%d %d\n", fopen("none", "r") == NULL, errno);
            t = gmtime(&when); strftime(line, 40, "%Y-%m-%d %H:%M:%S %a %j", t); puts(line);
            printf("%lld\n", (long long)mktime(t));
            for (char *p = strtok(text, ",;"); p; p = strtok(NULL, ",;")) printf("<%s>", p);
            puts("");
            errno = 0;
            HANDLE h = (HANDLE)_beginthreadex(NULL, 0, work, &add, 0, NULL);
            WaitForSingleObject(h, INFINITE); GetExitCodeThread(h, &code); printf("%lu %d %d\n", code, own, errno);
            int back = setjmp(where); if (!back) deep(5); printf("%d\n", back);
            printf("%.15g %.15g %.15g %.15g\n", sin(1), pow(2, .5), exp(1), atan2(1, 2));
            printf("%.15g %.15g %.15g %g\n", log(10), cosh(1), tgamma(5.5), fmod(-7.5, 2));
            printf("%d %d %d\n", strtol("0x7fffffffff", 0, 0) == 0x7fffffff, errno == ERANGE, atoi("-12x"));
            fprintf(stderr, "%s\n", strerror(2));
            return 0;
        }""",
    )
    outcome, lines = run(program)
    assert outcome == Exited(0)
    assert lines == [
        "10", "5 one", "X two", "-1 1", "10", "1 2", "1971-01-01 00:00:00 Fri 001", "31536000", "<a><b><c>", "16 5 0",
        "4", "0.841470984807897 1.4142135623731 2.71828182845905 0.463647609000806",
        "2.30258509299405 1.54308063481524 52.3427777845535 -1.5", "1 1 -12", "No such file or directory",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("abort();", 7),  # FAST_FAIL_FATAL_APP_EXIT (winnt.h)
        ('assert(!"wrong");', 7),
        ('char b[2]; strcpy_s(b, 2, "long");', 5),  # FAST_FAIL_INVALID_ARG
        ("char b[9]; fgets(b, 9, (FILE *)0);", 5),
    ],
)
def test_ends_of_programs_that_go_wrong(tmp_path: Path, body: str, code: int) -> None:
    head = "#include <assert.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
    outcome, _ = run(compiled(tmp_path, f"{head}int main(void) {{ {body} return 0; }}\n"))
    assert isinstance(outcome, Crashed)
    assert outcome.record.code == 0xC0000409
    assert outcome.record.information[0] == code


def test_programs_of_mingw_run_unchanged(tmp_path: Path) -> None:
    compiler = shutil.which("x86_64-w64-mingw32-gcc")
    if compiler is None:
        pytest.skip("no mingw-w64 compiler")
    source = tmp_path / "m.c"
    source.write_text(
        '#include <stdio.h>\n#include <stdlib.h>\nint main(int n, char **w) { printf("%s %e %d\\n", w[1], 1.5, n);'
        " free(malloc(10)); return *(volatile int *)0; }\n",
        encoding="utf-8",
    )
    program = tmp_path / "m.exe"
    subprocess.run([compiler, "-D__USE_MINGW_ANSI_STDIO=0", "-o", str(program), str(source)], check=True)
    outcome, lines = run(program, "word")
    assert lines == ["word 1.500000e+000 2"]  # msvcrt.dll prints three digits of exponent
    assert isinstance(outcome, Crashed)
    assert outcome.record.code == 0xC0000005


def test_api_sets_lead_to_our_dlls() -> None:
    assert host_of("api-ms-win-crt-stdio-l1-1-0.dll") == "ucrtbase.dll"
    assert host_of("API-MS-Win-Core-Synch-l1-2-0") == "kernel32.dll"
    assert host_of("ext-ms-win-ntuser-l1-1-0.dll") == "ext-ms-win-ntuser-l1-1-0.dll"
    assert host_of("user32.dll") == "user32.dll"
