/* Traps: what each one means, which exceptions handlers get, and which bring the system down. */
#include "runtime.h"

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

VOID KiContextToFrames(const CONTEXT *Context, KTRAP_FRAME *Frame, KEXCEPTION_FRAME *Exception)
{
    Frame->MxCsr = Context->MxCsr;
    Frame->EFlags = Context->EFlags;
    Frame->Rip = Context->Rip;
    Frame->Rsp = Context->Rsp;
    Frame->Rax = Context->Rax;
    Frame->Rcx = Context->Rcx;
    Frame->Rdx = Context->Rdx;
    Frame->R8 = Context->R8;
    Frame->R9 = Context->R9;
    Frame->R10 = Context->R10;
    Frame->R11 = Context->R11;
    Frame->Rbp = Exception->Rbp = Context->Rbp;
    Frame->Rbx = Exception->Rbx = Context->Rbx;
    Frame->Rdi = Exception->Rdi = Context->Rdi;
    Frame->Rsi = Exception->Rsi = Context->Rsi;
    Exception->R12 = Context->R12;
    Exception->R13 = Context->R13;
    Exception->R14 = Context->R14;
    Exception->R15 = Context->R15;
    RtlCopyMemory(&Frame->Xmm0, &Context->Xmm0, 6 * sizeof(M128A));
    RtlCopyMemory(&Exception->Xmm6, &Context->Xmm6, 10 * sizeof(M128A));
}

/* No handler takes it: the bug check says in what kind of thread. */
DECLSPEC_NORETURN VOID KiUnhandledException(EXCEPTION_RECORD *Record, CONTEXT *Context)
{
    KTHREAD *thread = KiCurrentThread();
    ULONG_PTR code = (ULONG_PTR)(LONG_PTR)(LONG)Record->ExceptionCode, place = (ULONG_PTR)Record->ExceptionAddress;
    Context->ContextFlags |= CONTEXT_DEBUG_REGISTERS; /* as the contexts of exceptions in real dumps: 0x10001F */
    if (thread == KiPrcb()->IdleThread || KiPrcb()->DpcRoutineActive)
        KeBugCheckEx(
            KMODE_EXCEPTION_NOT_HANDLED, code, place, Record->ExceptionInformation[0], Record->ExceptionInformation[1]);
    if (thread->PreviousMode == UserMode)
        KeBugCheckEx(SYSTEM_SERVICE_EXCEPTION, (ULONG)Record->ExceptionCode, place, (ULONG_PTR)Context, 0);
    KeBugCheckEx(SYSTEM_THREAD_EXCEPTION_NOT_HANDLED, code, place, (ULONG_PTR)Record, (ULONG_PTR)Context);
}

/* In ring 3 an exception ends the process. In ring 0 the frames' handlers are asked. While they run, and if one
   unwinds, the thread is back in the trap before. */
static void KiDispatchException(
    EXCEPTION_RECORD *Record, KEXCEPTION_FRAME *Exception, KTRAP_FRAME *Frame, KPROCESSOR_MODE Mode)
{
    KTHREAD *thread = KiCurrentThread();
    if (Mode == UserMode)
        PspExitProcess(Record->ExceptionCode);
    CONTEXT context;
    KiContextFromFrames(&context, Frame, Exception);
    thread->TrapFrame = KiTrapFrame = (KTRAP_FRAME *)Frame->TrapFrame;
    BOOLEAN goes_on = RtlDispatchException(Record, &context);
    thread->TrapFrame = KiTrapFrame = Frame;
    if (goes_on)
        KiContextToFrames(&context, Frame, Exception);
    else
        KiUnhandledException(Record, &context);
}

static void KiRaise(
    NTSTATUS Code, ULONG64 Address, ULONG Parameters, ULONG64 P0, ULONG64 P1, KEXCEPTION_FRAME *Exception,
    KTRAP_FRAME *Frame)
{
    EXCEPTION_RECORD record;
    RtlZeroMemory(&record, sizeof record);
    record.ExceptionCode = (ULONG)Code;
    record.ExceptionAddress = (PVOID)Address;
    record.NumberParameters = Parameters;
    record.ExceptionInformation[0] = P0;
    record.ExceptionInformation[1] = P1;
    KiDispatchException(&record, Exception, Frame, Frame->SegCs & 1 ? UserMode : KernelMode);
}

/* 0xCE: code of a driver that has been unloaded runs, or its memory is used. */
static void KiCheckUnloaded(ULONG64 Address, ULONG64 Kind, ULONG64 Place)
{
    extern UNLOADED_DRIVERS *MmUnloadedDrivers;
    extern ULONG MmLastUnloadedDriver;
    for (ULONG i = 0; i < min(MmLastUnloadedDriver, MI_UNLOADED_DRIVERS); i++)
        if (Address >= (ULONG64)MmUnloadedDrivers[i].StartAddress && Address < (ULONG64)MmUnloadedDrivers[i].EndAddress)
            KeBugCheckEx(DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS, Address, Kind, Place, 0);
}

/* A page fault: MmAccessFault's decisions. Only paged pool is ever brought back. */
static void KiHandlePageFault(KEXCEPTION_FRAME *Exception, KTRAP_FRAME *Frame, ULONG64 Address)
{
    ULONG64 code = Frame->ErrorCode;
    BOOLEAN write = (code & PF_WRITE) != 0, fetch = (code & PF_FETCH) != 0;
    ULONG64 kind = fetch ? 8 : write; /* EXCEPTION_RECORD.ExceptionInformation[0] of an access violation */
    PVOID address = (PVOID)Address;
    Frame->FaultAddress = Address;
    if (Frame->SegCs & 1) {
        KiRaise(STATUS_ACCESS_VIOLATION, (ULONG64)Frame->Rip, 2, kind, Address, Exception, Frame);
        return;
    }
    KIRQL irql = KeGetCurrentIrql();
    if (irql < DISPATCH_LEVEL && !(code & PF_PRESENT) && MiRestorePagedPage(address))
        return;
    if (fetch && code & PF_PRESENT)
        KeBugCheckEx(
            ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY, Address, MiFindLeafPte(address)->u.Long, (ULONG_PTR)Frame, 2);
    KiCheckUnloaded(Address, kind, Frame->Rip);
    if (irql >= DISPATCH_LEVEL)
        KeBugCheckEx(IRQL_NOT_LESS_OR_EQUAL, Address, irql, kind, Frame->Rip);
    if (Address < (ULONG64)MmHighestUserAddress) {
        KiRaise(STATUS_ACCESS_VIOLATION, (ULONG64)Frame->Rip, 2, kind, Address, Exception, Frame);
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
    static const struct {
        UCHAR Vector;
        UCHAR Parameters;
        NTSTATUS Code;
    } exceptions[] = {
        { 0, 0, STATUS_INTEGER_DIVIDE_BY_ZERO },   { 1, 0, STATUS_SINGLE_STEP },
        { 3, 1, STATUS_BREAKPOINT },               { 6, 0, STATUS_ILLEGAL_INSTRUCTION },
        { 13, 2, STATUS_ACCESS_VIOLATION },        { 16, 1, STATUS_FLOAT_INVALID_OPERATION },
        { 17, 0, STATUS_DATATYPE_MISALIGNMENT },
    };
    if (Vector == 14) {
        KiHandlePageFault(Exception, Frame, FaultAddress);
        return;
    }
    if (Vector == VECTOR_FAST_FAIL) {
        Frame->Rip -= 2; /* CD 29 */
        if (Frame->SegCs & 1)
            PspExitProcess(STATUS_STACK_BUFFER_OVERRUN);
        KeBugCheckEx(KERNEL_SECURITY_CHECK_FAILURE, Frame->Rcx, (ULONG_PTR)Frame, 0, 0);
    }
    if (Vector == 3)
        Frame->Rip--; /* INT 3 reports itself */
    for (ULONG i = 0; i < sizeof exceptions / sizeof *exceptions; i++)
        if (exceptions[i].Vector == Vector) {
            /* #GP: the processor does not say which address. All ones, as Windows has it. */
            KiRaise(
                exceptions[i].Code, Frame->Rip, exceptions[i].Parameters, 0, Vector == 13 ? ~0ull : 0, Exception, Frame);
            return;
        }
    KiUnexpectedTrap(Vector, Frame);
}

/* 0x4A and 0x1: a system service may not return at a raised IRQL, or with APCs disabled. */
static void KiCheckServiceEnd(const KTRAP_FRAME *Frame, LONG Disabled)
{
    LONG now = KiThreadState(KiCurrentThread())->KernelApcDisable;
    if (KeGetCurrentIrql() > PASSIVE_LEVEL)
        KeBugCheckEx(IRQL_GT_ZERO_AT_SYSTEM_SERVICE, Frame->Rip, KeGetCurrentIrql(), 0, 0);
    if (now != Disabled)
        KeBugCheckEx(APC_INDEX_MISMATCH, Frame->Rip, 0, (ULONG)(USHORT)now, 0);
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
        LONG disabled = KiThreadState(thread)->KernelApcDisable;
        thread->PreviousMode = UserMode;
        KiPrcb()->KeSystemCalls++;
        Frame->Rax = (ULONG64)(LONG64)KiSystemService(Frame);
        KiCheckServiceEnd(Frame, disabled);
    } else {
        if (Frame->SegCs & 1)
            thread->PreviousMode = UserMode;
        KiHandleException(Exception, Frame, Vector, fault_address);
    }
    KiDisableInterrupts();
    thread->TrapFrame = (KTRAP_FRAME *)Frame->TrapFrame;
    thread->PreviousMode = mode;
}
