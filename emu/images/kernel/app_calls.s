# System calls of app.exe, by the numbers of ntos_services.h, and the instruction that crashes it.
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

    SERVICE NtExit, 0x2C
    SERVICE NtDelay, 0x34
    SERVICE NtOpen, 0x33
    SERVICE NtControl, 0x07
    SERVICE NtDisplay, 0x68

    .globl  AppCrash
    .def    AppCrash; .scl 2; .type 32; .endef
    .p2align 4
AppCrash:
    .globl  AppCrashSite
AppCrashSite:
    movq    %rcx, (%rcx)
    ret
