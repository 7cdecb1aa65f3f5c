/* The program of the user processes in kernel mode: no DLL, system calls of its own. */
#define WIN32_NO_STATUS
#include <windows.h>
#undef WIN32_NO_STATUS
#include <ntstatus.h>
#include <winternl.h>

#include "ntos_boot.h"
#include "crashdrv_ioctl.h"

NTSTATUS NtDelay(BOOLEAN Alertable, const LARGE_INTEGER *Interval);
NTSTATUS NtOpen(HANDLE *File, ACCESS_MASK Access, OBJECT_ATTRIBUTES *Attributes);
NTSTATUS NtControl(
    HANDLE File, HANDLE Event, PVOID ApcRoutine, PVOID ApcContext, IO_STATUS_BLOCK *Status, ULONG Code, PVOID In,
    ULONG InLength, PVOID Out, ULONG OutLength);
NTSTATUS NtExit(HANDLE Process, NTSTATUS Status);
NTSTATUS NtDisplay(UNICODE_STRING *Text);
void AppCrash(void *Address);

static ULONG Visits = 1; /* data of the program, written by its thread */
static WCHAR DeviceName[] = L"\\Device\\Crash", Greeting[] = L"app: running\n";

static UNICODE_STRING string(WCHAR *text, USHORT size)
{
    UNICODE_STRING made = { (USHORT)(size - sizeof(WCHAR)), size, text };
    return made;
}

static void call_driver(void)
{
    UNICODE_STRING name = string(DeviceName, sizeof DeviceName);
    OBJECT_ATTRIBUTES attributes = { .Length = sizeof attributes, .ObjectName = &name };
    IO_STATUS_BLOCK status;
    HANDLE file = NULL;
    if (NtOpen(&file, 0, &attributes) < 0)
        NtExit((HANDLE)-1, STATUS_UNSUCCESSFUL);
    NtControl(file, NULL, NULL, NULL, &status, IOCTL_CRASH, &Visits, sizeof Visits, &Visits, sizeof Visits);
}

void AppMain(PROGRAM what)
{
    UNICODE_STRING greeting = string(Greeting, sizeof Greeting);
    LARGE_INTEGER moment = { .QuadPart = -1000000 }; /* 100 ms: the system has started by then */
    NtDisplay(&greeting);
    Visits++;
    NtDelay(FALSE, &moment);
    if (what == PROGRAM_CALL_DRIVER)
        call_driver();
    if (what == PROGRAM_CRASH)
        AppCrash((void *)0x18);
    if (what == PROGRAM_EXIT)
        NtExit((HANDLE)-1, STATUS_SUCCESS);
    for (;;) {
        Visits++;
        NtDelay(FALSE, &moment);
    }
}
