/* The unwinder's own declarations. Layout of the unwind data: learn.microsoft.com "x64 exception handling". */
#pragma once
#include "rtl_host.h"

/* UNWIND_CODE.UnwindOp. EPILOG is an operation of version 2 only. */
enum {
    UNW_PUSH_NONVOL = 0,
    UNW_ALLOC_LARGE = 1,
    UNW_ALLOC_SMALL = 2,
    UNW_SET_FPREG = 3,
    UNW_SAVE_NONVOL = 4,
    UNW_SAVE_NONVOL_FAR = 5,
    UNW_EPILOG = 6,
    UNW_SPARE = 7,
    UNW_SAVE_XMM128 = 8,
    UNW_SAVE_XMM128_FAR = 9,
    UNW_PUSH_MACHFRAME = 10
};

typedef union {
    struct {
        UCHAR offset; /* of the end of the instruction, from the function's begin */
        UCHAR operation : 4;
        UCHAR info : 4;
    };
    USHORT operand; /* as a slot that follows an operation */
} CODE;

typedef struct {
    UCHAR version : 3;
    UCHAR flags : 5; /* UNW_FLAG_* */
    UCHAR prologue_size;
    UCHAR code_count;
    UCHAR frame_register : 4;
    UCHAR frame_offset : 4; /* in units of 16 bytes */
    CODE codes[1];
} INFO;

/* The scope table of __C_specific_handler: winnt.h, SCOPE_TABLE_AMD64. */
typedef SCOPE_TABLE_AMD64 *PSCOPES;

typedef LONG (*SCOPE_FILTER)(PEXCEPTION_POINTERS pointers, PVOID frame);
typedef VOID (*SCOPE_FINALLY)(BOOLEAN abnormal, PVOID frame);

#define UNWINDS (EXCEPTION_UNWINDING | EXCEPTION_EXIT_UNWIND)

/* Undo the frame of `function` at `pc` in `context`, as RtlVirtualUnwind. `*handler` is the language handler for
 * `handler_type`, or NULL. With a `high` bound, STATUS_BAD_STACK if the frame would be read outside [low, high). */
NTSTATUS unwind_frame(ULONG handler_type, ULONG64 base, ULONG64 pc, PRUNTIME_FUNCTION function, PCONTEXT context,
                      PVOID *handler_data, PULONG64 frame, PKNONVOLATILE_CONTEXT_POINTERS pointers, ULONG64 low,
                      ULONG64 high, PEXCEPTION_ROUTINE *handler);
/* One frame up, also for a leaf function. FALSE at the end of the stack, or where it is damaged. */
BOOLEAN step_out(PCONTEXT context, ULONG64 low, ULONG64 high);
/* Offer the exception to the frames of the stack. TRUE if a handler wants the context to go on. */
BOOLEAN dispatch_to_frames(PEXCEPTION_RECORD record, PCONTEXT context);

/* rtl_execute_handler.s: call the language handler of the dispatcher context. Their own handlers tell RtlUnwindEx and
 * the dispatcher of nested exceptions and collided unwinds. */
EXCEPTION_DISPOSITION execute_handler_for_exception(PEXCEPTION_RECORD record, ULONG64 frame, PCONTEXT context,
                                                    PDISPATCHER_CONTEXT dispatcher);
EXCEPTION_DISPOSITION execute_handler_for_unwind(PEXCEPTION_RECORD record, ULONG64 frame, PCONTEXT context,
                                                 PDISPATCHER_CONTEXT dispatcher);
