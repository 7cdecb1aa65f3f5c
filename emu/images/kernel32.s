# VOID RaiseException(DWORD code, DWORD flags, DWORD count, const ULONG_PTR *arguments)
# In assembly so that the CALL's end has a name: RaiseException_return is the address that the exception reports.
# EXCEPTION_RECORD (winnt.h, AMD64): code 0, flags 4, record 8, address 0x10, count 0x18, information 0x20, size 0x98.
    .text
    .globl  RaiseException
    .globl  RaiseException_return
    .def    RaiseException; .scl 2; .type 32; .endef
    .p2align 4
RaiseException:
.seh_proc RaiseException
    subq    $0xC8, %rsp
    .seh_stackalloc 0xC8
    .seh_endprologue
    movl    %ecx, 0x20(%rsp)
    andl    $1, %edx                    # EXCEPTION_NONCONTINUABLE is the only flag a caller may give
    movl    %edx, 0x24(%rsp)
    movq    $0, 0x28(%rsp)
    leaq    RaiseException(%rip), %rax
    movq    %rax, 0x30(%rsp)
    testq   %r9, %r9
    jnz     1f
    xorl    %r8d, %r8d
1:  cmpl    $15, %r8d                   # EXCEPTION_MAXIMUM_PARAMETERS
    jbe     2f
    movl    $15, %r8d
2:  movl    %r8d, 0x38(%rsp)
    movl    $0, 0x3C(%rsp)
    xorl    %eax, %eax
3:  cmpl    %r8d, %eax
    jae     4f
    movq    (%r9,%rax,8), %rdx
    movq    %rdx, 0x40(%rsp,%rax,8)
    incl    %eax
    jmp     3b
4:  leaq    0x20(%rsp), %rcx
    callq   *__imp_RtlRaiseException(%rip)
RaiseException_return:
    addq    $0xC8, %rsp
    retq
    .seh_endproc
