"""Programs that misuse exception services end like any other: by a status, an exception or a limit."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumptruth.emu.process.outcome import Crashed, Exited

from ...marks import needs_compiler
from .exception_programs import ACCESS_VIOLATION, run

pytestmark = [needs_compiler, pytest.mark.usefixtures("precompiled_headers")]

NATIVE = """
    NTSYSAPI NTSTATUS NTAPI NtContinue(PCONTEXT context, BOOLEAN alert);
    NTSYSAPI VOID NTAPI RtlRaiseException(PEXCEPTION_RECORD record);
    NTSYSAPI NTSTATUS NTAPI NtRaiseException(PEXCEPTION_RECORD record, PCONTEXT context, BOOLEAN first);
    static CONTEXT c;
    static EXCEPTION_RECORD r = {0xE0000001};
    static void go_on(void) { ExitProcess(77); }
    int test(void);
    int mainCRTStartup(void) { RtlCaptureContext(&c); return test(); }
"""


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("return NtContinue(NULL, FALSE);", ACCESS_VIOLATION),
        ("return NtContinue((PCONTEXT)0x7FFFFFFF0000, FALSE);", ACCESS_VIOLATION),
        ("return NtContinue((PCONTEXT)(LONG_PTR)-8, FALSE);", ACCESS_VIOLATION),
        ("return NtRaiseException(NULL, &c, TRUE);", ACCESS_VIOLATION),
        ("return NtRaiseException(&r, NULL, TRUE);", ACCESS_VIOLATION),
        ("c.Rip = (DWORD64)go_on; c.Rsp &= ~15ull; c.Rsp -= 40; NtContinue(&c, FALSE); return 1;", 77),
        # Bits that user code may not change, selectors, and x87 and SSE control words that no processor accepts.
        (
            """
            c.Rip = (DWORD64)go_on; c.Rsp &= ~15ull; c.Rsp -= 40; c.ContextFlags = 0x10001F;
            c.EFlags = 0xFFFFFEFF; c.SegCs = 0x10; c.SegSs = 0xFFFF; c.MxCsr = 0xFFFFFFFF;
            memset(&c.FltSave, 0xFF, sizeof(c.FltSave)); c.FltSave.MxCsr = 0x1F80; c.MxCsr = 0xFFFF1F80;
            c.Dr7 = 0xFFFFFFFFFFFFFFFF;
            NtContinue(&c, FALSE); return 1;
            """,
            77,
        ),
        ("c.ContextFlags = 0; c.Rip = 0; return NtContinue(&c, FALSE) + 5;", 5),
        ("c.Rip = 0xDEAD000000000000; NtContinue(&c, FALSE); return 1;", None),
        ("c.Rsp = 0xDEAD000000000000; NtContinue(&c, FALSE); return 1;", None),
        ("c.Rsp = 1; NtRaiseException(&r, &c, TRUE); return 1;", None),
        ("r.NumberParameters = 0xFFFFFFFF; NtRaiseException(&r, &c, TRUE); return 1;", None),
        ("r.ExceptionFlags = 0xFFFFFFFF; RtlRaiseException(&r); return 1;", None),
        ("RtlUnwindEx((PVOID)1, NULL, NULL, NULL, &c, NULL); return 1;", None),
        ("RtlUnwindEx(NULL, NULL, NULL, NULL, &c, NULL); return 1;", None),
        ("RtlRestoreContext(NULL, NULL); return 1;", None),
        ("CHECK(RemoveVectoredExceptionHandler(&c) == 0); return 77;", 77),
    ],
)
def test_a_service_for_exceptions_takes_anything(tmp_path: Path, body: str, status: int | None) -> None:
    _, outcome = run(tmp_path, NATIVE + f"int test(void) {{ {body} }}")
    if status is None:
        assert isinstance(outcome, Crashed)
        assert not outcome.first_chance
    else:
        assert outcome == Exited(status)
