# What C cannot say: switching stacks, saving registers, loading tables, the hypercall, and the interlocked lists.
    .text

.macro  FUNCTION name
    .globl  \name
    .def    \name; .scl 2; .type 32; .endef
    .p2align 4
\name:
.endm

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
    subq    $0x28, %rsp
    .seh_stackalloc 0x28
    .seh_endprologue
    movq    0x60(%rcx), %rax            # KTHREAD.StateSaveArea
    fxsave64 (%rax)
    callq   KiSwapStacks
    movq    0x60(%rdx), %rax
    fxrstor64 (%rax)
    addq    $0x28, %rsp
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

# Leaves the stack of the thread RCX for that of the thread RDX. What it leaves is a KSWITCH_FRAME (ntos_ke.h), from
# which debuggers unwind a waiting thread (docs/format/engine.md#what-stacks-need).
FUNCTION KiSwapStacks
.seh_proc KiSwapStacks
    pushq   %rbp
    .seh_pushreg %rbp
    subq    $0x30, %rsp
    .seh_stackalloc 0x30
    .seh_endprologue
    movq    %rsp, 0x58(%rcx)            # KTHREAD.KernelStack
    movq    0x58(%rdx), %rsp
    addq    $0x30, %rsp
    popq    %rbp
    ret
    .seh_endproc

# Where KiSwapStacks returns to in a new thread: KiThreadEntry(Routine, Context), its arguments in their home slots.
# RDX = the thread. Unwinding ends here: the return address is 0.
FUNCTION KiThreadEntry
.seh_proc KiThreadEntry
    subq    $0x28, %rsp
    .seh_stackalloc 0x28
    .seh_endprologue
    movq    0x60(%rdx), %rax            # KTHREAD.StateSaveArea
    fxrstor64 (%rax)
    movq    0x30(%rsp), %rcx
    movq    0x38(%rsp), %rdx
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
