# Where the processor enters the kernel and leaves it. The frames are KTRAP_FRAME and
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
    nop                                 # an unwinder takes a jump at the return address for an epilogue
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
    nop
    jmp     KiTrapExit
    .seh_endproc

# Saves the rest of the trap frame and the exception frame, and asks KiDispatchTrap(ExceptionFrame, TrapFrame, Vector).
# EAX = vector; all other registers but RAX, RBP and RSP are those of the interrupted code.
FUNCTION KiTrap
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
FUNCTION KiTrapExit
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

    .section .rdata,"dr"
    .globl  KiTrapTable
    .p2align 3
KiTrapTable:
    .quad   KiDivideErrorFault, KiDebugTrapOrFault, KiNmiInterrupt, KiBreakpointTrap, KiOverflowTrap, KiBoundFault
    .quad   KiInvalidOpcodeFault, KiNpxNotAvailableFault, KiDoubleFaultAbort, KiNpxSegmentOverrunAbort
    .quad   KiInvalidTssFault, KiSegmentNotPresentFault, KiStackFault, KiGeneralProtectionFault, KiPageFault, 0
    .quad   KiFloatingErrorFault, KiAlignmentFault, KiMcheckAbort, KiXmmException, 0, KiControlProtectionFault
