/* What ntdll's own files share and nobody else sees. */
#pragma once
#include "ntapi.h"

typedef BOOL(WINAPI *PDLL_ENTRY)(PVOID base, DWORD reason, PVOID reserved);

void initialize_process_heaps(PPEB peb);
NTSTATUS call_init_routines(void);
PRUNTIME_FUNCTION lookup_dynamic_function(DWORD64 address, PDWORD64 base);
