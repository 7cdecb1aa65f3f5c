"""printf, scanf and strtod of ucrtbase.dll against known values (learn.microsoft.com "Format specification syntax")."""

from __future__ import annotations

import struct

import pytest

pytest.importorskip("ziglang")

from dumptruth.emu.process.outcome import Exited

from .c_programs import compiled, run

# the call's arguments in C, and the text: two digits of exponent, %p of 16 digits, %a of 13, I64, h and l prefixes
FORMATS = [
    (r'"%d|%5d|%-5d|%05d|%+d", 42, 42, 42, 42, 42', "42|   42|42   |00042|+42"),
    (r'"%x %#X %o %#o %u", 255, 255, 8, 8, -1', "ff 0XFF 10 010 4294967295"),
    (r'"%.3d|%8.3d|%+.0d|", 7, 7, 0', "007|     007|+|"),
    (r'"%I64d %lld %I64x", 1099511627776LL, -5LL, 0x123456789abcLL', "1099511627776 -5 123456789abc"),
    (r'"%I32u %hd %hhu", 7u, 65537, 257', "7 1 1"),
    (r'"%ld %zu %td", 2147483647L, (size_t)-1, (ptrdiff_t)-2', "2147483647 18446744073709551615 -2"),
    (r'"%p", (void *)0x1234abcd', "000000001234ABCD"),
    (r'"[%s|%10s|%-6s|%.2s]", "abc", "abc", "abc", "abc"', "[abc|       abc|abc   |ab]"),
    (r'"%ls %S %hs %s", L"wide", L"Wide", "narrow", (char *)0', "wide Wide narrow (null)"),
    (r""""%c%c %lc%%", 65, 66, L'C'""", "AB C%"),
    (r'"%f %.2f %.0f %.0f", 3.14159265, 2.675, 2.5, 3.5', "3.141593 2.67 2 4"),
    (r'"%e %E %.3e", 12345.678, 1e-7, 1e100', "1.234568e+04 1.000000E-07 1.000e+100"),
    (r'"%g %g %g %#g %G", 0.0001, 1e20, 100000.0, 1.0, 1e-10', "0.0001 1e+20 100000 1.00000 1E-10"),
    (r'"%a %.1a %A", 1.0, 1.96875, -0.5', "0x1.0000000000000p+0 0x2.0p+0 -0X1.0000000000000P-1"),
    (r'"%f %F %5.1f|%-6f|", INFINITY, -INFINITY, INFINITY, INFINITY', "inf -INF   inf|inf   |"),
    (r'"%.20f", 0.1', "0.10000000000000000555"),
    (r'"%.17g %.17g", 0.1, 1.7976931348623157e308', "0.10000000000000001 1.7976931348623157e+308"),
    (r'"%.3f %Lf", -0.0, (long double)1.5', "-0.000 1.500000"),
    (r'"%*d|%-*d|%.*f", 4, 1, 4, 1, 1, 2.25', "   1|1   |2.2"),
    (r'"% d %+d %+i", 3, 0, -3', " 3 +0 -3"),
]
NUMBERS = [
    ("0.1", "0x1.999999999999ap-4"),
    ("1e23", "0x1.52d02c7e14af6p+76"),
    ("2.2250738585072011e-308", "0x0.fffffffffffffp-1022"),
    ("1.7976931348623157e308", "0x1.fffffffffffffp+1023"),
    ("9007199254740993", "0x1.0p+53"),
    ("0x1.8p3", "0x1.8p+3"),
    ("  -12.5e-1xyz", "-0x1.4p+0"),
    ("5e-324", "0x0.0000000000001p-1022"),
]


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    calls = "".join(f'printf({arguments}); puts("");\n' for arguments, _ in FORMATS)
    numbers = "".join(
        f'value = strtod("{text}", 0); memcpy(&bits, &value, 8); printf("%llx\\n", bits);\n' for text, _ in NUMBERS
    )
    text = f"""
        #include <math.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        int main(void) {{
            double value, d; unsigned long long bits; int a, b, n; float f; char word[8], set[8], c; short h;
            char small[4];
            {calls}{numbers}
            n = sscanf(" 12 0x1f 3.5e2 hello abc7", "%d %i %f %7s %[a-c]%c", &a, &b, &f, word, set, &c);
            printf("%d %d %d %g %s %s %c\\n", n, a, b, f, word, set, c);
            n = sscanf("70000,9.25", "%hd,%lf%n", &h, &d, &a);
            printf("%d %d %g %d\\n", n, h, d, a);
            printf("%d\\n", sscanf("", "%d", &a));
            n = snprintf(small, sizeof small, "%s", "abcdef");
            printf("%d %s\\n", n, small);
            printf("%d\\n", _snprintf(small, sizeof small, "%s", "abcdef"));
            return 0;
        }}"""
    outcome, found = run(compiled(tmp_path_factory.mktemp("formats"), text))
    assert outcome == Exited(0)
    return found


@pytest.mark.parametrize(("index", "expected"), list(enumerate(text for _, text in FORMATS)))
def test_printf(lines: list[str], index: int, expected: str) -> None:
    assert lines[index] == expected


@pytest.mark.parametrize(("index", "expected"), list(enumerate(value for _, value in NUMBERS)))
def test_strtod(lines: list[str], index: int, expected: str) -> None:
    bits = struct.unpack("<Q", struct.pack("<d", float.fromhex(expected)))[0]
    assert lines[len(FORMATS) + index] == f"{bits:x}"


def test_scanf_and_the_ends_of_short_buffers(lines: list[str]) -> None:
    assert lines[len(FORMATS) + len(NUMBERS) :] == [
        "6 12 31 350 hello abc 7",
        "2 4464 9.25 10",
        "-1",
        "6 abc",
        "-1",
    ]
