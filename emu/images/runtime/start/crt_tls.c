/* The TLS directory of a program that has thread-local data or TLS callbacks (PE format, "The .tls section"). */
#include <windows.h>

ULONG _tls_index = 0;
__attribute__((section(".tls"))) char _tls_start = 0;
__attribute__((section(".tls$ZZZ"))) char _tls_end = 0;
__attribute__((section(".CRT$XLA"))) PIMAGE_TLS_CALLBACK __xl_a = NULL;
__attribute__((section(".CRT$XLZ"))) PIMAGE_TLS_CALLBACK __xl_z = NULL;

const IMAGE_TLS_DIRECTORY64 _tls_used = {(ULONGLONG)&_tls_start,    (ULONGLONG)&_tls_end, (ULONGLONG)&_tls_index,
                                         (ULONGLONG)(&__xl_a + 1), 0,                    {0}};
