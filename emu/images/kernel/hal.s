# HalpHypercall(ULONG Code, Argument1, Argument2): ntos_boot.h.
    .text
    .globl  HalpHypercall
    .def    HalpHypercall; .scl 2; .type 32; .endef
    .p2align 4
HalpHypercall:
    movl    %ecx, %eax
    movq    %rdx, %rcx
    movq    %r8, %rdx
    hlt
    ret
