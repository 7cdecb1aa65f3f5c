# System calls of caller.c, by the numbers of ntos_services.h and caller.h.
    .text

.macro  SERVICE name, number
    .globl  \name
    .def    \name; .scl 2; .type 32; .endef
    .p2align 4
\name:
    movq    %rcx, %r10
    movl    $\number, %eax
    syscall
    ret
.endm

    SERVICE CallRead, 0x06
    SERVICE CallControl, 0x07
    SERVICE CallWrite, 0x08
    SERVICE CallClose, 0x0F
    SERVICE CallOpen, 0x33
    SERVICE CallDelay, 0x34
    SERVICE CallNameDevice, 0xD00
    SERVICE CallControlCode, 0xD01
    SERVICE CallDone, 0xD02
