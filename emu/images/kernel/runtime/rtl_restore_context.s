# RtlpRestoreContext(const CONTEXT *): goes on in ring 0 with every register of the context.
    .text
    .globl  RtlpRestoreContext
    .def    RtlpRestoreContext; .scl 2; .type 32; .endef
    .p2align 4
RtlpRestoreContext:
    cli
    .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    movaps  0x1A0 + 0x10 * \n(%rcx), %xmm\n
    .endr
    ldmxcsr 0x34(%rcx)
    movq    0x88(%rcx), %rdx
    movq    0x90(%rcx), %rbx
    movq    0xA0(%rcx), %rbp
    movq    0xA8(%rcx), %rsi
    movq    0xB0(%rcx), %rdi
    movq    0xB8(%rcx), %r8
    movq    0xC0(%rcx), %r9
    movq    0xC8(%rcx), %r10
    movq    0xD0(%rcx), %r11
    movq    0xD8(%rcx), %r12
    movq    0xE0(%rcx), %r13
    movq    0xE8(%rcx), %r14
    movq    0xF0(%rcx), %r15
    movl    $0x18, %eax                 # KGDT64_R0_DATA
    pushq   %rax
    pushq   0x98(%rcx)                  # Rsp
    movl    0x44(%rcx), %eax            # EFlags
    pushq   %rax
    movl    $0x10, %eax                 # KGDT64_R0_CODE
    pushq   %rax
    pushq   0xF8(%rcx)                  # Rip
    movq    0x78(%rcx), %rax
    movq    0x80(%rcx), %rcx
    iretq
