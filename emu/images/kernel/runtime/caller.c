/* The program of the user processes on a machine that runs a user's driver. One of its threads is that driver's client:
   for each symbolic link that drivers have made in \DosDevices it opens the device, writes and reads BUFFER bytes, sends
   the control codes that the driver knows, and closes it. */
#define WIN32_NO_STATUS
#include <windows.h>
#include <ntstatus.h>
#include <winternl.h>

#include "ntos_boot.h"

#define BUFFER 256
#define NO_MORE_ENTRIES ((NTSTATUS)0x8000001A) /* STATUS_NO_MORE_ENTRIES */

NTSTATUS CallDelay(BOOLEAN Alertable, const LARGE_INTEGER *Interval);
NTSTATUS CallOpen(HANDLE *File, ACCESS_MASK Access, OBJECT_ATTRIBUTES *Attributes);
NTSTATUS CallControl(
    HANDLE File, HANDLE Event, PVOID ApcRoutine, PVOID ApcContext, IO_STATUS_BLOCK *Status, ULONG Code, PVOID In,
    ULONG InLength, PVOID Out, ULONG OutLength);
NTSTATUS CallRead(
    HANDLE File, HANDLE Event, PVOID ApcRoutine, PVOID ApcContext, IO_STATUS_BLOCK *Status, PVOID Buffer, ULONG Length,
    LARGE_INTEGER *Offset, ULONG *Key);
NTSTATUS CallWrite(
    HANDLE File, HANDLE Event, PVOID ApcRoutine, PVOID ApcContext, IO_STATUS_BLOCK *Status, PVOID Buffer, ULONG Length,
    LARGE_INTEGER *Offset, ULONG *Key);
NTSTATUS CallClose(HANDLE File);
NTSTATUS CallNameDevice(ULONG Number, UNICODE_STRING *Name);
ULONG CallControlCode(ULONG Number);
NTSTATUS CallDone(void);

static UCHAR Input[BUFFER], Output[BUFFER];
static ULONG Visits = 1; /* data of the program, written by its threads */

static void call(UNICODE_STRING *name)
{
    OBJECT_ATTRIBUTES attributes = { .Length = sizeof attributes, .ObjectName = name };
    IO_STATUS_BLOCK status;
    HANDLE file = NULL;
    ULONG code;
    if (CallOpen(&file, GENERIC_READ | GENERIC_WRITE, &attributes) < 0)
        return;
    CallWrite(file, NULL, NULL, NULL, &status, Input, BUFFER, NULL, NULL);
    CallRead(file, NULL, NULL, NULL, &status, Output, BUFFER, NULL, NULL);
    for (ULONG number = 0; (code = CallControlCode(number)) != 0; number++)
        CallControl(file, NULL, NULL, NULL, &status, code, Input, BUFFER, Output, BUFFER);
    CallClose(file);
}

void AppMain(PROGRAM what)
{
    WCHAR text[128];
    UNICODE_STRING name = { 0, sizeof text, text };
    LARGE_INTEGER moment = { .QuadPart = -1000000 }; /* 100 ms: the system has started by then */
    Visits++;
    CallDelay(FALSE, &moment);
    if (what == PROGRAM_CALL_DRIVER) {
        for (ULONG i = 0; i < BUFFER; i++)
            Input[i] = (UCHAR)('A' + i % 26);
        for (ULONG number = 0; ; number++) {
            NTSTATUS status = CallNameDevice(number, &name);
            if (status == NO_MORE_ENTRIES)
                break;
            if (status >= 0)
                call(&name);
        }
        CallDone();
    }
    for (;;) {
        Visits++;
        CallDelay(FALSE, &moment);
    }
}
