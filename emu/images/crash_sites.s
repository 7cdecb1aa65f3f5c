# The instructions of crash.exe that crash. Each has a label of its own, which crash.exe exports: scenarios declare
# their exception address from the image's export table.
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

FUNCTION crash_read
SITE crash_read_site
    movl    0x10(%rcx), %eax
    ret

FUNCTION crash_write
SITE crash_write_site
    movl    %edx, 0x18(%rcx)
    ret

# A frame, so that the return address of the call is found by unwinding.
FUNCTION crash_call
.seh_proc crash_call
    subq    $0x28, %rsp
    .seh_stackalloc 0x28
    .seh_endprologue
SITE crash_call_site
    callq   *%rcx
    addq    $0x28, %rsp
    ret
    .seh_endproc

FUNCTION crash_divide
    movl    %edx, %r8d
    movl    %ecx, %eax
    xorl    %edx, %edx
SITE crash_divide_site
    divl    %r8d
    ret

FUNCTION crash_illegal
SITE crash_illegal_site
    ud2
    ret

# __fastfail(code): INT 29h with the code in ECX (winnt.h).
FUNCTION crash_fast_fail
SITE crash_fast_fail_site
    int     $0x29
    ret

# Endless recursion with real frames of 0x200 bytes. The first frame is aligned so that RSP at the site is always 0x100
# above a multiple of 0x200: the site, and never the CALL, is the first to touch a new page, at offset 0xF00 of it.
FUNCTION crash_overflow
.seh_proc crash_overflow
    pushq   %rbp
    .seh_pushreg %rbp
    movq    %rsp, %rbp
    .seh_setframe %rbp, 0
    .seh_endprologue
    andq    $-0x1000, %rsp
    subq    $0x900, %rsp
    xorl    %ecx, %ecx
    callq   recurse
    movq    %rbp, %rsp
    popq    %rbp
    ret
    .seh_endproc

    .p2align 4
recurse:
.seh_proc recurse
    subq    $0x1F8, %rsp
    .seh_stackalloc 0x1F8
    .seh_endprologue
SITE crash_overflow_site
    movq    %rcx, (%rsp)
    incq    %rcx
    callq   recurse
    addq    $0x1F8, %rsp
    ret
    .seh_endproc

FUNCTION crash_secondary
SITE crash_secondary_site
    movl    0x30(%rcx), %eax
    ret
