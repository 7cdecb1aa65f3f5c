# ntdll: where the system hands an exception to the process, and calls that no compiler can make.
    .text

# Where the nonvolatile registers are in a CONTEXT at BASE(%rsp): winnt.h, amd64.
.macro  SEH_CONTEXT base
    .seh_savereg %rbx, \base+0x90
    .seh_savereg %rbp, \base+0xA0
    .seh_savereg %rsi, \base+0xA8
    .seh_savereg %rdi, \base+0xB0
    .seh_savereg %r12, \base+0xD8
    .seh_savereg %r13, \base+0xE0
    .seh_savereg %r14, \base+0xE8
    .seh_savereg %r15, \base+0xF0
    .seh_savexmm %xmm6, \base+0x200
    .seh_savexmm %xmm7, \base+0x210
    .seh_savexmm %xmm8, \base+0x220
    .seh_savexmm %xmm9, \base+0x230
    .seh_savexmm %xmm10, \base+0x240
    .seh_savexmm %xmm11, \base+0x250
    .seh_savexmm %xmm12, \base+0x260
    .seh_savexmm %xmm13, \base+0x270
    .seh_savexmm %xmm14, \base+0x280
    .seh_savexmm %xmm15, \base+0x290
    .seh_endprologue
.endm

# The system comes here with RSP at the exception frame (emu/process/exception_frame.py): CONTEXT at 0, EXCEPTION_RECORD
# at 0x4F0, machine frame at 0x590. The first 0x20 bytes of a CONTEXT are home space for this function's calls.
    .globl  KiUserExceptionDispatcher
    .def    KiUserExceptionDispatcher; .scl 2; .type 32; .endef
    .p2align 4
KiUserExceptionDispatcher:
.seh_proc KiUserExceptionDispatcher
    .seh_pushframe
    .seh_stackalloc 0x590
    SEH_CONTEXT 0
    cld
    leaq    0x4F0(%rsp), %rcx
    movq    %rsp, %rdx
    callq   RtlDispatchException
    testb   %al, %al
    jz      1f
    movq    %rsp, %rcx
    xorl    %edx, %edx
    callq   RtlRestoreContext
    jmp     2f
1:  leaq    0x4F0(%rsp), %rcx
    movq    %rsp, %rdx
    xorl    %r8d, %r8d                  # the second chance
    callq   NtRaiseException
    movl    %eax, %ecx
2:  callq   RtlRaiseStatus
    int3
    .seh_endproc

# ULONG64 consolidate_frames(PEXCEPTION_RECORD record, PCONTEXT context): call the function ExceptionInformation[0] of
# the record with the record, as if the frame of `context` called it. Returns its answer.
# Frame: home space, a copy of the context at 0x20, a machine frame at 0x4F0, the return address at 0x518.
    .globl  consolidate_frames
    .def    consolidate_frames; .scl 2; .type 32; .endef
    .p2align 4
consolidate_frames:
    subq    $0x518, %rsp
    movq    %rsi, %r10
    movq    %rdi, %r11
    movq    %rcx, %r8
    movq    %rdx, %rsi
    leaq    0x20(%rsp), %rdi
    movl    $(0x4D0/8), %ecx
    cld
    rep movsq
    movq    %r10, 0x20(%rsp)            # P1Home and P2Home keep what is to be restored
    movq    %r11, 0x28(%rsp)
    movq    0xF8(%rdx), %rax            # Rip
    movq    %rax, 0x4F0(%rsp)
    movq    0x98(%rdx), %rax            # Rsp
    movq    %rax, 0x508(%rsp)
    movq    %r8, %rcx
    movq    0x20(%rcx), %rax            # EXCEPTION_RECORD.ExceptionInformation[0]
    .def    consolidated_call; .scl 3; .type 32; .endef
consolidated_call:
.seh_proc consolidated_call
    .seh_pushframe
    .seh_stackalloc 0x4F0
    SEH_CONTEXT 0x20
    callq   *%rax
    nop
    movq    0x20(%rsp), %rsi
    movq    0x28(%rsp), %rdi
    addq    $0x518, %rsp
    retq
    .seh_endproc

# NTSTATUS call_thread_start(PTHREAD_START_ROUTINE start, PVOID parameter): returns what `start` returns. An exception that
# nobody handles goes to the unhandled exception filter; if it wants the handler, the process ends with its code.
    .globl  call_thread_start
    .globl  thread_start_ended
    .def    call_thread_start; .scl 2; .type 32; .endef
    .p2align 4
call_thread_start:
.seh_proc call_thread_start
    .seh_handler thread_start_handler, @except
    subq    $0x28, %rsp
    .seh_stackalloc 0x28
    .seh_endprologue
    movq    %rcx, %rax
    movq    %rdx, %rcx
    callq   *%rax
    nop
    addq    $0x28, %rsp
    retq
thread_start_ended:
    movl    %eax, %edx                  # RtlUnwindEx gives the exception's code
    movq    $-1, %rcx
    callq   NtTerminateProcess
    int3
    .seh_endproc
