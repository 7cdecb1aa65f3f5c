/* Traps: what each one means, and which of them bring the system down. */
#include "ntos.h"

#define PF_PRESENT 1
#define PF_WRITE 2
#define PF_FETCH 16
#define VECTOR_SYSTEM_CALL 0x100
#define VECTOR_FAST_FAIL 0x29
#define RFLAGS_IF 0x200

/* bugcodes.h of newer headers than ours. */
#define SYSTEM_SERVICE_EXCEPTION 0x3B
#define KERNEL_SECURITY_CHECK_FAILURE 0x139

/* The innermost trap frame of the whole system when it stopped: where the faulting registers are. */
KTRAP_FRAME *KiTrapFrame;

VOID KiContextFromFrames(CONTEXT *Context, const KTRAP_FRAME *Frame, const KEXCEPTION_FRAME *Exception)
{
    RtlZeroMemory(Context, sizeof *Context);
    Context->ContextFlags = CONTEXT_FULL | CONTEXT_SEGMENTS;
    Context->MxCsr = Context->FltSave.MxCsr = Frame->MxCsr;
    Context->FltSave.ControlWord = 0x27F;
    Context->FltSave.MxCsr_Mask = 0xFFFF;
    Context->SegCs = Frame->SegCs;
    Context->SegSs = Frame->SegSs;
    Context->SegDs = Context->SegEs = Context->SegGs = KGDT64_R3_DATA | RPL_MASK;
    Context->SegFs = KGDT64_R3_CMTEB | RPL_MASK;
    Context->EFlags = Frame->EFlags;
    Context->Rip = Frame->Rip;
    Context->Rsp = Frame->Rsp;
    Context->Rax = Frame->Rax;
    Context->Rcx = Frame->Rcx;
    Context->Rdx = Frame->Rdx;
    Context->R8 = Frame->R8;
    Context->R9 = Frame->R9;
    Context->R10 = Frame->R10;
    Context->R11 = Frame->R11;
    Context->Rbp = Exception->Rbp;
    Context->Rbx = Exception->Rbx;
    Context->Rdi = Exception->Rdi;
    Context->Rsi = Exception->Rsi;
    Context->R12 = Exception->R12;
    Context->R13 = Exception->R13;
    Context->R14 = Exception->R14;
    Context->R15 = Exception->R15;
    RtlCopyMemory(&Context->Xmm0, &Frame->Xmm0, 6 * sizeof(M128A));
    RtlCopyMemory(&Context->Xmm6, &Exception->Xmm6, 10 * sizeof(M128A));
}

/* An exception that no handler takes: this kernel has none. In ring 3 it ends the process; else the system. */
static void KiDispatchException(
    EXCEPTION_RECORD *Record, KEXCEPTION_FRAME *Exception, KTRAP_FRAME *Frame, KPROCESSOR_MODE Mode)
{
    KTHREAD *thread = KiCurrentThread();
    if (Mode == UserMode)
        PspExitProcess(Record->ExceptionCode);
    CONTEXT context;
    KiContextFromFrames(&context, Frame, Exception);
    context.ContextFlags |= CONTEXT_DEBUG_REGISTERS; /* as the contexts of exceptions in real dumps: 0x10001F */
    if (thread == KiPrcb()->IdleThread)
        KeBugCheckEx(
            KMODE_EXCEPTION_NOT_HANDLED, (ULONG_PTR)(LONG_PTR)(LONG)Record->ExceptionCode,
            (ULONG_PTR)Record->ExceptionAddress, Record->ExceptionInformation[0], Record->ExceptionInformation[1]);
    if (thread->PreviousMode == UserMode)
        KeBugCheckEx(
            SYSTEM_SERVICE_EXCEPTION, (ULONG)Record->ExceptionCode, (ULONG_PTR)Record->ExceptionAddress,
            (ULONG_PTR)&context, 0);
    KeBugCheckEx(
        SYSTEM_THREAD_EXCEPTION_NOT_HANDLED, (ULONG_PTR)(LONG_PTR)(LONG)Record->ExceptionCode,
        (ULONG_PTR)Record->ExceptionAddress, (ULONG_PTR)Record, (ULONG_PTR)&context);
}

static void KiRaise(
    NTSTATUS Code, ULONG64 Address, ULONG Parameters, ULONG64 P0, ULONG64 P1, KEXCEPTION_FRAME *Exception,
    KTRAP_FRAME *Frame)
{
    EXCEPTION_RECORD record;
    RtlZeroMemory(&record, sizeof record);
    record.ExceptionCode = Code;
    record.ExceptionAddress = (PVOID)Address;
    record.NumberParameters = Parameters;
    record.ExceptionInformation[0] = P0;
    record.ExceptionInformation[1] = P1;
    KiDispatchException(&record, Exception, Frame, Frame->SegCs & 1 ? UserMode : KernelMode);
}

/* A page fault: MmAccessFault's decisions, for a system that never has to bring a page in. */
static void KiHandlePageFault(KEXCEPTION_FRAME *Exception, KTRAP_FRAME *Frame, ULONG64 Address)
{
    ULONG64 code = Frame->ErrorCode;
    BOOLEAN write = (code & PF_WRITE) != 0, fetch = (code & PF_FETCH) != 0;
    ULONG64 kind = fetch ? 8 : write; /* EXCEPTION_RECORD.ExceptionInformation[0] of an access violation */
    Frame->FaultAddress = Address;
    if (Frame->SegCs & 1) {
        KiRaise(STATUS_ACCESS_VIOLATION, Frame->Rip, 2, kind, Address, Exception, Frame);
        return;
    }
    KIRQL irql = KeGetCurrentIrql();
    PVOID address = (PVOID)Address;
    if (fetch && code & PF_PRESENT)
        KeBugCheckEx(
            ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY, Address, MiFindLeafPte(address)->u.Long, (ULONG_PTR)Frame, 2);
    if (irql >= DISPATCH_LEVEL)
        KeBugCheckEx(IRQL_NOT_LESS_OR_EQUAL, Address, irql, kind, Frame->Rip);
    if (Address < (ULONG64)MmHighestUserAddress) {
        KiRaise(STATUS_ACCESS_VIOLATION, Frame->Rip, 2, kind, Address, Exception, Frame);
        return;
    }
    if (write && code & PF_PRESENT)
        KeBugCheckEx(
            ATTEMPTED_WRITE_TO_READONLY_MEMORY, Address, MiFindLeafPte(address)->u.Long, (ULONG_PTR)Frame, 0xA);
    /* Parameter 2 since Windows 10: the error code's bits; before: 0 or 1. Parameter 4: 0 = the PTE is free, 2 = there
       is no page table (bug check 0x50's documentation). */
    ULONG64 operation = KiBootParameters->BuildNumber >= 10240 ? (fetch ? 0x10u : write ? 2u : 0u) : write;
    KeBugCheckEx(PAGE_FAULT_IN_NONPAGED_AREA, Address, operation, Frame->Rip, MiTablesPresent(address) ? 0 : 2);
}

static void KiUnexpectedTrap(ULONG Vector, const KTRAP_FRAME *Frame)
{
    KeBugCheckEx(UNEXPECTED_KERNEL_MODE_TRAP, Vector, __readcr0(), __readcr4(), Frame->Rip);
}

static void KiHandleException(KEXCEPTION_FRAME *Exception, KTRAP_FRAME *Frame, ULONG Vector, ULONG64 FaultAddress)
{
    switch (Vector) {
    case 0:
        KiRaise(STATUS_INTEGER_DIVIDE_BY_ZERO, Frame->Rip, 0, 0, 0, Exception, Frame);
        break;
    case 1:
        KiRaise(STATUS_SINGLE_STEP, Frame->Rip, 0, 0, 0, Exception, Frame);
        break;
    case 3:
        Frame->Rip--; /* INT 3 reports itself */
        KiRaise(STATUS_BREAKPOINT, Frame->Rip, 1, 0, 0, Exception, Frame);
        break;
    case 6:
        KiRaise(STATUS_ILLEGAL_INSTRUCTION, Frame->Rip, 0, 0, 0, Exception, Frame);
        break;
    case 13:
        /* The processor does not say which address: all ones, as Windows has it. */
        KiRaise(STATUS_ACCESS_VIOLATION, Frame->Rip, 2, 0, ~0ull, Exception, Frame);
        break;
    case 14:
        KiHandlePageFault(Exception, Frame, FaultAddress);
        break;
    case 16:
        KiRaise(STATUS_FLOAT_INVALID_OPERATION, Frame->Rip, 1, 0, 0, Exception, Frame);
        break;
    case 17:
        KiRaise(STATUS_DATATYPE_MISALIGNMENT, Frame->Rip, 0, 0, 0, Exception, Frame);
        break;
    case VECTOR_FAST_FAIL:
        Frame->Rip -= 2; /* CD 29 */
        if (Frame->SegCs & 1)
            PspExitProcess(STATUS_STACK_BUFFER_OVERRUN);
        KeBugCheckEx(KERNEL_SECURITY_CHECK_FAILURE, Frame->Rcx, (ULONG_PTR)Frame, 0, 0);
        break;
    default:
        KiUnexpectedTrap(Vector, Frame);
    }
}

VOID KiClockTick(const KTRAP_FRAME *Frame);

/* Called by ke_trap.s with interrupts off; on return the interrupted code goes on with the registers of the frames. */
VOID KiDispatchTrap(KEXCEPTION_FRAME *Exception, KTRAP_FRAME *Frame, ULONG Vector)
{
    if (Vector == NMI_VECTOR) {
        KiFreezeExecution(Frame, Exception);
        return;
    }
    if (Vector == CLOCK_VECTOR) {
        KiClockTick(Frame);
        return;
    }
    KTHREAD *thread = KiCurrentThread();
    if (!thread)
        KiFatal("a trap before the first thread");
    CHAR mode = thread->PreviousMode;
    ULONG64 fault_address = __readcr2();
    Frame->TrapFrame = (ULONG64)thread->TrapFrame;
    Frame->PreviousMode = mode;
    Frame->PreviousIrql = KeGetCurrentIrql();
    thread->TrapFrame = Frame;
    KiTrapFrame = Frame;
    if (Vector == 8)
        KiUnexpectedTrap(Vector, Frame);
    if (Frame->EFlags & RFLAGS_IF)
        KiEnableInterrupts();
    if (Vector == VECTOR_SYSTEM_CALL) {
        thread->PreviousMode = UserMode;
        KiPrcb()->KeSystemCalls++;
        Frame->Rax = (ULONG64)(LONG64)KiSystemService(Frame);
    } else {
        if (Frame->SegCs & 1)
            thread->PreviousMode = UserMode;
        KiHandleException(Exception, Frame, Vector, fault_address);
    }
    KiDisableInterrupts();
    thread->TrapFrame = (KTRAP_FRAME *)Frame->TrapFrame;
    thread->PreviousMode = mode;
}
