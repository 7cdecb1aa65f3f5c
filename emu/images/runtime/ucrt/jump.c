/* longjmp: to where setjmp was called. With a frame, what lies between is unwound, so that __finally blocks run. */
#include "ucrt.h"

__attribute__((noreturn)) void restore_jump(void *buffer, int value);

/* setjmp.h _JUMP_BUFFER, as far as it is read here */
typedef struct jump_head {
    unsigned long long frame, rbx, rsp, rbp, rsi, rdi, r12, r13, r14, r15, rip;
} jump_head;

__attribute__((noreturn)) void longjmp(jump_head *buffer, int value)
{
    if (value == 0)
        value = 1;
    if (buffer->frame != 0) {
        EXCEPTION_RECORD record = {.ExceptionCode = (DWORD)STATUS_LONGJUMP, .NumberParameters = 1};
        record.ExceptionInformation[0] = (ULONG_PTR)buffer;
        RtlUnwind((PVOID)buffer->frame, (PVOID)buffer->rip, &record, (PVOID)(ULONG_PTR)(unsigned)value);
    }
    restore_jump(buffer, value);
}
