/* Undoes frames by their unwind data: RtlVirtualUnwind.
 *
 * Sources: learn.microsoft.com "x64 exception handling" (unwind data, unwind procedure, epilogue code) and "x64 prolog
 * and epilog"; version 2 of the unwind data from the unwinder of the .NET runtime (MIT licence), as facts. */
#include "rtl_unwind.h"

#define CHAIN_LIMIT 32 /* chained entries of damaged data may lead back to themselves */

typedef struct {
    PCONTEXT context;
    PKNONVOLATILE_CONTEXT_POINTERS pointers; /* where each register was saved; may be NULL */
    ULONG64 low;
    ULONG64 high; /* 0: any address may be read */
    BOOLEAN bad;  /* a read left the bounds */
} FRAME;

static PULONG64 integer_register(PCONTEXT context, ULONG number)
{
    return &context->Rax + number; /* winnt.h: Rax to R15 in the order of their numbers */
}

static BOOLEAN readable(FRAME *frame, ULONG64 address, ULONG size)
{
    if (frame->high != 0 && (address < frame->low || address > frame->high - size))
        frame->bad = TRUE;
    return !frame->bad;
}

static ULONG64 word_at(FRAME *frame, ULONG64 address)
{
    return readable(frame, address, sizeof(ULONG64)) ? *(PULONG64)address : 0;
}

static void load_integer(FRAME *frame, ULONG number, ULONG64 address)
{
    if (!readable(frame, address, sizeof(ULONG64)))
        return;
    *integer_register(frame->context, number) = *(PULONG64)address;
    if (frame->pointers != NULL)
        frame->pointers->IntegerContext[number] = (PULONG64)address;
}

static void load_vector(FRAME *frame, ULONG number, ULONG64 address)
{
    if (!readable(frame, address, sizeof(M128A)))
        return;
    (&frame->context->Xmm0)[number] = *(PM128A)address;
    if (frame->pointers != NULL)
        frame->pointers->FloatingContext[number] = (PM128A)address;
}

static void pop(FRAME *frame, ULONG number)
{
    load_integer(frame, number, frame->context->Rsp);
    frame->context->Rsp += sizeof(ULONG64);
}

static void pop_return_address(FRAME *frame)
{
    frame->context->Rip = word_at(frame, frame->context->Rsp);
    frame->context->Rsp += sizeof(ULONG64);
}

/* The number of slots that a code and its operand take. */
static ULONG slots_of(const INFO *info, CODE code)
{
    switch (code.operation) {
    case UNW_ALLOC_LARGE:
        return code.info ? 3 : 2;
    case UNW_SAVE_NONVOL:
    case UNW_SAVE_XMM128:
        return 2;
    case UNW_EPILOG:
        return info->version > 1 ? 1 : 2;
    case UNW_SAVE_NONVOL_FAR:
    case UNW_SPARE:
    case UNW_SAVE_XMM128_FAR:
        return 3;
    default:
        return 1;
    }
}

/* The entry that a RUNTIME_FUNCTION stands for: with bit 0 of UnwindData set it only names another one. */
static PRUNTIME_FUNCTION direct(ULONG64 base, PRUNTIME_FUNCTION function)
{
    for (ULONG i = 0; i < CHAIN_LIMIT && function->UnwindData & RUNTIME_FUNCTION_INDIRECT; i++)
        function = (PRUNTIME_FUNCTION)(base + function->UnwindData - RUNTIME_FUNCTION_INDIRECT);
    return function;
}

static const INFO *info_of(ULONG64 base, PRUNTIME_FUNCTION function)
{
    return (const INFO *)(base + function->UnwindData);
}

static PRUNTIME_FUNCTION chained(ULONG64 base, const INFO *info)
{
    return direct(base, (PRUNTIME_FUNCTION)&info->codes[(info->code_count + 1) & ~1]);
}

/* The frame that handlers know the function's activation by: what RSP was after the prologue, without its dynamic
 * part. */
static ULONG64 establisher_frame(const INFO *info, ULONG offset, PCONTEXT context)
{
    ULONG64 based = *integer_register(context, info->frame_register) - 16ull * info->frame_offset;
    if (info->frame_register == 0)
        return context->Rsp;
    if (offset >= info->prologue_size || info->flags & UNW_FLAG_CHAININFO)
        return based;
    for (ULONG i = 0; i < info->code_count; i += slots_of(info, info->codes[i]))
        if (info->codes[i].operation == UNW_SET_FPREG && offset >= info->codes[i].offset)
            return based;
    return context->Rsp;
}

/* Undo the operations of one UNWIND_INFO that ran before `offset`. TRUE if a machine frame gave RIP and RSP. */
static BOOLEAN undo_prologue(FRAME *frame, const INFO *info, ULONG offset, ULONG64 established)
{
    BOOLEAN machine_frame = FALSE;
    for (ULONG i = 0; i < info->code_count; i += slots_of(info, info->codes[i])) {
        CODE code = info->codes[i];
        const CODE *operand = &info->codes[i + 1];
        if (code.operation == UNW_EPILOG && info->version > 1)
            continue;
        if (code.offset > offset)
            continue;
        ULONG wide = (ULONG)operand[0].operand | (ULONG)operand[1].operand << 16;
        switch (code.operation) {
        case UNW_PUSH_NONVOL:
            pop(frame, code.info);
            break;
        case UNW_ALLOC_LARGE:
            frame->context->Rsp += code.info ? wide : operand->operand * 8ull;
            break;
        case UNW_ALLOC_SMALL:
            frame->context->Rsp += code.info * 8ull + 8;
            break;
        case UNW_SET_FPREG:
            frame->context->Rsp = *integer_register(frame->context, info->frame_register) - 16ull * info->frame_offset;
            break;
        case UNW_SAVE_NONVOL:
            load_integer(frame, code.info, established + operand->operand * 8ull);
            break;
        case UNW_SAVE_NONVOL_FAR:
            load_integer(frame, code.info, established + wide);
            break;
        case UNW_SAVE_XMM128:
            load_vector(frame, code.info, established + operand->operand * 16ull);
            break;
        case UNW_SAVE_XMM128_FAR:
            load_vector(frame, code.info, established + wide);
            break;
        case UNW_PUSH_MACHFRAME: { /* info 1: an error code was pushed, too */
            ULONG64 at = frame->context->Rsp + code.info * 8ull;
            frame->context->Rip = word_at(frame, at);
            frame->context->Rsp = word_at(frame, at + 24);
            machine_frame = TRUE;
            break;
        }
        default:
            break;
        }
        if (frame->bad)
            return FALSE;
    }
    return machine_frame;
}

/* --- epilogues. Without marks (version 1) the bytes at the instruction pointer tell: an optional `add rsp` or
 * `lea rsp, [frame register]`, pops, and a return or a jump out of the function ("x64 prolog and epilog"). */

static LONG signed_byte(const UCHAR *at)
{
    return *(const signed char *)at;
}

static LONG signed_long(const UCHAR *at)
{
    return (LONG)((ULONG)at[0] | (ULONG)at[1] << 8 | (ULONG)at[2] << 16 | (ULONG)at[3] << 24);
}

/* The length of `add rsp, n` or `lea rsp, [register + n]` at `at`, and the RSP that it makes; 0 if it is neither. */
static ULONG frame_release(const UCHAR *at, const INFO *info, PCONTEXT context, PULONG64 rsp)
{
    *rsp = context->Rsp;
    if (at[0] == 0x48 && at[1] == 0x83 && at[2] == 0xC4) { /* add rsp, imm8 */
        *rsp += (LONG64)signed_byte(at + 3);
        return 4;
    }
    if (at[0] == 0x48 && at[1] == 0x81 && at[2] == 0xC4) { /* add rsp, imm32 */
        *rsp += (LONG64)signed_long(at + 3);
        return 7;
    }
    if ((at[0] & 0xFE) != 0x48 || at[1] != 0x8D) /* REX.W with or without REX.B; lea */
        return 0;
    ULONG number = (at[2] & 7u) | (at[0] & 1u) << 3;
    ULONG mode = at[2] >> 6;
    if ((at[2] >> 3 & 7) != 4 || info->frame_register == 0 || number != info->frame_register || (number & 7) == 4)
        return 0;
    *rsp = *integer_register(context, number);
    if (mode == 1) {
        *rsp += (LONG64)signed_byte(at + 3);
        return 4;
    }
    if (mode == 2) {
        *rsp += (LONG64)signed_long(at + 3);
        return 7;
    }
    return mode == 0 && (number & 7) != 5 ? 3 : 0;
}

/* Whether the instruction leaves the function for good: a return, or a jump as a tail call has it. */
static BOOLEAN leaves_function(const UCHAR *at, ULONG64 base, PRUNTIME_FUNCTION function, const INFO *info)
{
    if (at[0] == 0xC3 || at[0] == 0xC2 || (at[0] == 0xF3 && at[1] == 0xC3))
        return TRUE;
    if (at[0] == 0xEB || at[0] == 0xE9) {
        ULONG64 target = (ULONG64)at - base;
        target += at[0] == 0xEB ? 2 + (LONG64)signed_byte(at + 1) : 5 + (LONG64)signed_long(at + 1);
        if (target < function->BeginAddress || target >= function->EndAddress)
            return TRUE;
        return target == function->BeginAddress && !(info->flags & UNW_FLAG_CHAININFO); /* it calls itself */
    }
    BOOLEAN marked = (at[0] & 0xF8) == 0x48; /* REX.W before an indirect jump marks a tail call */
    at += marked;
    return at[0] == 0xFF && (at[1] >> 3 & 7) == 4 && (marked || at[1] == 0x25);
}

/* Whether `offset` lies in an epilogue that version 2 of the unwind data marks. The first EPILOG code holds the size of
 * every epilogue; bit 0 of its info: one ends the function. Each further code holds the distance of one from the
 * function's end. */
static BOOLEAN in_marked_epilogue(PRUNTIME_FUNCTION function, const INFO *info, ULONG offset)
{
    ULONG size = info->codes[0].offset;
    ULONG from_end = function->EndAddress - function->BeginAddress - offset;
    if (info->code_count == 0 || info->codes[0].operation != UNW_EPILOG)
        return FALSE;
    if (info->codes[0].info & 1 && from_end <= size)
        return TRUE;
    for (ULONG i = 1; i < info->code_count && info->codes[i].operation == UNW_EPILOG; i++) {
        ULONG distance = info->codes[i].offset | (ULONG)info->codes[i].info << 8;
        if (distance != 0 && from_end <= distance && from_end + size > distance)
            return TRUE;
    }
    return FALSE;
}

/* Run the rest of an epilogue. FALSE, with nothing changed, if the bytes at `pc` are none. */
static BOOLEAN run_epilogue(FRAME *frame, ULONG64 base, ULONG64 pc, PRUNTIME_FUNCTION function, const INFO *info)
{
    if (info->version > 1 && !in_marked_epilogue(function, info, (ULONG)(pc - base) - function->BeginAddress))
        return FALSE;
    const UCHAR *first = (const UCHAR *)pc;
    const UCHAR *end = (const UCHAR *)(base + function->EndAddress);
    ULONG64 rsp;
    first += frame_release(first, info, frame->context, &rsp);
    const UCHAR *at = first;
    while (at < end && ((at[0] & 0xF8) == 0x58 || ((at[0] & 0xFE) == 0x40 && (at[1] & 0xF8) == 0x58)))
        at += (at[0] & 0xF8) == 0x58 ? 1 : 2;
    if (at >= end || !leaves_function(at, base, function, info))
        return FALSE;
    frame->context->Rsp = rsp;
    for (const UCHAR *next = first; next < at; next++) {
        ULONG extended = 0;
        if ((next[0] & 0xF8) != 0x58)
            extended = (*next++ & 1u) << 3;
        pop(frame, (next[0] & 7u) | extended);
    }
    pop_return_address(frame);
    return TRUE;
}

NTSTATUS unwind_frame(ULONG handler_type, ULONG64 base, ULONG64 pc, PRUNTIME_FUNCTION function, PCONTEXT context,
                      PVOID *handler_data, PULONG64 established, PKNONVOLATILE_CONTEXT_POINTERS pointers, ULONG64 low,
                      ULONG64 high, PEXCEPTION_ROUTINE *handler)
{
    FRAME frame = {context, pointers, low, high, FALSE};
    *handler = NULL;
    function = direct(base, function);
    const INFO *info = info_of(base, function);
    if (info->version == 0 || info->version > 2)
        return STATUS_BAD_FUNCTION_TABLE;
    ULONG offset = (ULONG)(pc - base) - function->BeginAddress;
    BOOLEAN in_prologue = offset < info->prologue_size;
    *established = establisher_frame(info, offset, context);
    if (!in_prologue && run_epilogue(&frame, base, pc, function, info))
        return frame.bad ? STATUS_BAD_STACK : STATUS_SUCCESS;
    BOOLEAN machine_frame = undo_prologue(&frame, info, offset, *established);
    for (ULONG i = 0; i < CHAIN_LIMIT && info->flags & UNW_FLAG_CHAININFO && !machine_frame && !frame.bad; i++) {
        info = info_of(base, chained(base, info)); /* the prologue of the entry before has run completely */
        machine_frame = undo_prologue(&frame, info, MAXDWORD, *established);
    }
    if (!machine_frame && !frame.bad)
        pop_return_address(&frame);
    if (frame.bad)
        return STATUS_BAD_STACK;
    if (info->flags & handler_type && !(info->flags & UNW_FLAG_CHAININFO) && !in_prologue) {
        PULONG rva = (PULONG)&info->codes[(info->code_count + 1) & ~1];
        *handler_data = rva + 1;
        *handler = (PEXCEPTION_ROUTINE)(base + *rva);
    }
    return STATUS_SUCCESS;
}

PEXCEPTION_ROUTINE NTAPI RtlVirtualUnwind(DWORD handler_type, DWORD64 base, DWORD64 pc, PRUNTIME_FUNCTION function,
                                          PCONTEXT context, PVOID *handler_data, PDWORD64 frame,
                                          PKNONVOLATILE_CONTEXT_POINTERS pointers)
{
    PEXCEPTION_ROUTINE handler = NULL;
    if (function == NULL) { /* a leaf function has nothing to undo */
        FRAME leaf = {context, pointers, 0, 0, FALSE};
        *frame = context->Rsp;
        pop_return_address(&leaf);
    } else if (unwind_frame(handler_type, base, pc, function, context, handler_data, frame, pointers, 0, 0, &handler) !=
               STATUS_SUCCESS)
        RtlRaiseStatus(STATUS_BAD_FUNCTION_TABLE);
    return handler;
}

BOOLEAN step_out(PCONTEXT context, ULONG64 low, ULONG64 high)
{
    ULONG64 base;
    FRAME leaf = {context, NULL, low, high, FALSE};
    PRUNTIME_FUNCTION function = RtlLookupFunctionEntry(context->Rip, &base, NULL);
    if (function == NULL) {
        pop_return_address(&leaf);
        return !leaf.bad;
    }
    PVOID data;
    ULONG64 frame;
    PEXCEPTION_ROUTINE handler;
    return NT_SUCCESS(unwind_frame(UNW_FLAG_NHANDLER, base, context->Rip, function, context, &data, &frame, NULL, low,
                                   high, &handler));
}
