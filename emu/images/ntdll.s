# ntdll: what C cannot say. Contexts are captured before any register of the caller is touched.
# CONTEXT offsets: winnt.h, AMD64 (ContextFlags 0x30 ... Rip 0xF8, FltSave 0x100, size 0x4D0).
    .text

# Store the caller's registers into the CONTEXT at BASE(%rsp-relative or %rcx). RIP, RSP, EFLAGS follow separately.
.macro  STORE_REGISTERS base:vararg
    movq    %rax, 0x78+\base
    movq    %rcx, 0x80+\base
    movq    %rdx, 0x88+\base
    movq    %rbx, 0x90+\base
    movq    %rbp, 0xA0+\base
    movq    %rsi, 0xA8+\base
    movq    %rdi, 0xB0+\base
    movq    %r8,  0xB8+\base
    movq    %r9,  0xC0+\base
    movq    %r10, 0xC8+\base
    movq    %r11, 0xD0+\base
    movq    %r12, 0xD8+\base
    movq    %r13, 0xE0+\base
    movq    %r14, 0xE8+\base
    movq    %r15, 0xF0+\base
    movw    %cs,  0x38+\base
    movw    %ds,  0x3A+\base
    movw    %es,  0x3C+\base
    movw    %fs,  0x3E+\base
    movw    %gs,  0x40+\base
    movw    %ss,  0x42+\base
    stmxcsr 0x34+\base
    fxsave  0x100+\base
    movl    $0x10000F, 0x30+\base       # CONTEXT_FULL | CONTEXT_SEGMENTS
.endm

# VOID RtlCaptureContext(PCONTEXT): every register as the caller has it, RIP = the return address, RSP = its value after
# the return.
    .globl  RtlCaptureContext
    .def    RtlCaptureContext; .scl 2; .type 32; .endef
    .p2align 4
RtlCaptureContext:
.seh_proc RtlCaptureContext
    pushfq
    .seh_stackalloc 8
    .seh_endprologue
    STORE_REGISTERS 0(%rcx)
    movq    8(%rsp), %rax
    movq    %rax, 0xF8(%rcx)
    leaq    0x10(%rsp), %rax
    movq    %rax, 0x98(%rcx)
    movl    (%rsp), %eax
    movl    %eax, 0x44(%rcx)
    addq    $8, %rsp
    ret
    .seh_endproc

# VOID RtlRaiseException(PEXCEPTION_RECORD): capture the caller, point the record at the return address, tell the
# system.
# Frame: 0x20 home space, CONTEXT at 0x20, the caller's EFLAGS at 0x4F0.
    .globl  RtlRaiseException
    .def    RtlRaiseException; .scl 2; .type 32; .endef
    .p2align 4
RtlRaiseException:
.seh_proc RtlRaiseException
    pushfq
    .seh_stackalloc 8
    subq    $0x4F0, %rsp
    .seh_stackalloc 0x4F0
    .seh_endprologue
    STORE_REGISTERS 0x20(%rsp)
    movl    0x4F0(%rsp), %eax
    movl    %eax, 0x20+0x44(%rsp)
    leaq    0x500(%rsp), %rax
    movq    %rax, 0x20+0x98(%rsp)
    movq    0x4F8(%rsp), %rdx           # the return address
    movq    %rdx, 0x20+0xF8(%rsp)
    movq    %rdx, 0x10(%rcx)            # EXCEPTION_RECORD.ExceptionAddress
    movq    %rcx, %r8
    xorl    %eax, %eax                  # what was not captured holds no old stack: homes, debug registers, vector state
    leaq    0x20(%rsp), %rdi
    movl    $(0x30/8), %ecx
    rep stosq
    leaq    0x20+0x48(%rsp), %rdi
    movl    $(0x30/8), %ecx
    rep stosq
    leaq    0x20+0x100+464(%rsp), %rdi  # FXSAVE writes 464 of its 512 bytes
    movl    $((0x4D0-0x100-464)/8), %ecx
    rep stosq
    movq    %r8, %rcx
    leaq    0x20(%rsp), %rdx
    movl    $1, %r8d
    call    NtRaiseException
    movl    %eax, %ecx                  # nobody took it: the process ends with the status of the service
    call    RtlExitUserProcess
    int3
    .seh_endproc

# VOID DbgBreakPoint(VOID), VOID DbgUserBreakPoint(VOID): the exception address is the INT3.
    .globl  DbgBreakPoint
    .def    DbgBreakPoint; .scl 2; .type 32; .endef
    .p2align 4
DbgBreakPoint:
    int3
    ret
    .globl  DbgUserBreakPoint
    .def    DbgUserBreakPoint; .scl 2; .type 32; .endef
    .p2align 4
DbgUserBreakPoint:
    int3
    ret
