/* What the unwinder of ../../runtime (rtl_unwind.c, rtl_dispatch.c, rtl_c_specific_handler.c) needs of the kernel. */
#pragma once
#define _CRTIMP /* __C_specific_handler is defined here */
#include "runtime.h"

/* winnt.h, which kernel-mode sources do not include. */
typedef ULONG DWORD, *PDWORD;
typedef USHORT WORD;
typedef ULONG64 DWORD64, *PDWORD64;
#define MAXDWORD 0xFFFFFFFF
#define RUNTIME_FUNCTION_INDIRECT 1
#undef UNW_FLAG_NHANDLER
#undef UNW_FLAG_EHANDLER
#undef UNW_FLAG_UHANDLER
#undef UNW_FLAG_CHAININFO
enum { UNW_FLAG_NHANDLER = 0, UNW_FLAG_EHANDLER = 1, UNW_FLAG_UHANDLER = 2, UNW_FLAG_CHAININFO = 4 };

PRUNTIME_FUNCTION RtlLookupFunctionEntry(ULONG64 ControlPc, PULONG64 ImageBase, PUNWIND_HISTORY_TABLE History);
VOID RtlRaiseException(PEXCEPTION_RECORD Record);
VOID RtlRestoreContext(PCONTEXT Context, PEXCEPTION_RECORD Record);
VOID RtlUnwindEx(
    PVOID TargetFrame, PVOID TargetIp, PEXCEPTION_RECORD Record, PVOID ReturnValue, PCONTEXT Context,
    PUNWIND_HISTORY_TABLE History);

/* The bounds of the stack that the caller runs on. */
static inline void stack_limits(PULONG64 low, PULONG64 high)
{
    KTHREAD *thread = KiCurrentThread();
    *low = (ULONG64)thread->StackLimit;
    *high = (ULONG64)thread->StackBase;
}

/* No frame is left that could take the exception. */
DECLSPEC_NORETURN static inline void last_chance(PEXCEPTION_RECORD record, PCONTEXT context)
{
    KiUnhandledException(record, context);
}
