/* alpha.dll: what crash.exe imports. */
#pragma once
#include <windows.h>

#ifdef ALPHA_DLL
#define ALPHA_API
#else
#define ALPHA_API __declspec(dllimport)
#endif

/* Called once per step by alpha_walk; a result other than 0 ends the walk. */
typedef int(WINAPI *ALPHA_CALLBACK)(unsigned step, void *context);

/* Call back for `steps` steps (0: without end) from a frame of alpha's. */
ALPHA_API unsigned WINAPI alpha_walk(unsigned steps, ALPHA_CALLBACK callback, void *context);
/* Write `value` to record + 0x20 at the export alpha_write_site, two calls deep in alpha. */
ALPHA_API void WINAPI alpha_store(void *record, unsigned value);
/* How many DLL_PROCESS_ATTACH, DLL_THREAD_ATTACH, DLL_THREAD_DETACH and DLL_PROCESS_DETACH the DLL was told. */
ALPHA_API extern volatile LONG alpha_notifications[4];
