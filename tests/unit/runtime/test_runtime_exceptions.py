"""ntdll: the registers of a raised exception, and function tables of generated code."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumptruth.emu.process.outcome import Crashed

from ...marks import needs_compiler
from .guest_programs import passes, run

pytestmark = [needs_compiler, pytest.mark.usefixtures("precompiled_headers")]


def test_a_raised_exception_carries_the_registers_of_its_caller(tmp_path: Path) -> None:
    process, outcome = run(
        tmp_path,
        """
        int mainCRTStartup(void)
        {
            static const ULONG_PTR arguments[20] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
            register ULONG_PTR mark __asm__("r14") = 0x1122334455667788;
            __asm__ volatile("" : "+r"(mark));
            RaiseException(0xE0000001, 0xFFFFFFFF, 20, arguments);
            __asm__ volatile("" : "+r"(mark));
            return 0;
        }
        """,
    )
    assert isinstance(outcome, Crashed)
    assert outcome.record.code == 0xE0000001
    assert outcome.record.flags & 1
    assert outcome.record.information == tuple(range(1, 16))
    kernel32 = process.loader.find("kernel32.dll")
    assert kernel32 is not None
    assert outcome.record.address == kernel32.base + kernel32.image.export_rva("RaiseException_return")
    assert outcome.context["Rip"] == outcome.record.address
    assert outcome.context["R14"] == 0x1122334455667788
    assert process.memory.read(outcome.context["Rip"] - 6, 2) == b"\xff\x15"


def test_function_tables_of_generated_code_are_listed_searched_and_deleted(tmp_path: Path) -> None:
    passes(
        tmp_path,
        """
        PLIST_ENTRY NTAPI RtlGetFunctionTableListHead(VOID);
        static RUNTIME_FUNCTION sorted[] = {{0x10, 0x20, 0x100}, {0x30, 0x48, 0x110}};
        static RUNTIME_FUNCTION mixed[] = {{0x90, 0xA0, 0x100}, {0x60, 0x70, 0x120}, {0x70, 0x80, 0x130}};
        static DWORD64 word(void *entry, int offset) { return *(DWORD64 *)((char *)entry + offset); }
        int mainCRTStartup(void)
        {
            PLIST_ENTRY head = RtlGetFunctionTableListHead();
            CHECK(head->Flink == head && head->Blink == head);
            char *code = VirtualAlloc(NULL, 0x1000, MEM_RESERVE | MEM_COMMIT, PAGE_EXECUTE_READWRITE);
            DWORD64 base = (DWORD64)code, found = 1;
            CHECK(RtlLookupFunctionEntry(base + 0x10, &found, NULL) == NULL);
            CHECK(!RtlAddFunctionTable(sorted, 0, base) && head->Flink == head);
            CHECK(RtlAddFunctionTable(sorted, 2, base) && RtlAddFunctionTable(mixed, 3, base));
            PLIST_ENTRY first = head->Flink, second = first->Flink;
            CHECK(second->Flink == head && head->Blink == second && second->Blink == first && first->Blink == head);
            CHECK(word(first, 0x10) == (DWORD64)sorted && word(first, 0x30) == base && word(first, 0x18) != 0);
            CHECK(word(first, 0x20) == base + 0x10 && word(first, 0x28) == base + 0x48);
            CHECK(word(first, 0x50) == 2ull << 32 && word(second, 0x50) == (3ull << 32 | 1));
            CHECK(word(second, 0x20) == base + 0x60 && word(second, 0x28) == base + 0xA0);
            for (int offset = 0x38; offset < 0x88; offset += 8)
                CHECK(offset == 0x50 || word(second, offset) == 0);
            CHECK(RtlLookupFunctionEntry(base + 0x47, &found, NULL) == &sorted[1] && found == base);
            CHECK(RtlLookupFunctionEntry(base + 0x6F, &found, NULL) == &mixed[1]);
            CHECK(RtlLookupFunctionEntry(base + 0x80, &found, NULL) == NULL);
            CHECK(RtlLookupFunctionEntry(base + 0x28, &found, NULL) == NULL);
            CHECK(RtlDeleteFunctionTable(sorted) && !RtlDeleteFunctionTable(sorted));
            CHECK(head->Flink == second && second->Blink == head);
            CHECK(RtlLookupFunctionEntry(base + 0x10, &found, NULL) == NULL);
            CHECK(RtlDeleteFunctionTable(mixed) && head->Flink == head && head->Blink == head);
            return 0;
        }
        """,
    )
