"""The unwinder of the runtime system: unwind data of every kind, jumps into frames, tables of generated code."""

from __future__ import annotations

from pathlib import Path

import pytest

from ...marks import needs_compiler
from .exception_programs import passes

pytestmark = [needs_compiler, pytest.mark.usefixtures("precompiled_headers")]

# A program writes machine code and unwind data into a page, and undoes its frames with RtlVirtualUnwind.
BY_HAND = """
    typedef struct { DWORD begin, end, data; } ENTRY;
    static PUCHAR page;
    static CONTEXT c;
    static DWORD64 stack[64], frame, base;
    static PVOID data;
    /* Undo the frame at `offset`, in the code at 0x100, of an entry with that unwind data. RSP is stack + 8. */
    static PEXCEPTION_ROUTINE undo(DWORD offset, const void *info, SIZE_T size, DWORD length)
    {
        static ENTRY entry;
        entry.begin = 0x100, entry.end = 0x100 + length, entry.data = 0x800;
        memcpy(page + 0x800, info, size);
        for (int i = 0; i < 64; i++)
            stack[i] = 0x1000 + i;
        memset(&c, 0, sizeof(c));
        c.Rsp = (DWORD64)&stack[8];
        c.Rbp = (DWORD64)&stack[20];
        base = (DWORD64)page;
        frame = 1;
        return RtlVirtualUnwind(UNW_FLAG_EHANDLER, base, base + 0x100 + offset, (PRUNTIME_FUNCTION)&entry, &c, &data,
                                &frame, NULL);
    }
    #define CODE(...) \\
        do { static const UCHAR code[] = {__VA_ARGS__}; memcpy(page + 0x100, code, sizeof(code)); } while (0)
    #define UNDO(offset, length, ...) \\
        ({ static const UCHAR info[] = {__VA_ARGS__}; undo(offset, info, sizeof(info), length); })
    static int slot(void) { return (int)((PDWORD64)c.Rsp - stack); }
    int test(void);
    int mainCRTStartup(void)
    {
        page = VirtualAlloc(NULL, 4096, MEM_COMMIT, PAGE_EXECUTE_READWRITE);
        return test();
    }
"""


def test_each_operation_of_a_prologue_is_undone_as_far_as_it_ran(tmp_path: Path) -> None:
    text = """
        int test(void)
        {
            /* push rbx; push r12; sub rsp, 0x18 */
            CODE(0x53, 0x41, 0x54, 0x48, 0x83, 0xEC, 0x18, 0x90, 0x90);
            #define PUSHES 0x01, 7, 3, 0, 7, 0x22, 3, 0xC0, 1, 0x30, 0, 0
            UNDO(0, 32, PUSHES);
            CHECK(slot() == 9 && c.Rip == 0x1008 && c.Rbx == 0 && frame == (DWORD64)&stack[8]);
            UNDO(1, 32, PUSHES);
            CHECK(slot() == 10 && c.Rbx == 0x1008 && c.Rip == 0x1009);
            UNDO(3, 32, PUSHES);
            CHECK(slot() == 11 && c.R12 == 0x1008 && c.Rbx == 0x1009 && c.Rip == 0x100A);
            UNDO(7, 32, PUSHES);
            CHECK(slot() == 14 && c.R12 == 0x100B && c.Rbx == 0x100C && c.Rip == 0x100D);
            /* alloc 0x80 as 16 bits and as 32 bits */
            UNDO(8, 32, 0x01, 4, 2, 0, 4, 0x01, 0x10, 0);
            CHECK(slot() == 25 && c.Rip == 0x1018);
            UNDO(8, 32, 0x01, 4, 3, 0, 4, 0x11, 0x80, 0, 0, 0, 0, 0);
            CHECK(slot() == 25 && c.Rip == 0x1018);
            /* rsi saved at 0x10, rdi at 0x18 (far), xmm6 at 0x20, xmm7 at 0x40 (far) */
            UNDO(8, 32, 0x01, 4, 10, 0, 4, 0x64, 2, 0, 4, 0x75, 0x18, 0, 0, 0, 4, 0x68, 2, 0, 4, 0x79, 0x40, 0, 0, 0);
            CHECK(c.Rsi == 0x100A && c.Rdi == 0x100B && c.Xmm6.Low == 0x100C && (DWORD64)c.Xmm6.High == 0x100D);
            CHECK(c.Xmm7.Low == 0x1010 && slot() == 9);
            /* lea rbp, [rsp + 0x20]: rsp = rbp - 0x20 */
            UNDO(8, 32, 0x01, 5, 2, 0x25, 5, 0x03, 4, 0x32);
            CHECK(frame == (DWORD64)&stack[16] && slot() == 21 && c.Rip == 0x1014);
            UNDO(4, 32, 0x01, 5, 2, 0x25, 5, 0x03, 4, 0x32);
            CHECK(frame == (DWORD64)&stack[8] && slot() == 13);
            /* machine frames, without and with an error code */
            UNDO(8, 32, 0x01, 0, 1, 0, 0, 0x0A, 0, 0);
            CHECK(c.Rip == 0x1008 && c.Rsp == 0x100B);
            UNDO(8, 32, 0x01, 0, 1, 0, 0, 0x1A, 0, 0);
            CHECK(c.Rip == 0x1009 && c.Rsp == 0x100C);
            return 0;
        }
    """
    passes(tmp_path, BY_HAND + text)


def test_an_epilogue_is_run_to_its_end_and_has_no_handler(tmp_path: Path) -> None:
    text = """
        int test(void)
        {
            /* push rbx; push r12; sub rsp, 0x18; nop; add rsp, 0x18; pop r12; pop rbx; ret; then a handler */
            #define HANDLED 0x09, 7, 3, 0, 7, 0x22, 3, 0xC0, 1, 0x30, 0, 0, 0x34, 0x12, 0, 0, 0x77, 0, 0, 0
            CODE(0x53, 0x41, 0x54, 0x48, 0x83, 0xEC, 0x18, 0x90, 0x48, 0x83, 0xC4, 0x18, 0x41, 0x5C, 0x5B, 0xC3, 0xCC);
            CHECK(UNDO(7, 16, HANDLED) == (PEXCEPTION_ROUTINE)(page + 0x1234) && *(PDWORD)data == 0x77 && slot() == 14);
            CHECK(UNDO(3, 16, HANDLED) == NULL); /* in the prologue */
            CHECK(UNDO(8, 16, HANDLED) == NULL && slot() == 14 && c.R12 == 0x100B && c.Rbx == 0x100C);
            CHECK(UNDO(12, 16, HANDLED) == NULL && slot() == 11 && c.R12 == 0x1008 && c.Rbx == 0x1009);
            CHECK(UNDO(14, 16, HANDLED) == NULL && slot() == 10 && c.R12 == 0 && c.Rbx == 0x1008);
            CHECK(UNDO(15, 16, HANDLED) == NULL && slot() == 9 && c.Rip == 0x1008);
            /* lea rsp, [rbp - 0x10]; pop rbp; jmp out of the function */
            #define BASED 0x01, 0, 2, 0x05, 0, 0x03, 0, 0x50
            CODE(0x90, 0x48, 0x8D, 0x65, 0xF0, 0x5D, 0xE9, 0x00, 0x01, 0x00, 0x00);
            UNDO(1, 16, BASED);
            CHECK(slot() == 20 && c.Rbp == 0x1012 && c.Rip == 0x1013);
            /* a jump inside the function is no end of it; a tail call through memory is */
            CODE(0x90, 0x5D, 0xEB, 0x02);
            UNDO(1, 16, BASED);
            CHECK(slot() == 22 && c.Rip == 0x1015);
            CODE(0x90, 0x5D, 0x48, 0xFF, 0x25, 0, 0, 0, 0);
            UNDO(1, 16, BASED);
            CHECK(slot() == 10 && c.Rbp == 0x1008 && c.Rip == 0x1009);
            return 0;
        }
    """
    passes(tmp_path, BY_HAND + text)


def test_version_2_marks_the_epilogues(tmp_path: Path) -> None:
    text = """
        int test(void)
        {
            /* push rbx; sub rsp, 0x18; nop; add rsp, 0x18; then three times pop rbx; ret.
               Marked: the one 6 bytes before the end, and the one at the end. */
            #define MARKED 0x02, 5, 4, 0, 2, 0x16, 6, 0x06, 5, 0x22, 1, 0x30
            CODE(0x53, 0x48, 0x83, 0xEC, 0x18, 0x90, 0x48, 0x83, 0xC4, 0x18, 0x5B, 0xC3, 0x5B, 0xC3, 0x5B, 0xC3);
            UNDO(6, 16, MARKED);
            CHECK(slot() == 13 && c.Rbx == 0x100B && c.Rip == 0x100C);
            UNDO(10, 16, MARKED);
            CHECK(slot() == 10 && c.Rbx == 0x1008 && c.Rip == 0x1009);
            UNDO(11, 16, MARKED);
            CHECK(slot() == 9 && c.Rip == 0x1008);
            UNDO(12, 16, MARKED); /* looks like one, is not marked */
            CHECK(slot() == 13);
            UNDO(14, 16, MARKED);
            CHECK(slot() == 10 && c.Rbx == 0x1008);
            return 0;
        }
    """
    passes(tmp_path, BY_HAND + text)


def test_chained_data_and_indirect_entries_lead_to_the_first_part(tmp_path: Path) -> None:
    text = """
        int test(void)
        {
            ENTRY *parent = (ENTRY *)(page + 0x900), *named = (ENTRY *)(page + 0x920);
            static const UCHAR info[] = {0x09, 1, 1, 0, 1, 0x30, 0, 0, 0x34, 0x12, 0, 0}; /* push rbx; a handler */
            memcpy(page + 0x880, info, sizeof(info));
            parent->begin = 0x40, parent->end = 0x50, parent->data = 0x880;
            *named = *parent;
            CODE(0x90, 0x90, 0x90, 0x90, 0x90, 0x90);
            /* flags 4: chained. sub rsp, 0x10 of its own, then the parent's entry */
            CHECK(UNDO(5, 16, 0x21, 4, 1, 0, 4, 0x12, 0, 0, 0x40, 0, 0, 0, 0x50, 0, 0, 0, 0x80, 8, 0, 0) ==
                  (PEXCEPTION_ROUTINE)(page + 0x1234));
            CHECK(slot() == 12 && c.Rbx == 0x100A && c.Rip == 0x100B);
            ENTRY indirect = {0x100, 0x110, 0x921};
            c.Rsp = (DWORD64)&stack[8];
            PEXCEPTION_ROUTINE found = RtlVirtualUnwind(UNW_FLAG_EHANDLER, base, base + 0x42,
                                                        (PRUNTIME_FUNCTION)&indirect, &c, &data, &frame, NULL);
            CHECK(found == (PEXCEPTION_ROUTINE)(page + 0x1234));
            CHECK(slot() == 10 && c.Rbx == 0x1008);
            return 0;
        }
    """
    passes(tmp_path, BY_HAND + text)


def test_registers_are_told_where_they_were_saved(tmp_path: Path) -> None:
    text = """
        int test(void)
        {
            static KNONVOLATILE_CONTEXT_POINTERS at;
            static const UCHAR info[] = {0x01, 0, 1, 0, 0, 0x30, 0, 0};
            ENTRY entry = {0x100, 0x110, 0x800};
            UNDO(8, 32, 0x01, 0, 1, 0, 0, 0x30, 0, 0);
            c.Rsp = (DWORD64)&stack[8];
            CHECK(RtlVirtualUnwind(0, base, base + 0x108, (PRUNTIME_FUNCTION)&entry, &c, &data, &frame, &at) == NULL);
            CHECK(at.IntegerContext[3] == &stack[8] && at.IntegerContext[5] == NULL && info[0] == 1);
            return 0;
        }
    """
    passes(tmp_path, BY_HAND + text)


def test_a_long_jump_runs_finally_blocks_and_restores_the_buffer_s_registers(tmp_path: Path) -> None:
    text = """
        static struct { DWORD64 frame, rbx, rsp, rbp, rsi, rdi, r12, r13, r14, r15, rip; DWORD mxcsr; WORD fpcsr, spare;
                        M128A xmm[10]; } __attribute__((aligned(16))) buffer;
        static void jumps(void)
        {
            EXCEPTION_RECORD record = {(DWORD)0x80000026};
            CONTEXT context;
            record.NumberParameters = 1;
            record.ExceptionInformation[0] = (ULONG_PTR)&buffer;
            __try { RtlUnwindEx((PVOID)buffer.frame, (PVOID)buffer.rip, &record, (PVOID)7, &context, NULL); }
            __finally { said("finally"); }
        }
        __attribute__((noinline)) static int target(void)
        {
            volatile int times = 0;
            CONTEXT here;
            RtlCaptureContext(&here);
            if (times++ == 1)
                return 5;
            DWORD64 base, frame;
            CONTEXT c = here;
            PVOID data;
            PRUNTIME_FUNCTION entry = RtlLookupFunctionEntry(here.Rip, &base, NULL);
            RtlVirtualUnwind(0, base, here.Rip, entry, &c, &data, &frame, NULL);
            buffer.frame = frame, buffer.rbx = here.Rbx, buffer.rsp = here.Rsp, buffer.rbp = here.Rbp;
            buffer.rsi = here.Rsi, buffer.rdi = here.Rdi, buffer.r12 = here.R12, buffer.r13 = here.R13;
            buffer.r14 = here.R14, buffer.r15 = here.R15, buffer.rip = here.Rip;
            buffer.mxcsr = 0x3F80, buffer.fpcsr = 0x27F;
            buffer.xmm[0].Low = 0x1234;
            jumps();
            return 0;
        }
        int mainCRTStartup(void)
        {
            CHECK(target() == 5);
            unsigned mxcsr;
            unsigned long long low;
            __asm__ volatile("stmxcsr %0; movq %%xmm6, %1" : "=m"(mxcsr), "=r"(low));
            CHECK((mxcsr & ~0x3F) == 0x3F80 && low == 0x1234);
            return 0;
        }
    """
    assert passes(tmp_path, text) == "finally"


def test_a_consolidating_unwind_asks_a_function_where_to_go_on(tmp_path: Path) -> None:
    """The function runs as if the target frame had called it: its own exceptions pass through that frame."""
    text = """
        static DWORD64 there, frame;
        static PVOID walked[8];
        static int depth;
        static DWORD64 NTAPI consolidate(PEXCEPTION_RECORD record)
        {
            CHECK(record->ExceptionInformation[1] == 0x55);
            said("consolidates");
            depth = RtlCaptureStackBackTrace(0, 8, walked, NULL);
            return there;
        }
        static void unwinds(void)
        {
            EXCEPTION_RECORD record = {(DWORD)0x80000029};
            CONTEXT context;
            record.NumberParameters = 2;
            record.ExceptionInformation[0] = (ULONG_PTR)consolidate;
            record.ExceptionInformation[1] = 0x55;
            __try { RtlUnwindEx((PVOID)frame, NULL, &record, NULL, &context, NULL); } __finally { said("finally"); }
        }
        __attribute__((noinline)) static int target(void)
        {
            volatile int times = 0;
            CONTEXT here, c;
            RtlCaptureContext(&here);
            if (times++ == 1)
                return 5;
            DWORD64 base;
            PVOID data;
            there = here.Rip;
            c = here;
            PRUNTIME_FUNCTION entry = RtlLookupFunctionEntry(here.Rip, &base, NULL);
            RtlVirtualUnwind(0, base, here.Rip, entry, &c, &data, &frame, NULL);
            unwinds();
            return 0;
        }
        int mainCRTStartup(void)
        {
            CHECK(target() == 5);
            CHECK(depth >= 4); /* consolidate, ntdll's call, target, mainCRTStartup */
            DWORD64 base, main_base;
            PRUNTIME_FUNCTION of = RtlLookupFunctionEntry((DWORD64)walked[2], &base, NULL);
            CHECK(of == RtlLookupFunctionEntry((DWORD64)target, &main_base, NULL) && of != NULL);
            return 0;
        }
    """
    assert passes(tmp_path, text) == "finally consolidates"


def test_generated_code_has_handlers_by_table_and_by_callback(tmp_path: Path) -> None:
    text = """
        static PUCHAR page;
        static RUNTIME_FUNCTION entry;
        static PRUNTIME_FUNCTION NTAPI gives(DWORD64 pc, PVOID context)
        {
            CHECK(context == (PVOID)0x77 && pc >= (DWORD64)page && pc < (DWORD64)page + 0x1000);
            return &entry;
        }
        static EXCEPTION_DISPOSITION NTAPI handler(PEXCEPTION_RECORD r, PVOID f, PCONTEXT c, PVOID d)
        {
            if (r->ExceptionFlags & 6) { said("unwound"); return ExceptionContinueSearch; }
            said("asked");
            return ExceptionContinueSearch;
        }
        static void crashes(void)
        {
            __try { ((void (*)(void))page)(); } __except (EXCEPTION_EXECUTE_HANDLER) { said("handler"); }
        }
        int mainCRTStartup(void)
        {
            page = VirtualAlloc(NULL, 4096, MEM_COMMIT, PAGE_EXECUTE_READWRITE);
            /* sub rsp, 0x28; mov eax, [0]; add rsp, 0x28; ret. At 0x80 a jump to the handler. */
            memcpy(page, "\\x48\\x83\\xEC\\x28\\x8B\\x04\\x25\\x00\\x00\\x00\\x00\\x48\\x83\\xC4\\x28\\xC3", 16);
            memcpy(page + 0x40, "\\x19\\x04\\x01\\x00\\x04\\x42\\x00\\x00\\x80\\x00\\x00\\x00", 12);
            memcpy(page + 0x80, "\\x48\\xB8", 2);
            PVOID target = (PVOID)handler;
            memcpy(page + 0x82, &target, 8);
            memcpy(page + 0x8A, "\\xFF\\xE0", 2);
            entry.BeginAddress = 0, entry.EndAddress = 16, entry.UnwindData = 0x40;
            CHECK(RtlAddFunctionTable(&entry, 1, (DWORD64)page));
            crashes();
            CHECK(RtlDeleteFunctionTable(&entry));
            DWORD64 id = (DWORD64)page | 3;
            CHECK(!RtlInstallFunctionTableCallback(id & ~1, (DWORD64)page, 0x1000, gives, (PVOID)0x77, NULL));
            CHECK(RtlInstallFunctionTableCallback(id, (DWORD64)page, 0x1000, gives, (PVOID)0x77, L"out.dll"));
            crashes();
            CHECK(RtlDeleteFunctionTable((PRUNTIME_FUNCTION)id));
            return 0;
        }
    """
    assert passes(tmp_path, text) == "asked unwound handler asked unwound handler"


def test_a_back_trace_lists_the_callers_with_the_first_ones_left_out(tmp_path: Path) -> None:
    text = """
        static PVOID found[16];
        static DWORD hash;
        static WORD count;
        static void inner(DWORD skip) { count = RtlCaptureStackBackTrace(skip, 16, found, &hash); }
        static void outer(DWORD skip) { inner(skip); }
        static PRUNTIME_FUNCTION of(PVOID a) { DWORD64 b; return RtlLookupFunctionEntry((DWORD64)a, &b, NULL); }
        int mainCRTStartup(void)
        {
            outer(0);
            CHECK(count >= 4 && of(found[0]) == of(inner) && of(found[1]) == of(outer));
            CHECK(of(found[2]) == of(mainCRTStartup));
            WORD all = count;
            DWORD sum = 0;
            for (int i = 0; i < count; i++)
                sum += (DWORD)(ULONG_PTR)found[i];
            CHECK(hash == sum);
            outer(1);
            CHECK(count == all - 1 && of(found[0]) == of(outer));
            return 0;
        }
    """
    passes(tmp_path, text)
