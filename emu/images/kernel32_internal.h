/* What kernel32's own files share. _KERNEL32_ makes windows.h declare its functions as defined here, not as imported.
 */
#pragma once
#define _KERNEL32_
#include "ntapi.h"

/* Set the last error from a status; TRUE when the status is a success. */
BOOL succeeded(NTSTATUS status);
/* A native interval for a wait: NULL for INFINITE. */
PLARGE_INTEGER wait_interval(DWORD milliseconds, PLARGE_INTEGER interval);
/* The UNICODE form of an ANSI string (NULL stays NULL); FALSE and a last error when there is no memory. Freed by
 * RtlFreeUnicodeString. */
BOOL widen(LPCSTR text, PUNICODE_STRING wide);
