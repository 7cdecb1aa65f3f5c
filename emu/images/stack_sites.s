# The functions of stacks.exe whose stacks are hard to walk. RCX is a null pointer in all of them. Where each crashes has no
# label: debuggers would take it for the start of a function. Scenarios declare it by the function and an offset.
# Rules of prologues and epilogues: learn.microsoft.com "x64 prolog and epilog", "x64 exception handling".
    .text

.macro  FUNCTION name
    .globl  \name
    .def    \name; .scl 2; .type 32; .endef
    .p2align 4
\name:
.endm

# A leaf function: it has no unwind data and needs none.
FUNCTION leaf
    movl    0x10(%rcx), %eax
    ret

# A tail call: tail_target returns to the caller of tail_caller, whose frame is gone.
FUNCTION tail_caller
.seh_proc tail_caller
    pushq   %rbx
    .seh_pushreg %rbx
    subq    $0x20, %rsp
    .seh_stackalloc 0x20
    .seh_endprologue
    movq    %rcx, %rbx
    callq   nothing
    movq    %rbx, %rcx
    addq    $0x20, %rsp
    popq    %rbx
    jmp     tail_target
    .seh_endproc

FUNCTION nothing
    ret

FUNCTION tail_target
.seh_proc tail_target
    subq    $0x38, %rsp
    .seh_stackalloc 0x38
    .seh_endprologue
    movl    0x14(%rcx), %eax
    addq    $0x38, %rsp
    ret
    .seh_endproc

# A stack of dynamic size, as alloca makes it: only RBP leads to the caller. RDX = size, a multiple of 16.
FUNCTION dynamic_stack
.seh_proc dynamic_stack
    pushq   %rbp
    .seh_pushreg %rbp
    pushq   %rsi
    .seh_pushreg %rsi
    subq    $0x28, %rsp
    .seh_stackalloc 0x28
    leaq    0x20(%rsp), %rbp
    .seh_setframe %rbp, 0x20
    .seh_endprologue
    subq    %rdx, %rsp
    callq   dynamic_leaf
    leaq    0x8(%rbp), %rsp
    popq    %rsi
    popq    %rbp
    ret
    .seh_endproc

FUNCTION dynamic_leaf
    movl    0x18(%rcx), %eax
    ret

# The processor faults in an epilogue: the frame is gone, RSP points to the return address. An epilogue may end in
# such a jump: "x64 prolog and epilog".
FUNCTION epilogue
.seh_proc epilogue
    pushq   %rbx
    .seh_pushreg %rbx
    subq    $0x30, %rsp
    .seh_stackalloc 0x30
    .seh_endprologue
    movq    %rcx, %rbx
    callq   nothing
    movq    %rbx, %rax
    addq    $0x30, %rsp
    popq    %rbx
    rex64 jmpq *(%rax)
    .seh_endproc

# The processor faults in a prologue: one of two registers is saved, and no stack is allocated yet.
FUNCTION prologue
.seh_proc prologue
    pushq   %rbx
    .seh_pushreg %rbx
    movl    0x1C(%rcx), %eax
    pushq   %rsi
    .seh_pushreg %rsi
    subq    $0x48, %rsp
    .seh_stackalloc 0x48
    .seh_endprologue
    addq    $0x48, %rsp
    popq    %rsi
    popq    %rbx
    ret
    .seh_endproc

# A function with a frame but without unwind data: an unwinder takes it for a leaf.
FUNCTION no_unwind
    subq    $0x48, %rsp
    leaq    pointer(%rip), %rax         # what lies where a leaf has its return address
    movq    %rax, (%rsp)
    callq   no_unwind_leaf
    addq    $0x48, %rsp
    ret

FUNCTION no_unwind_leaf
    movl    0x20(%rcx), %eax
    ret

# Two pieces of code, each with an entry in .pdata. The unwind data of the second is chained to the first's. It is
# written by hand: the assembler would let the entries overlap, which loaders need not accept.
FUNCTION chained
    pushq   %rbx
    subq    $0x50, %rsp
chained_second:
    movq    %rsi, 0x40(%rsp)
    callq   chained_leaf
    movq    0x40(%rsp), %rsi
    addq    $0x50, %rsp
    popq    %rbx
    ret
chained_end:

    .section .xdata,"dr"
    .p2align 2
first_part:
    .byte   1, 5, 2, 0                  # UNWIND_INFO version 1, a prologue of 5 bytes, 2 codes
    .byte   5, 0x92                     # after 5 bytes: UWOP_ALLOC_SMALL of 8 * 9 + 8 bytes
    .byte   1, 0x30                     # after 1 byte: UWOP_PUSH_NONVOL of RBX
second_part:
    .byte   0x21, 5, 2, 0               # UNW_FLAG_CHAININFO
    .byte   5, 0x64                     # after 5 bytes: UWOP_SAVE_NONVOL of RSI
    .short  8                           # at RSP + 8 * 8
    .long   chained@IMGREL, chained_second@IMGREL, first_part@IMGREL

    .section .pdata,"dr"
    .long   chained@IMGREL, chained_second@IMGREL, first_part@IMGREL
    .long   chained_second@IMGREL, chained_end@IMGREL, second_part@IMGREL
    .text

FUNCTION chained_leaf
    movl    0x24(%rcx), %eax
    ret

# The return address is overwritten with that of other code before the crash, as a buffer overrun does it.
FUNCTION corrupted
.seh_proc corrupted
    subq    $0x28, %rsp
    .seh_stackalloc 0x28
    .seh_endprologue
    leaq    pointer(%rip), %rax
    movq    %rax, 0x28(%rsp)
    movl    0x28(%rcx), %eax
    addq    $0x28, %rsp
    ret
    .seh_endproc

# Data that is no code: 8 bytes in front of nothing.
    .section .rdata,"dr"
    .p2align 4
pointer:
    .quad   0, 0
    .text

# A jump over frames, as longjmp does it: the frames of dive are gone at the crash.
FUNCTION long_jump
.seh_proc long_jump
    pushq   %rbp
    .seh_pushreg %rbp
    subq    $0x30, %rsp
    .seh_stackalloc 0x30
    leaq    0x30(%rsp), %rbp
    .seh_setframe %rbp, 0x30
    .seh_endprologue
    movl    $5, %edx
    callq   dive
back:
    leaq    -0x30(%rbp), %rsp
    xorl    %ecx, %ecx
    movl    0x2C(%rcx), %eax
    addq    $0x30, %rsp
    popq    %rbp
    ret
    .seh_endproc

FUNCTION dive
.seh_proc dive
    subq    $0x28, %rsp
    .seh_stackalloc 0x28
    .seh_endprologue
    decl    %edx
    jz      back
    callq   dive
    addq    $0x28, %rsp
    ret
    .seh_endproc

# The function goes on upon another stack, and calls. RDX = the end of that stack.
FUNCTION other_stack
.seh_proc other_stack
    pushq   %rbp
    .seh_pushreg %rbp
    subq    $0x20, %rsp
    .seh_stackalloc 0x20
    leaq    0x20(%rsp), %rbp
    .seh_setframe %rbp, 0x20
    .seh_endprologue
    leaq    -0x40(%rdx), %rsp
    callq   on_other_stack
    leaq    -0x20(%rbp), %rsp
    addq    $0x20, %rsp
    popq    %rbp
    ret
    .seh_endproc

FUNCTION on_other_stack
.seh_proc on_other_stack
    subq    $0x28, %rsp
    .seh_stackalloc 0x28
    .seh_endprologue
    movl    0x30(%rcx), %eax
    addq    $0x28, %rsp
    ret
    .seh_endproc
