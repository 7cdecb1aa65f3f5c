"""Heaps and pages of a program, through kernel32 and ntdll."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumptruth.emu.process.outcome import Crashed

from ...marks import needs_compiler
from .guest_programs import passes, run

pytestmark = [needs_compiler, pytest.mark.usefixtures("precompiled_headers")]


def test_the_heap_keeps_contents_sizes_and_alignment_through_random_work(tmp_path: Path) -> None:
    passes(
        tmp_path,
        """
        static struct { unsigned char *block; SIZE_T size; unsigned char seed; } slots[64];
        static unsigned state = 12345;
        static unsigned next(unsigned limit) { state = state * 1664525 + 1013904223; return (state >> 8) % limit; }
        static void check(int i)
        {
            CHECK(((ULONG_PTR)slots[i].block & 15) == 0);
            CHECK(HeapSize(GetProcessHeap(), 0, slots[i].block) == slots[i].size);
            for (SIZE_T n = 0; n < slots[i].size; n += 37)
                CHECK(slots[i].block[n] == (unsigned char)(slots[i].seed + n));
        }
        static void fill(int i, SIZE_T from)
        {
            for (SIZE_T n = (from + 36) / 37 * 37; n < slots[i].size; n += 37)
                slots[i].block[n] = (unsigned char)(slots[i].seed + n);
        }
        int mainCRTStartup(void)
        {
            HANDLE heap = GetProcessHeap();
            for (int step = 0; step < 700; step++) {
                int i = (int)next(64);
                SIZE_T size = next(10) == 0 ? 60000 + next(20000) : next(10) < 3 ? next(16) : next(3000);
                if (slots[i].block == NULL) {
                    slots[i].block = HeapAlloc(heap, HEAP_ZERO_MEMORY, size);
                    CHECK(slots[i].block != NULL);
                    for (SIZE_T n = 0; n < size; n += 29)
                        CHECK(slots[i].block[n] == 0);
                    slots[i].size = size;
                    slots[i].seed = (unsigned char)next(256);
                    fill(i, 0);
                } else if (next(3) == 0) {
                    SIZE_T old = slots[i].size;
                    check(i);
                    slots[i].block = HeapReAlloc(heap, 0, slots[i].block, size);
                    CHECK(slots[i].block != NULL);
                    slots[i].size = size;
                    fill(i, old);
                    check(i);
                } else {
                    check(i);
                    CHECK(HeapFree(heap, 0, slots[i].block));
                    slots[i].block = NULL;
                }
                CHECK(HeapValidate(heap, 0, NULL));
            }
            for (int i = 0; i < 64; i++)
                if (slots[i].block != NULL) {
                    check(i);
                    HeapFree(heap, 0, slots[i].block);
                }
            /* all merged again: one block of nearly the first segment's small room still fits below 64 KiB */
            char *one = HeapAlloc(heap, 0, 65000), *two = HeapAlloc(heap, 0, 65000);
            CHECK(one && two && (one + 65000 <= two || two + 65000 <= one));
            char *big = HeapAlloc(heap, 0, 3 << 20); /* larger than a segment */
            CHECK(big != NULL);
            big[0] = big[(3 << 20) - 1] = 1;
            CHECK(HeapSize(heap, 0, big) == 3 << 20);
            MEMORY_BASIC_INFORMATION information;
            CHECK(VirtualQuery(big, &information, sizeof information) && information.State == MEM_COMMIT);
            HeapFree(heap, 0, big);
            CHECK(VirtualQuery(big, &information, sizeof information) && information.State == MEM_RESERVE);
            HANDLE limited = HeapCreate(0, 0, 0x20000);
            CHECK(limited && HeapAlloc(limited, 0, 1000) && HeapAlloc(limited, 0, 0x30000) == NULL);
            HANDLE heaps[4];
            CHECK(GetProcessHeaps(4, heaps) == 2 && heaps[0] == heap && heaps[1] == limited);
            CHECK(HeapDestroy(limited) && GetProcessHeaps(4, heaps) == 1);
            CHECK(VirtualQuery(limited, &information, sizeof information) && information.State == MEM_FREE);
            return 0;
        }
        """,
    )


@pytest.mark.parametrize("what", ["HeapFree(h, 0, b)", "HeapFree(h, 0, b + 16)"])
def test_a_damaged_heap_ends_in_the_exception_that_windows_raises(tmp_path: Path, what: str) -> None:
    _, outcome = run(
        tmp_path,
        "int mainCRTStartup(void) { HANDLE h = GetProcessHeap(); char *b = HeapAlloc(h, 8, 64); "
        + ("HeapFree(h, 0, b); " if "16" not in what else "")
        + f"{what}; return 0; }}",
    )
    assert isinstance(outcome, Crashed)
    assert outcome.record.code == 0xC0000374
    assert len(outcome.record.information) == 1


def test_memory_services_do_what_their_pages_say(tmp_path: Path) -> None:
    passes(
        tmp_path,
        """
        int mainCRTStartup(void)
        {
            MEMORY_BASIC_INFORMATION m;
            DWORD old;
            SIZE_T n;
            char *base = VirtualAlloc(NULL, 0x5000, MEM_RESERVE, PAGE_READWRITE);
            CHECK(base && ((ULONG_PTR)base & 0xFFFF) == 0);
            CHECK(VirtualAlloc(base + 0x1000, 0x2000, MEM_COMMIT, PAGE_READWRITE) == base + 0x1000);
            base[0x1000] = 'x';
            CHECK(VirtualProtect(base + 0x2000, 1, PAGE_READONLY, &old) && old == PAGE_READWRITE);
            CHECK(VirtualQuery(base + 0x2004, &m, sizeof m) == sizeof m && m.BaseAddress == base + 0x2000);
            CHECK(m.AllocationBase == base && m.RegionSize == 0x1000 && m.Protect == PAGE_READONLY);
            CHECK(VirtualQuery(base + 0x3000, &m, sizeof m) && m.State == MEM_RESERVE && m.RegionSize == 0x2000);
            CHECK(!VirtualProtect(base, 1, PAGE_READONLY, &old) && GetLastError() == ERROR_INVALID_ADDRESS);
            CHECK(VirtualAlloc(base, 0x1000, MEM_RESERVE, PAGE_READWRITE) == NULL);
            CHECK(GetLastError() == ERROR_INVALID_ADDRESS);
            char copy[4] = {0};
            CHECK(ReadProcessMemory(GetCurrentProcess(), base + 0x1000, copy, 1, &n) && copy[0] == 'x' && n == 1);
            CHECK(!ReadProcessMemory(GetCurrentProcess(), base, copy, 1, &n));
            CHECK(!VirtualFree(base, 1, MEM_RELEASE) && GetLastError() == ERROR_INVALID_PARAMETER);
            CHECK(VirtualFree(base + 0x1000, 0x1000, MEM_DECOMMIT) && VirtualFree(base, 0, MEM_RELEASE));
            CHECK(VirtualQuery(base, &m, sizeof m) && m.State == MEM_FREE);
            HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 0x3000, "s");
            char *one = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
            char *two = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0x1000);
            CHECK(section && one && two && one != two);
            one[5] = 77;
            CHECK(two[5] == 77 && VirtualQuery(one, &m, sizeof m) && m.Type == MEM_MAPPED && m.RegionSize == 0x3000);
            CHECK(UnmapViewOfFile(one) && two[5] == 77 && UnmapViewOfFile(two) && CloseHandle(section));
            volatile char frame[50000];
            for (int i = 0; i < 50000; i += 4096)
                frame[i] = 1;
            return 0;
        }
        """,
    )
