/* The instructions that bring the system down, each at an export of crashdrv.sys (crashdrv_sites.s). */
#pragma once

#include "ntos_ddk.h"
#include "ntos_boot.h"
#include "crashdrv_ioctl.h"

ULONG CrashRead(const VOID *Address);      /* CrashReadSite: reads 4 bytes at Address */
VOID CrashWrite(VOID *Address);            /* CrashWriteSite: writes 4 bytes at Address */
VOID CrashIllegal(VOID);                   /* CrashIllegalSite */
VOID CrashBreakpoint(VOID);                /* CrashBreakpointSite */
ULONG CrashDivide(ULONG Value, ULONG By);  /* CrashDivideSite */
VOID CrashCall(VOID *Target);              /* faults at Target itself */
VOID CrashStack(VOID *Stack);              /* CrashStackSite: pushes with RSP = Stack */
VOID CrashOverflow(VOID);                  /* CrashOverflowSite: the call of an endless recursion */
VOID CrashBugCheck(ULONG Code, const ULONG64 *Parameters); /* returns to CrashBugCheckSite */

VOID CrashFinish(VOID);                    /* HYPERCALL_FINISHED */

/* What the KbCallbackSecondaryDumpData callback adds. */
#define CRASH_BLOB_GUID { 0x6B1D3A52, 0x2C9E, 0x4F07, { 0x9A, 0x41, 0x0C, 0x8E, 0x5D, 0x77, 0x1B, 0xE3 } }
#define CRASH_BLOB_SIZE 0x55 /* odd: byte i is i ^ 0xA5 */
