# The two calls of a language handler. A frame of them on the stack tells the dispatcher, and RtlUnwindEx, that a handler
# was running when another exception came. DISPATCHER_CONTEXT (winnt.h, amd64): EstablisherFrame 0x18, TargetIp 0x20,
# LanguageHandler 0x30, size 0x50. EXCEPTION_RECORD: ExceptionFlags 4.
    .text

.macro  CALL_LANGUAGE_HANDLER
    subq    $0x28, %rsp
    .seh_stackalloc 0x28
    .seh_endprologue
    movq    %r9, 0x20(%rsp)             # the dispatcher context, for the handlers below
    callq   *0x30(%r9)
    nop
    addq    $0x28, %rsp
    retq
.endm

# EXCEPTION_DISPOSITION execute_handler_for_exception(record, frame, context, dispatcher)
    .globl  execute_handler_for_exception
    .def    execute_handler_for_exception; .scl 2; .type 32; .endef
    .p2align 4
execute_handler_for_exception:
.seh_proc execute_handler_for_exception
    .seh_handler nested_exception, @unwind, @except
    CALL_LANGUAGE_HANDLER
    .seh_endproc

# EXCEPTION_DISPOSITION execute_handler_for_unwind(record, frame, context, dispatcher)
    .globl  execute_handler_for_unwind
    .def    execute_handler_for_unwind; .scl 2; .type 32; .endef
    .p2align 4
execute_handler_for_unwind:
.seh_proc execute_handler_for_unwind
    .seh_handler collided_unwind, @unwind, @except
    CALL_LANGUAGE_HANDLER
    .seh_endproc

# While a handler of an exception runs: a further exception is nested, and it is told by which frame. An unwind passes.
    .def    nested_exception; .scl 3; .type 32; .endef
    .p2align 4
nested_exception:
    movl    $1, %eax                    # ExceptionContinueSearch
    testb   $6, 4(%rcx)                 # EXCEPTION_UNWINDING | EXCEPTION_EXIT_UNWIND
    jnz     1f
    movq    0x20(%rdx), %rax            # the interrupted dispatcher context
    movq    0x18(%rax), %rax
    movq    %rax, 0x18(%r9)
    movl    $2, %eax                    # ExceptionNestedException
1:  retq

# While a handler of an unwind runs: the new one takes over from it. All but TargetIp is copied.
    .def    collided_unwind; .scl 3; .type 32; .endef
    .p2align 4
collided_unwind:
    movq    0x20(%rdx), %rax            # the interrupted dispatcher context
.irp field, 0x00, 0x08, 0x10, 0x18, 0x28, 0x30, 0x38, 0x40, 0x48
    movq    \field(%rax), %r10
    movq    %r10, \field(%r9)
.endr
    movl    $3, %eax                    # ExceptionCollidedUnwind
    retq
