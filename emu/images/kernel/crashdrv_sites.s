# The instructions of crashdrv.sys that crash: crashdrv.h. Each has a label of its own, which the driver exports.
    .text

.macro  FUNCTION name
    .globl  \name
    .def    \name; .scl 2; .type 32; .endef
    .p2align 4
\name:
.endm

.macro  SITE name
    .globl  \name
\name:
.endm

FUNCTION CrashRead
SITE CrashReadSite
    movl    (%rcx), %eax
    ret

FUNCTION CrashWrite
    movl    $0x0BADF00D, %eax
SITE CrashWriteSite
    movl    %eax, (%rcx)
    ret

FUNCTION CrashIllegal
SITE CrashIllegalSite
    ud2
    ret

FUNCTION CrashBreakpoint
SITE CrashBreakpointSite
    int3
    ret

FUNCTION CrashDivide
    movl    %edx, %r8d
    movl    %ecx, %eax
    xorl    %edx, %edx
SITE CrashDivideSite
    divl    %r8d
    ret

# A frame, so that the return address of the call is found by unwinding.
FUNCTION CrashCall
.seh_proc CrashCall
    subq    $0x28, %rsp
    .seh_stackalloc 0x28
    .seh_endprologue
    callq   *%rcx
    addq    $0x28, %rsp
    ret
    .seh_endproc

FUNCTION CrashStack
    movq    %rcx, %rsp
SITE CrashStackSite
    pushq   %rcx
    ret

# Frames of 0x200 bytes, RSP a multiple of 0x200 minus 8 after each call: the CALL itself is what touches a new page.
FUNCTION CrashOverflow
.seh_proc CrashOverflow
    pushq   %rbp
    .seh_pushreg %rbp
    movq    %rsp, %rbp
    .seh_setframe %rbp, 0
    .seh_endprologue
    andq    $-0x200, %rsp
    callq   CrashRecurse
    movq    %rbp, %rsp
    popq    %rbp
    ret
    .seh_endproc

    .p2align 4
CrashRecurse:
.seh_proc CrashRecurse
    subq    $0x1F8, %rsp
    .seh_stackalloc 0x1F8
    .seh_endprologue
SITE CrashOverflowSite
    callq   CrashRecurse
    addq    $0x1F8, %rsp
    ret
    .seh_endproc

FUNCTION CrashBugCheck
.seh_proc CrashBugCheck
    subq    $0x38, %rsp
    .seh_stackalloc 0x38
    .seh_endprologue
    movq    %rdx, %rax
    movq    (%rax), %rdx
    movq    8(%rax), %r8
    movq    16(%rax), %r9
    movq    24(%rax), %rax
    movq    %rax, 0x20(%rsp)
    callq   KeBugCheckEx
SITE CrashBugCheckSite
    addq    $0x38, %rsp
    ret
    .seh_endproc

FUNCTION CrashFinish
    movl    $8, %eax                    # HYPERCALL_FINISHED of ntos_boot.h
    hlt
    ret
