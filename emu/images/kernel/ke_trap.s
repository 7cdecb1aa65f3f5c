# Where the processor enters the kernel, and where registers are saved and put back. The frames are KTRAP_FRAME and
# KEXCEPTION_FRAME of ntos_ke.h; RBP points 0x80 into the trap frame, as Windows has it.
    .text

.macro  FUNCTION name
    .globl  \name
    .def    \name; .scl 2; .type 32; .endef
    .p2align 4
\name:
.endm

# Offsets into KTRAP_FRAME from RBP.
    .set    F_ACTIVE, 0x2B - 0x80
    .set    F_MXCSR, 0x2C - 0x80
    .set    F_RAX, 0x30 - 0x80
    .set    F_RCX, 0x38 - 0x80
    .set    F_RDX, 0x40 - 0x80
    .set    F_R8, 0x48 - 0x80
    .set    F_R9, 0x50 - 0x80
    .set    F_R10, 0x58 - 0x80
    .set    F_R11, 0x60 - 0x80
    .set    F_GSSWAP, 0x68 - 0x80
    .set    F_XMM0, 0x70 - 0x80
    .set    F_RBX, 0x140 - 0x80
    .set    F_RDI, 0x148 - 0x80
    .set    F_RSI, 0x150 - 0x80
    .set    F_RBP, 0x158 - 0x80
    .set    F_RIP, 0x168 - 0x80
    .set    F_CS, 0x170 - 0x80

# An entry of the interrupt descriptor table. `coded`: the processor pushes an error code. `active`: 0 interrupt, 1
# exception.
.macro  TRAP name, vector, coded=0, active=1
FUNCTION \name
.seh_proc \name
    .if \coded
    .seh_pushframe @code
    .else
    .seh_pushframe
    pushq   $0
    .seh_stackalloc 8
    .endif
    pushq   %rbp
    .seh_pushreg %rbp
    subq    $0x158, %rsp
    .seh_stackalloc 0x158
    leaq    0x80(%rsp), %rbp
    .seh_setframe %rbp, 0x80
    .seh_endprologue
    movb    $\active, F_ACTIVE(%rbp)
    movq    %rax, F_RAX(%rbp)
    movq    $0, F_GSSWAP(%rbp)
    movl    $\vector, %eax
    callq   KiTrap
    jmp     KiTrapExit
    .seh_endproc
.endm

    TRAP    KiDivideErrorFault, 0
    TRAP    KiDebugTrapOrFault, 1
    TRAP    KiNmiInterrupt, 2, active=0
    TRAP    KiBreakpointTrap, 3
    TRAP    KiOverflowTrap, 4
    TRAP    KiBoundFault, 5
    TRAP    KiInvalidOpcodeFault, 6
    TRAP    KiNpxNotAvailableFault, 7
    TRAP    KiDoubleFaultAbort, 8, coded=1
    TRAP    KiNpxSegmentOverrunAbort, 9
    TRAP    KiInvalidTssFault, 10, coded=1
    TRAP    KiSegmentNotPresentFault, 11, coded=1
    TRAP    KiStackFault, 12, coded=1
    TRAP    KiGeneralProtectionFault, 13, coded=1
    TRAP    KiPageFault, 14, coded=1
    TRAP    KiFloatingErrorFault, 16
    TRAP    KiAlignmentFault, 17, coded=1
    TRAP    KiMcheckAbort, 18
    TRAP    KiXmmException, 19
    TRAP    KiControlProtectionFault, 21, coded=1
    TRAP    KiRaiseSecurityCheckFailure, 0x29
    TRAP    KiClockInterrupt, 0xD1, active=0

# SYSCALL: RCX = return address, R11 = RFLAGS, R10 = first argument, EAX = service.
FUNCTION KiSystemCall64
.seh_proc KiSystemCall64
    .seh_pushframe
    swapgs
    movq    %rsp, %gs:0x10
    movq    %gs:0x1A8, %rsp
    pushq   $0x2B
    pushq   %gs:0x10
    pushq   %r11
    pushq   $0x33
    pushq   %rcx
    pushq   $0
    .seh_stackalloc 8
    pushq   %rbp
    .seh_pushreg %rbp
    subq    $0x158, %rsp
    .seh_stackalloc 0x158
    leaq    0x80(%rsp), %rbp
    .seh_setframe %rbp, 0x80
    .seh_endprologue
    movb    $2, F_ACTIVE(%rbp)
    movq    %rax, F_RAX(%rbp)
    movq    $1, F_GSSWAP(%rbp)
    movl    $0x100, %eax
    callq   KiTrap
    jmp     KiTrapExit
    .seh_endproc

# Saves the rest of the trap frame and the exception frame, and asks KiDispatchTrap(ExceptionFrame, TrapFrame, Vector).
# EAX = vector; all other registers but RAX, RBP and RSP are those of the interrupted code.
    .p2align 4
KiTrap:
.seh_proc KiTrap
    subq    $0x138, %rsp
    .seh_stackalloc 0x138
    movq    %rbx, 0x100(%rsp)
    .seh_savereg %rbx, 0x100
    movq    %rdi, 0x108(%rsp)
    .seh_savereg %rdi, 0x108
    movq    %rsi, 0x110(%rsp)
    .seh_savereg %rsi, 0x110
    movq    %r12, 0x118(%rsp)
    .seh_savereg %r12, 0x118
    movq    %r13, 0x120(%rsp)
    .seh_savereg %r13, 0x120
    movq    %r14, 0x128(%rsp)
    .seh_savereg %r14, 0x128
    movq    %r15, 0x130(%rsp)
    .seh_savereg %r15, 0x130
    .irp    n, 6,7,8,9,10,11,12,13,14,15
    movaps  %xmm\n, 0x30 + 0x10 * (\n - 6)(%rsp)
    .seh_savexmm %xmm\n, 0x30 + 0x10 * (\n - 6)
    .endr
    .seh_endprologue
    movq    %rcx, F_RCX(%rbp)
    movq    %rdx, F_RDX(%rbp)
    movq    %r8, F_R8(%rbp)
    movq    %r9, F_R9(%rbp)
    movq    %r10, F_R10(%rbp)
    movq    %r11, F_R11(%rbp)
    movq    %rbx, F_RBX(%rbp)
    movq    %rdi, F_RDI(%rbp)
    movq    %rsi, F_RSI(%rbp)
    .irp    n, 0,1,2,3,4,5
    movaps  %xmm\n, F_XMM0 + 0x10 * \n(%rbp)
    .endr
    stmxcsr F_MXCSR(%rbp)
    movq    F_RBP(%rbp), %rcx
    movq    %rcx, 0xF8(%rsp)            # KEXCEPTION_FRAME.Rbp
    leaq    -0x80(%rbp), %rcx
    movq    %rcx, 0xD0(%rsp)            # KEXCEPTION_FRAME.TrapFrame
    movl    %eax, %r8d
    # GS may hold the user's base even in ring 0: an NMI between SYSCALL and SWAPGS. A kernel base is negative.
    movl    $0xC0000101, %ecx           # MSR_GS_BASE
    rdmsr
    testl   %edx, %edx
    js      1f
    swapgs
    movq    $1, F_GSSWAP(%rbp)
1:  cld
    movq    %rsp, %rcx
    leaq    -0x80(%rbp), %rdx
    callq   KiDispatchTrap
    cli
    .irp    n, 6,7,8,9,10,11,12,13,14,15
    movaps  0x30 + 0x10 * (\n - 6)(%rsp), %xmm\n
    .endr
    movq    0x118(%rsp), %r12
    movq    0x120(%rsp), %r13
    movq    0x128(%rsp), %r14
    movq    0x130(%rsp), %r15
    addq    $0x138, %rsp
    ret
    .seh_endproc

# Leaves through the trap frame at RBP - 0x80, whose every register counts. Interrupts are off.
    .p2align 4
KiTrapExit:
    .irp    n, 0,1,2,3,4,5
    movaps  F_XMM0 + 0x10 * \n(%rbp), %xmm\n
    .endr
    ldmxcsr F_MXCSR(%rbp)
    movq    F_RBX(%rbp), %rbx
    movq    F_RDI(%rbp), %rdi
    movq    F_RSI(%rbp), %rsi
    movq    F_RAX(%rbp), %rax
    movq    F_RCX(%rbp), %rcx
    movq    F_RDX(%rbp), %rdx
    movq    F_R8(%rbp), %r8
    movq    F_R9(%rbp), %r9
    movq    F_R10(%rbp), %r10
    movq    F_R11(%rbp), %r11
    cmpq    $0, F_GSSWAP(%rbp)
    je      1f
    swapgs
1:  leaq    F_RIP(%rbp), %rsp
    movq    F_RBP(%rbp), %rbp
    iretq

# KiUserStart(KTRAP_FRAME *Frame): the first entry of a thread to ring 3.
FUNCTION KiUserStart
    cli
    movq    %rcx, %rsp
    leaq    0x80(%rcx), %rbp
    jmp     KiTrapExit

# KiSwapContext(KTHREAD *Old, KTHREAD *New): returns when Old runs again.
FUNCTION KiSwapContext
.seh_proc KiSwapContext
    pushq   %rbx
    .seh_pushreg %rbx
    pushq   %rbp
    .seh_pushreg %rbp
    pushq   %rdi
    .seh_pushreg %rdi
    pushq   %rsi
    .seh_pushreg %rsi
    pushq   %r12
    .seh_pushreg %r12
    pushq   %r13
    .seh_pushreg %r13
    pushq   %r14
    .seh_pushreg %r14
    pushq   %r15
    .seh_pushreg %r15
    .seh_endprologue
    movq    0x60(%rcx), %rax            # KTHREAD.StateSaveArea
    fxsave64 (%rax)
    movq    %rsp, 0x58(%rcx)            # KTHREAD.KernelStack
    movq    0x58(%rdx), %rsp
    movq    0x60(%rdx), %rax
    fxrstor64 (%rax)
    popq    %r15
    popq    %r14
    popq    %r13
    popq    %r12
    popq    %rsi
    popq    %rdi
    popq    %rbp
    popq    %rbx
    ret
    .seh_endproc

# Where KiSwapContext returns to in a new thread: RBX = routine, RSI = its argument. Unwinding ends here.
FUNCTION KiThreadEntry
.seh_proc KiThreadEntry
    subq    $0x28, %rsp
    .seh_stackalloc 0x28
    .seh_endprologue
    movq    %rbx, %rcx
    movq    %rsi, %rdx
    callq   KiThreadStart
    int3
    .seh_endproc

# KiHypercall(ULONG Code, Argument1, Argument2, Argument3): ntos_boot.h.
FUNCTION KiHypercall
    movl    %ecx, %eax
    movq    %rdx, %rcx
    movq    %r8, %rdx
    movq    %r9, %r8
    hlt
    ret

# KiLoadSegments(const KDESCRIPTOR *Gdtr, const KDESCRIPTOR *Idtr, USHORT Tr). CS and SS are the right ones already; GS
# is not touched, its base would be lost.
FUNCTION KiLoadSegments
    lgdt    6(%rcx)
    lidt    6(%rdx)
    ltr     %r8w
    movl    $0x2B, %eax
    movl    %eax, %ds
    movl    %eax, %es
    ret

# RtlCaptureContext(CONTEXT *): the caller's registers as they are after the return.
FUNCTION RtlCaptureContext
.seh_proc RtlCaptureContext
    pushfq
    .seh_stackalloc 8
    .seh_endprologue
    movq    %rax, 0x78(%rcx)
    movq    %rcx, 0x80(%rcx)
    movq    0x8(%rsp), %rax
    movq    %rax, 0xF8(%rcx)            # Rip
    leaq    0x10(%rsp), %rax
    movq    %rax, 0x98(%rcx)            # Rsp
    movl    (%rsp), %eax
    movl    %eax, 0x44(%rcx)            # EFlags
    movq    0x78(%rcx), %rax
    callq   KiCaptureRegisters
    addq    $8, %rsp
    ret
    .seh_endproc

# Everything of a CONTEXT but Rax, Rcx, Rsp, Rip and EFlags, into RCX. Keeps all registers.
    .p2align 4
KiCaptureRegisters:
    movq    %rdx, 0x88(%rcx)
    movq    %rbx, 0x90(%rcx)
    movq    %rbp, 0xA0(%rcx)
    movq    %rsi, 0xA8(%rcx)
    movq    %rdi, 0xB0(%rcx)
    movq    %r8, 0xB8(%rcx)
    movq    %r9, 0xC0(%rcx)
    movq    %r10, 0xC8(%rcx)
    movq    %r11, 0xD0(%rcx)
    movq    %r12, 0xD8(%rcx)
    movq    %r13, 0xE0(%rcx)
    movq    %r14, 0xE8(%rcx)
    movq    %r15, 0xF0(%rcx)
    movw    %cs, 0x38(%rcx)
    movw    %ds, 0x3A(%rcx)
    movw    %es, 0x3C(%rcx)
    movw    %fs, 0x3E(%rcx)
    movw    %gs, 0x40(%rcx)
    movw    %ss, 0x42(%rcx)
    fxsave64 0x100(%rcx)
    stmxcsr 0x34(%rcx)
    movl    $0x10000F, 0x30(%rcx)       # control, integer, segments, floating point: as real dumps have it
    ret

# KeBugCheckEx(Code, P1, P2, P3, P4). The context is the caller's at the first instruction here, as in real dumps: RIP =
# KeBugCheckEx, RSP at the return address, every register as it was.
FUNCTION KeBugCheckEx
.seh_proc KeBugCheckEx
    movq    %rcx, 0x8(%rsp)
    movq    %rdx, 0x10(%rsp)
    movq    %r8, 0x18(%rsp)
    movq    %r9, 0x20(%rsp)
    pushfq
    .seh_stackalloc 8
    subq    $0x40, %rsp
    .seh_stackalloc 0x40
    .seh_endprologue
    cli
    movq    %rax, 0x30(%rsp)
    movq    %gs:0x20, %rcx              # KPCR.CurrentPrcb
    movq    0x6C0(%rcx), %rcx           # KPRCB.Context
    callq   KiCaptureRegisters
    movq    0x30(%rsp), %rax
    movq    %rax, 0x78(%rcx)
    movq    0x50(%rsp), %rax
    movq    %rax, 0x80(%rcx)            # Rcx
    leaq    0x48(%rsp), %rax
    movq    %rax, 0x98(%rcx)            # Rsp
    leaq    KeBugCheckEx(%rip), %rax
    movq    %rax, 0xF8(%rcx)
    movl    0x40(%rsp), %eax
    movl    %eax, 0x44(%rcx)
    movq    0x70(%rsp), %rax            # P4
    movq    %rax, 0x20(%rsp)
    movl    0x50(%rsp), %ecx
    movq    0x58(%rsp), %rdx
    movq    0x60(%rsp), %r8
    movq    0x68(%rsp), %r9
    callq   KeBugCheck2
    int3
    .seh_endproc

# KiSaveSpecialRegisters(KSPECIAL_REGISTERS *): what KiSaveProcessorState cannot say in C.
FUNCTION KiSaveSpecialRegisters
    movq    %cr0, %rax
    movq    %rax, (%rcx)
    movq    %cr2, %rax
    movq    %rax, 8(%rcx)
    movq    %cr3, %rax
    movq    %rax, 0x10(%rcx)
    movq    %cr4, %rax
    movq    %rax, 0x18(%rcx)
    movq    %dr0, %rax
    movq    %rax, 0x20(%rcx)
    movq    %dr1, %rax
    movq    %rax, 0x28(%rcx)
    movq    %dr2, %rax
    movq    %rax, 0x30(%rcx)
    movq    %dr3, %rax
    movq    %rax, 0x38(%rcx)
    movq    %dr6, %rax
    movq    %rax, 0x40(%rcx)
    movq    %dr7, %rax
    movq    %rax, 0x48(%rcx)
    sgdt    0x56(%rcx)
    sidt    0x66(%rcx)
    str     %eax
    movw    %ax, 0x70(%rcx)
    sldt    %eax
    movw    %ax, 0x72(%rcx)
    stmxcsr 0x74(%rcx)
    ret

# ExpInterlockedPopEntrySList(SLIST_HEADER *): the instruction at ...Fault follows the first entry's link, whatever it
# is. The header (winnt.h SLIST_HEADER, HeaderX64): depth in 16 bits, sequence in 48; next entry with 4 bits of its own.
FUNCTION ExpInterlockedPopEntrySList
.seh_proc ExpInterlockedPopEntrySList
    pushq   %rbx
    .seh_pushreg %rbx
    .seh_endprologue
    movq    %rcx, %r8
    .globl  ExpInterlockedPopEntrySListResume
ExpInterlockedPopEntrySListResume:
    movq    (%r8), %rax
    movq    8(%r8), %rdx
1:  movq    %rdx, %r9
    andq    $-16, %r9
    je      2f
    .globl  ExpInterlockedPopEntrySListFault
ExpInterlockedPopEntrySListFault:
    movq    (%r9), %rcx
    movq    %rdx, %r10
    andq    $15, %r10
    orq     %r10, %rcx
    leaq    0xFFFF(%rax), %rbx          # depth - 1, sequence + 1
    lock cmpxchg16b (%r8)
    jne     1b
2:  movq    %r9, %rax
    popq    %rbx
    ret
    .seh_endproc

# ExpInterlockedPushEntrySList(SLIST_HEADER *, SLIST_ENTRY *): returns the entry that was first.
FUNCTION ExpInterlockedPushEntrySList
.seh_proc ExpInterlockedPushEntrySList
    pushq   %rbx
    .seh_pushreg %rbx
    .seh_endprologue
    movq    %rcx, %r8
    movq    %rdx, %r10
    movq    (%r8), %rax
    movq    8(%r8), %rdx
1:  movq    %rdx, %r9
    andq    $-16, %r9
    movq    %r9, (%r10)
    movq    %rdx, %rcx
    andq    $15, %rcx
    orq     %r10, %rcx
    leaq    0x10001(%rax), %rbx         # depth + 1, sequence + 1
    lock cmpxchg16b (%r8)
    jne     1b
    movq    %r9, %rax
    popq    %rbx
    ret
    .seh_endproc

    .section .rdata,"dr"
    .globl  KiTrapTable
    .p2align 3
KiTrapTable:
    .quad   KiDivideErrorFault, KiDebugTrapOrFault, KiNmiInterrupt, KiBreakpointTrap, KiOverflowTrap, KiBoundFault
    .quad   KiInvalidOpcodeFault, KiNpxNotAvailableFault, KiDoubleFaultAbort, KiNpxSegmentOverrunAbort
    .quad   KiInvalidTssFault, KiSegmentNotPresentFault, KiStackFault, KiGeneralProtectionFault, KiPageFault, 0
    .quad   KiFloatingErrorFault, KiAlignmentFault, KiMcheckAbort, KiXmmException, 0, KiControlProtectionFault
