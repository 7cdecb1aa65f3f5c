/* longjmp: to where setjmp was called. With a frame, what lies between is unwound, so that __finally blocks run. */
#include "ucrt.h"

__attribute__((noreturn)) void restore_jump(void *buffer, int value);

__attribute__((noreturn)) void longjmp(void *buffer, int value)
{
    restore_jump(buffer, value != 0 ? value : 1);
}
