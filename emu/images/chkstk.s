# The stack probe that compilers call before a frame of a page or more: RAX = size of the frame, every register kept.
# Touching each page in order makes the guard page do its work. ntdll exports it as __chkstk; programs link it in as
# ___chkstk_ms.
    .text
    .globl  __chkstk
    .globl  ___chkstk_ms
    .def    __chkstk; .scl 2; .type 32; .endef
    .def    ___chkstk_ms; .scl 2; .type 32; .endef
    .p2align 4
__chkstk:
___chkstk_ms:
.seh_proc ___chkstk_ms
    pushq   %rcx
    .seh_pushreg %rcx
    pushq   %rax
    .seh_pushreg %rax
    .seh_endprologue
    leaq    0x18(%rsp), %rcx            # the caller's RSP
1:  cmpq    $0x1000, %rax
    jb      2f
    subq    $0x1000, %rcx
    orb     $0, (%rcx)
    subq    $0x1000, %rax
    jmp     1b
2:  subq    %rax, %rcx
    orb     $0, (%rcx)
    popq    %rax
    popq    %rcx
    ret
    .seh_endproc
