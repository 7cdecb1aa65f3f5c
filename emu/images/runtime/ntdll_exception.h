/* What the files of ntdll's exception handling share. */
#pragma once
#include "ntdll_internal.h"

typedef LONG(NTAPI *PRTLP_UNHANDLED_EXCEPTION_FILTER)(PEXCEPTION_POINTERS pointers);

/* _JUMP_BUFFER of setjmp.h, amd64: the 16-byte aligned vectors Xmm6 to Xmm15 end it. */
typedef struct {
    ULONG64 Frame;
    ULONG64 Rbx, Rsp, Rbp, Rsi, Rdi, R12, R13, R14, R15, Rip;
    ULONG MxCsr;
    USHORT FpCsr;
    USHORT Spare;
    M128A Xmm[10];
} JUMP_BUFFER;

C_ASSERT(FIELD_OFFSET(JUMP_BUFFER, Rip) == 0x50);
C_ASSERT(FIELD_OFFSET(JUMP_BUFFER, Xmm) == 0x60);
C_ASSERT(sizeof(JUMP_BUFFER) == 0x100);

NTSTATUS NTAPI NtContinue(PCONTEXT context, BOOLEAN test_alert);
VOID NTAPI RtlSetUnhandledExceptionFilter(PRTLP_UNHANDLED_EXCEPTION_FILTER filter);
PVOID NTAPI RtlAddVectoredExceptionHandler(ULONG first, PVECTORED_EXCEPTION_HANDLER handler);
ULONG NTAPI RtlRemoveVectoredExceptionHandler(PVOID handle);
PVOID NTAPI RtlAddVectoredContinueHandler(ULONG first, PVECTORED_EXCEPTION_HANDLER handler);
ULONG NTAPI RtlRemoveVectoredContinueHandler(PVOID handle);

/* ntdll_exception.s */
NTSTATUS call_thread_start(PTHREAD_START_ROUTINE start, PVOID parameter);
VOID thread_start_ended(VOID);
ULONG64 consolidate_frames(PEXCEPTION_RECORD record, PCONTEXT context);
