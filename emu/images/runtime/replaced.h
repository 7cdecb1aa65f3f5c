/* Functions of the shared sources that this system's own files define anew. Each shared source is compiled with this
 * header first, so its definition is weak and the other one is linked. */
#pragma once
/* ntdll_function_table.c */
#pragma weak RtlLookupFunctionEntry
/* kernel32_exception.c */
#pragma weak AddVectoredExceptionHandler
#pragma weak RemoveVectoredExceptionHandler
#pragma weak SetUnhandledExceptionFilter
