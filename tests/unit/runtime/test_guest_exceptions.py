"""Programs on the runtime system handle their exceptions: __try, filters, __finally, vectored handlers."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumptruth.emu.process.outcome import Exited

from ...marks import needs_compiler
from .exception_programs import ACCESS_VIOLATION, DIVIDE_BY_ZERO, STACK_OVERFLOW, crashes, passes, run

pytestmark = [needs_compiler, pytest.mark.usefixtures("precompiled_headers")]


def test_a_handled_exception_goes_on_after_its_handler(tmp_path: Path) -> None:
    text = """
        int mainCRTStartup(void)
        {
            int result = 0;
            __try { *null = 1; result = 1; }
            __except (is(GetExceptionCode(), EXCEPTION_ACCESS_VIOLATION)) { result = 5; }
            CHECK(result == 5);
            __try { __try { result = 1 / zero; } __except (is(GetExceptionCode(), 1)) { said("not-here"); } }
            __except (is(GetExceptionCode(), EXCEPTION_INT_DIVIDE_BY_ZERO)) { said("outer"); }
            return 0;
        }
    """
    assert passes(tmp_path, text) == "outer"


def test_finally_blocks_run_inside_out_before_the_handler(tmp_path: Path) -> None:
    text = """
        static int depth(int n)
        {
            __try { if (n == 0) *null = 1; else depth(n - 1); }
            __finally { said(AbnormalTermination() ? "abnormal" : "normal"); }
            return 0;
        }
        static int leaves(void)
        {
            __try { __try { if (zero == 0) return 3; } __finally { said("first"); } } __finally { said("second"); }
            return 4;
        }
        int mainCRTStartup(void)
        {
            __try { depth(2); } __except (said("filter"), EXCEPTION_EXECUTE_HANDLER) { said("handler"); }
            __try { said("body"); } __finally { said(AbnormalTermination() ? "abnormal" : "normal"); }
            CHECK(leaves() == 3);
            return 0;
        }
    """
    assert passes(tmp_path, text) == "filter abnormal abnormal abnormal handler body normal first second"


def test_a_crash_in_a_handler_is_an_exception_of_its_own(tmp_path: Path) -> None:
    text = """
        int mainCRTStartup(void)
        {
            __try {
                __try { *null = 1; } __except (EXCEPTION_EXECUTE_HANDLER) { said("handler"); return 1 / zero; }
            } __except (is(GetExceptionCode(), EXCEPTION_INT_DIVIDE_BY_ZERO)) { said("outer"); return 0; }
            return 1;
        }
    """
    assert passes(tmp_path, text) == "handler outer"


def test_a_crash_in_a_filter_is_nested(tmp_path: Path) -> None:
    text = """
        static LONG bad(DWORD code)
        {
            if (code != 0xE0000001)
                return EXCEPTION_CONTINUE_SEARCH;
            said("filter");
            return *null;
        }
        static LONG nested(PEXCEPTION_POINTERS pointers)
        {
            CHECK(code_of(pointers) == EXCEPTION_ACCESS_VIOLATION);
            said(pointers->ExceptionRecord->ExceptionFlags & 0x10 ? "nested" : "plain");
            return EXCEPTION_EXECUTE_HANDLER;
        }
        int mainCRTStartup(void)
        {
            __try { __try { RaiseException(0xE0000001, 0, 0, NULL); } __except (bad(GetExceptionCode())) { } }
            __except (nested(GetExceptionInformation())) { said("handler"); return 0; }
            return 1;
        }
    """
    assert passes(tmp_path, text) == "filter nested handler"


def test_an_exception_in_a_finally_block_collides_with_the_unwind(tmp_path: Path) -> None:
    text = """
        static void inner(void)
        {
            __try { __try { RaiseException(0xE0000001, 0, 0, NULL); }
                    __finally { said("raises"); RaiseException(0xE0000002, 0, 0, NULL); } }
            __finally { said("still-runs"); }
        }
        int mainCRTStartup(void)
        {
            __try { __try { inner(); } __except (is(GetExceptionCode(), 0xE0000001)) { said("not-here"); } }
            __except (is(GetExceptionCode(), 0xE0000002)) { said("handler"); return 0; }
            return 1;
        }
    """
    assert passes(tmp_path, text) == "raises still-runs handler"


def test_a_filter_repairs_a_register_and_goes_on(tmp_path: Path) -> None:
    text = """
        static int good = 42;
        static LONG repair(PEXCEPTION_POINTERS pointers)
        {
            CHECK(pointers->ExceptionRecord->NumberParameters == 2);
            CHECK(pointers->ContextRecord->Rip == (DWORD64)pointers->ExceptionRecord->ExceptionAddress);
            pointers->ContextRecord->Rax = pointers->ContextRecord->Rcx = (DWORD64)&good;
            said("repaired");
            return EXCEPTION_CONTINUE_EXECUTION;
        }
        int mainCRTStartup(void)
        {
            int found = 0;
            __try { found = *null; } __except (repair(GetExceptionInformation())) { return 1; }
            CHECK(found == 42);
            return 0;
        }
    """
    assert passes(tmp_path, text) == "repaired"


def test_vectored_handlers_come_first_in_their_order_and_can_be_removed(tmp_path: Path) -> None:
    text = """
        static PVOID self;
        static LONG WINAPI first(PEXCEPTION_POINTERS p) { said("first"); return EXCEPTION_CONTINUE_SEARCH; }
        static LONG WINAPI last(PEXCEPTION_POINTERS p)
        {
            said("last");
            return code_of(p) == 0xE0000001 ? EXCEPTION_CONTINUE_EXECUTION : EXCEPTION_CONTINUE_SEARCH;
        }
        static LONG WINAPI once(PEXCEPTION_POINTERS p)
        {
            said("once");
            CHECK(RemoveVectoredExceptionHandler(self) == 1);
            return EXCEPTION_CONTINUE_SEARCH;
        }
        static LONG WINAPI goes_on(PEXCEPTION_POINTERS p) { said("continue"); return EXCEPTION_CONTINUE_SEARCH; }
        int mainCRTStartup(void)
        {
            PVOID b = AddVectoredExceptionHandler(0, last), a = AddVectoredExceptionHandler(1, first);
            PVOID c = AddVectoredContinueHandler(1, goes_on);
            self = AddVectoredExceptionHandler(1, once);
            RaiseException(0xE0000001, 0, 0, NULL);
            said("|");
            RaiseException(0xE0000001, 0, 0, NULL);
            said("|");
            CHECK(RemoveVectoredExceptionHandler(b) == 1 && RemoveVectoredExceptionHandler(b) == 0);
            CHECK(RemoveVectoredContinueHandler(c) == 1);
            __try { RaiseException(0xE0000002, 0, 0, NULL); } __except (EXCEPTION_EXECUTE_HANDLER) { said("handler"); }
            CHECK(RemoveVectoredExceptionHandler(a) == 1);
            return 0;
        }
    """
    assert passes(tmp_path, text) == "once first last continue | first last continue | first handler"


def test_a_stack_overflow_is_handled_again_after_the_guard_was_rebuilt(tmp_path: Path) -> None:
    text = """
        static int deep(int n) { volatile char room[3000]; room[n % 3000] = 1; return deep(n + 1) + room[3]; }
        static void overflows(void)
        {
            __try { deep(0); } __except (is(GetExceptionCode(), EXCEPTION_STACK_OVERFLOW)) { said("handled"); }
        }
        int mainCRTStartup(void)
        {
            MEMORY_BASIC_INFORMATION at;
            DWORD old;
            overflows();
            CHECK(VirtualQuery(&at, &at, sizeof(at)) != 0);
            PUCHAR low = (PUCHAR)at.AllocationBase + 0x1000;
            CHECK(VirtualQuery(low, &at, sizeof(at)) != 0 && at.State == MEM_COMMIT && at.Protect == PAGE_READWRITE);
            CHECK(VirtualProtect(low, 0x3000, PAGE_READWRITE | PAGE_GUARD, &old)); /* as _resetstkoflw does */
            overflows();
            return 0;
        }
    """
    assert passes(tmp_path, text) == "handled handled"


def test_a_guarantee_leaves_more_of_the_stack_to_the_handler(tmp_path: Path) -> None:
    text = """
        static int deep(int n) { volatile char room[3000]; room[n % 3000] = 1; return deep(n + 1) + room[3]; }
        static LONG uses(void)
        {
            volatile char room[0x9000];
            for (int i = 0; i < 0x9000; i += 0x800)
                room[i] = 1;
            return EXCEPTION_EXECUTE_HANDLER;
        }
        int mainCRTStartup(void)
        {
            ULONG size = 0x10000;
            CHECK(SetThreadStackGuarantee(&size) && size == 0);
            size = 0x1000;
            CHECK(SetThreadStackGuarantee(&size) && size == 0x10000);
            size = 0x7FFFFFFF;
            CHECK(!SetThreadStackGuarantee(&size) && GetLastError() == ERROR_INVALID_PARAMETER);
            __try { deep(0); } __except (uses()) { said("handled"); }
            return 0;
        }
    """
    assert passes(tmp_path, text) == "handled"


def test_breakpoint_and_single_step_give_the_right_instruction(tmp_path: Path) -> None:
    text = """
        static DWORD64 site;
        static int steps;
        static LONG WINAPI handler(PEXCEPTION_POINTERS p)
        {
            if (code_of(p) == EXCEPTION_BREAKPOINT) {
                CHECK(*(PUCHAR)p->ContextRecord->Rip == 0xCC);
                CHECK(p->ExceptionRecord->ExceptionAddress == (PVOID)p->ContextRecord->Rip);
                site = ++p->ContextRecord->Rip;
                p->ContextRecord->EFlags |= 0x100;
                return EXCEPTION_CONTINUE_EXECUTION;
            }
            CHECK(code_of(p) == EXCEPTION_SINGLE_STEP && !(p->ContextRecord->EFlags & 0x100));
            CHECK(p->ContextRecord->Rip > site && p->ContextRecord->Rip <= site + 15);
            site = p->ContextRecord->Rip;
            if (++steps < 3)
                p->ContextRecord->EFlags |= 0x100;
            return EXCEPTION_CONTINUE_EXECUTION;
        }
        int mainCRTStartup(void)
        {
            CHECK(AddVectoredExceptionHandler(1, handler) != NULL);
            __asm__ volatile("int3; nop; xorl %%eax, %%eax; nop; nop" ::: "eax");
            CHECK(steps == 3);
            return 0;
        }
    """
    assert passes(tmp_path, text) == ""


def test_a_guard_page_is_reported_once(tmp_path: Path) -> None:
    text = """
        int mainCRTStartup(void)
        {
            int *page = VirtualAlloc(NULL, 4096, MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD);
            __try { page[1] = 1; } __except (is(GetExceptionCode(), EXCEPTION_GUARD_PAGE)) { said("guard"); }
            page[1] = 2;
            return 0;
        }
    """
    assert passes(tmp_path, text) == "guard"


def test_a_fast_fail_is_offered_to_no_handler(tmp_path: Path) -> None:
    text = """
        static LONG WINAPI never(PEXCEPTION_POINTERS p) { said("not-here"); return EXCEPTION_CONTINUE_SEARCH; }
        int mainCRTStartup(void)
        {
            AddVectoredExceptionHandler(1, never);
            __try { __fastfail(7); } __except (EXCEPTION_EXECUTE_HANDLER) { said("nor-here"); }
            return 0;
        }
    """
    output, crashed = crashes(tmp_path, text)
    assert output == ""
    assert (crashed.record.code, crashed.record.flags, crashed.record.information) == (0xC0000409, 1, (7,))
    assert not crashed.first_chance


FILTER = """
    static LONG WINAPI top(PEXCEPTION_POINTERS p) { said("top"); return ANSWER; }
    int mainCRTStartup(void)
    {
        CHECK(SetUnhandledExceptionFilter(top) == NULL);
        CHECK(!IsDebuggerPresent());
        __try { *(volatile int *)0x10 = 1; } __finally { said("finally"); }
        return 0;
    }
"""


def test_a_top_level_filter_that_takes_the_exception_ends_the_process_with_its_code(tmp_path: Path) -> None:
    process, outcome = run(tmp_path, FILTER.replace("ANSWER", "EXCEPTION_EXECUTE_HANDLER"))
    assert outcome == Exited(ACCESS_VIOLATION)
    assert process.debug_output == b"top finally "


def test_a_top_level_filter_that_declines_leaves_the_second_chance(tmp_path: Path) -> None:
    output, crashed = crashes(tmp_path, FILTER.replace("ANSWER", "EXCEPTION_CONTINUE_SEARCH"))
    assert output == "top"
    assert (crashed.record.code, crashed.record.information) == (ACCESS_VIOLATION, (1, 0x10))
    assert not crashed.first_chance


DECLINED = """
    static LONG declines(PEXCEPTION_POINTERS p) { said("declined"); return EXCEPTION_CONTINUE_SEARCH; }
    static DWORD WINAPI work(PVOID context)
    {
        __try { return *(volatile int *)0x1230; } __except (declines(GetExceptionInformation())) { return 1; }
    }
    int mainCRTStartup(void)
    {
        HANDLE thread = CreateThread(NULL, 0, work, NULL, 0, NULL);
        WaitForSingleObject(thread, INFINITE);
        return 0;
    }
"""


def test_both_chances_stop_in_the_same_state(tmp_path: Path) -> None:
    """At the second chance the registers are those of the fault, not those of the dispatcher."""
    before, first = crashes(tmp_path, DECLINED, "first")
    after, second = crashes(tmp_path, DECLINED)
    assert (before, after) == ("", "declined")
    assert (first.first_chance, second.first_chance) == (True, False)
    assert first.record == second.record
    assert first.record.information == (0, 0x1230)
    assert first.context.context_flags == second.context.context_flags
    assert first.context.registers == second.context.registers
    assert first.context.fxsave == second.context.fxsave
    assert first.record.address == first.context.as_mapping()["Rip"]


def test_an_exception_without_room_on_the_stack_is_at_its_second_chance_at_once(tmp_path: Path) -> None:
    text = """
        static LONG WINAPI never(PEXCEPTION_POINTERS p) { said("not-here"); return EXCEPTION_CONTINUE_SEARCH; }
        int mainCRTStartup(void)
        {
            AddVectoredExceptionHandler(1, never);
            __asm__ volatile("movq $0x1000, %rsp; movl $0, %eax; movl (%rax), %eax");
            return 0;
        }
    """
    output, crashed = crashes(tmp_path, text)
    assert output == ""
    assert (crashed.record.code, crashed.first_chance) == (ACCESS_VIOLATION, False)


def test_a_second_overflow_without_a_guard_ends_at_the_stack_s_low_end(tmp_path: Path) -> None:
    """The handler of the first overflow recurses, too. The room is used up, and no frame can be written."""
    text = """
        static int deep(int n) { volatile char room[3000]; room[n % 3000] = 1; return deep(n + 1) + room[3]; }
        static LONG again(void) { said("filter"); return deep(0); }
        int mainCRTStartup(void) { __try { deep(0); } __except (again()) { } return 0; }
    """
    output, crashed = crashes(tmp_path, text)
    assert output == "filter"
    assert (crashed.record.code, crashed.first_chance) == (ACCESS_VIOLATION, False)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("return 1 / zero;", DIVIDE_BY_ZERO),
        ("RaiseException(0xE0000003, 0, 0, NULL);", 0xE0000003),
        ("return deep(0);", STACK_OVERFLOW),
    ],
)
def test_nobody_handles_it(tmp_path: Path, body: str, code: int) -> None:
    text = f"""
        int deep(int n) {{ volatile char room[3000]; room[n % 3000] = 1; return deep(n + 1) + room[3]; }}
        int mainCRTStartup(void) {{ {body} return 0; }}
    """
    _, crashed = crashes(tmp_path, text)
    assert (crashed.record.code, crashed.first_chance) == (code, False)
