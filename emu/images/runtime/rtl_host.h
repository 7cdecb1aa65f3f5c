/* What the unwinder (rtl_unwind.c, rtl_dispatch.c, rtl_c_specific_handler.c) needs of the image that it is part of.
 * Another image, such as a kernel, compiles the same files with a header of this name of its own. */
#pragma once
#define _NTSYSTEM_
#define _CRTIMP /* __C_specific_handler is defined here */
#include "ntdll_internal.h"

/* The bounds of the stack that the caller runs on. */
static inline void stack_limits(PULONG64 low, PULONG64 high)
{
    PNT_TIB tib = &NtCurrentTeb()->NtTib;
    *low = (ULONG64)tib->StackLimit;
    *high = (ULONG64)tib->StackBase;
}

/* No frame is left that could take the exception. Does not return: the system ends the process. */
static inline void last_chance(PEXCEPTION_RECORD record, PCONTEXT context)
{
    NtRaiseException(record, context, FALSE);
}
