/* What the kernel for a user's drivers has beyond that of the scenarios. The sources of both are compiled together;
   where this folder defines a routine anew, build.py leaves out the other one. */
#pragma once

#include "ntos.h"
#include <bugcodes.h>

/* bugcodes.h, where the headers are older. */
#define DRIVER_VERIFIER_DETECTED_VIOLATION 0xC4
#define TIMER_OR_DPC_INVALID 0xC7
#define SYSTEM_PTE_MISUSE 0xDA


/* Routines that the headers define inline are exports here too, for drivers that other compilers made. */
#undef ExAllocatePool
#undef ExFreePool
#undef ExGetPreviousMode
#undef ExInterlockedAddLargeInteger
#undef ExInterlockedAddUlong
#undef ExInterlockedPopEntryList
#undef ExInterlockedPushEntryList
#undef ExQueryDepthSList
#undef ExRaiseStatus
#undef IoCallDriver
#undef IoCompleteRequest
#undef KeAcquireSpinLock
#undef KeAcquireSpinLockAtDpcLevel
#undef KeEnterCriticalRegion
#undef KeEnterGuardedRegion
#undef KeGetCurrentThread
#undef KeInitializeSpinLock
#undef KeLeaveCriticalRegion
#undef KeLeaveGuardedRegion
#undef KeQueryInterruptTime
#undef KeQuerySystemTime
#undef KeQueryTickCount
#undef KeReleaseSpinLockFromDpcLevel
#undef KeWaitForMutexObject
#undef MmSizeOfMdl
#undef ObDereferenceObject
#undef ObReferenceObject
#undef ProbeForRead
#undef PsGetCurrentThread
#undef RtlCopyMemory
#undef RtlFillMemory
#undef RtlMoveMemory
#undef RtlZeroMemory
#define RtlCopyMemory(to, from, size) memcpy((to), (from), (size))
#define RtlMoveMemory(to, from, size) memmove((to), (from), (size))
#define RtlFillMemory(to, size, value) memset((to), (value), (size))
#define RtlZeroMemory(to, size) memset((to), 0, (size))

VOID KeAcquireSpinLock(PKSPIN_LOCK Lock, PKIRQL OldIrql);

/* --- threads -------------------------------------------------------------------------------------------------------*/

enum { MutantObject = 2, QueueObject = 4, SemaphoreObject = 5, TimerNotificationObject = 8, TimerSynchronizationObject = 9 };

/* What the scheduler keeps of a thread beyond KTHREAD; in its padding, so that the layout stays Windows'. */
typedef struct _KI_THREAD_STATE {
    ULONG WaitCount;
    WAIT_TYPE WaitType;
    LONG KernelApcDisable, SpecialApcDisable; /* critical and guarded regions */
    LONG Priority;
    ULONG WaitIndex; /* what ended the wait */
    LIST_ENTRY MutantListHead;
    PVOID *WaitObjects; /* on the stack of the thread, while it waits */
} KI_THREAD_STATE;

_Static_assert(sizeof(KI_THREAD_STATE) <= sizeof ((KTHREAD *)0)->Padding6, "it lies in KTHREAD.Padding6");

static inline KI_THREAD_STATE *KiThreadState(KTHREAD *Thread) { return (KI_THREAD_STATE *)Thread->Padding6; }

extern LIST_ENTRY KiTimerListHead;             /* KTIMER.TimerListEntry of the timers that are set */

ULONG64 KiInterruptTime(void);
ULONG64 KiDueTime(const LARGE_INTEGER *Interval); /* interrupt time of a relative or absolute time */
BOOLEAN KiIsUserThread(void);
VOID KiSignalLocked(DISPATCHER_HEADER *Object, LONG Increment); /* the dispatcher lock is held */
VOID KiExpireTimersLocked(void);
VOID KiRetireDpcs(void); /* at DISPATCH_LEVEL */
BOOLEAN KiDpcsArePending(void);
VOID KiAbandonMutants(KTHREAD *Thread);
VOID KeCheckForTimer(PVOID Start, SIZE_T Size); /* a bug check if a timer or DPC lies there */
VOID ExpCheckForResource(PVOID Start, SIZE_T Size);

static inline KIRQL KiLockDispatcher(void)
{
    KIRQL irql = KfRaiseIrql(max(DISPATCH_LEVEL, KeGetCurrentIrql()));
    KiAcquireLock(&KiDispatcherLock);
    return irql;
}

static inline void KiUnlockDispatcher(KIRQL Irql)
{
    KiReleaseLock(&KiDispatcherLock);
    KeLowerIrql(Irql);
}

/* Driver Verifier's bug check; the kinds are those of its reference page. */
DECLSPEC_NORETURN static inline VOID VfViolation(ULONG_PTR Kind, ULONG_PTR P2, ULONG_PTR P3, ULONG_PTR P4)
{
    KeBugCheckEx(DRIVER_VERIFIER_DETECTED_VIOLATION, Kind, P2, P3, P4);
    __builtin_unreachable();
}

/* --- exceptions ----------------------------------------------------------------------------------------------------*/

/* winnt.h, for amd64. */
typedef struct _RUNTIME_FUNCTION {
    ULONG BeginAddress, EndAddress, UnwindData;
} RUNTIME_FUNCTION, *PRUNTIME_FUNCTION;
typedef struct _UNWIND_HISTORY_TABLE {
    ULONG Count;
    UCHAR Search;
} UNWIND_HISTORY_TABLE, *PUNWIND_HISTORY_TABLE; /* only its head: nothing is remembered */
typedef struct _DISPATCHER_CONTEXT {
    ULONG64 ControlPc, ImageBase;
    PRUNTIME_FUNCTION FunctionEntry;
    ULONG64 EstablisherFrame, TargetIp;
    CONTEXT *ContextRecord;
    PEXCEPTION_ROUTINE LanguageHandler;
    PVOID HandlerData;
    PUNWIND_HISTORY_TABLE HistoryTable;
    ULONG ScopeIndex, Fill0;
} DISPATCHER_CONTEXT, *PDISPATCHER_CONTEXT;
typedef struct _SCOPE_TABLE_AMD64 {
    ULONG Count;
    struct {
        ULONG BeginAddress, EndAddress, HandlerAddress, JumpTarget;
    } ScopeRecord[1];
} SCOPE_TABLE_AMD64;
#define UNWIND_HISTORY_TABLE_NONE 0
typedef struct _KNONVOLATILE_CONTEXT_POINTERS {
    PM128A FloatingContext[16];
    PULONG64 IntegerContext[16];
} KNONVOLATILE_CONTEXT_POINTERS, *PKNONVOLATILE_CONTEXT_POINTERS;
#define EXCEPTION_UNWINDING 2
#define EXCEPTION_EXIT_UNWIND 4
#define EXCEPTION_STACK_INVALID 8
#define EXCEPTION_NESTED_CALL 0x10
#define EXCEPTION_TARGET_UNWIND 0x20
#define EXCEPTION_COLLIDED_UNWIND 0x40
DECLSPEC_NORETURN VOID RtlRaiseStatus(NTSTATUS Status);

BOOLEAN RtlDispatchException(EXCEPTION_RECORD *Record, CONTEXT *Context);
DECLSPEC_NORETURN VOID RtlpRestoreContext(const CONTEXT *Context);
VOID KiContextToFrames(const CONTEXT *Context, KTRAP_FRAME *Frame, KEXCEPTION_FRAME *Exception);
DECLSPEC_NORETURN VOID KiUnhandledException(EXCEPTION_RECORD *Record, CONTEXT *Context);
KLDR_DATA_TABLE_ENTRY *PsImageOf(ULONG64 Address); /* the loaded image there; NULL: none */

/* --- memory --------------------------------------------------------------------------------------------------------*/

VOID MiTrimPagedPool(void); /* as Driver Verifier does when the IRQL rises: its pages are not resident */
BOOLEAN MiRestorePagedPage(PVOID Address);
PVOID MiMapPages(const ULONG64 *Frames, SIZE_T Count, BOOLEAN Cached, BOOLEAN Write); /* NULL: no room */
VOID MiUnmapPages(PVOID Address, SIZE_T Count);
BOOLEAN MiIsRam(ULONG64 Frame);
ULONG ExpOutstanding(ULONG Owner); /* pool allocations of a driver that are not freed */
ULONG PsDriverNumber(ULONG64 Address); /* of the driver whose code is there, from 1; 0: the kernel's */

/* --- objects -------------------------------------------------------------------------------------------------------*/

typedef struct _OBJECT_TYPE {
    UNICODE_STRING Name;
    VOID (*Delete)(PVOID Object); /* no reference is left */
    VOID (*Close)(PVOID Object);  /* its last handle is closed */
} OBJECT_TYPE;

PVOID ObpCreate(OBJECT_TYPE *Type, SIZE_T Size); /* zeroed, one reference; NULL: no memory */
NTSTATUS ObpInsertName(PVOID Object, PCUNICODE_STRING Name);
VOID ObpRemoveName(PVOID Object);
/* The object with that name, or the one whose name the path begins with: then `Rest` is what follows, in pool memory.
   Links are followed. No reference is taken. */
PVOID ObpLookup(PCUNICODE_STRING Name, UNICODE_STRING *Rest);
PVOID ObpFind(PCUNICODE_STRING Name); /* the same, without a rest */
OBJECT_TYPE *ObpTypeOf(PVOID Object); /* NULL: not one of these */
PCUNICODE_STRING ObpNameOf(PVOID Object);
NTSTATUS ObpCreateHandle(PVOID Object, KPROCESSOR_MODE Mode, HANDLE *Handle); /* takes a reference */
PVOID ObpFromHandle(HANDLE Handle, KPROCESSOR_MODE Mode);
NTSTATUS ObpCloseHandle(HANDLE Handle, KPROCESSOR_MODE Mode);
NTSTATUS ObpCaptureName(const OBJECT_ATTRIBUTES *Attributes, UNICODE_STRING *Full); /* pool memory, RootDirectory first */
PVOID ObpFindLink(PCUNICODE_STRING Name); /* the symbolic link with that very name */
UNICODE_STRING *ObpLinkByNumber(ULONG Number, PCUNICODE_STRING *Name);
BOOLEAN ObpIsHandleOf(HANDLE Handle, OBJECT_TYPE *Type);

extern OBJECT_TYPE ObpDeviceType, ObpFileType, ObpKeyType, ObpSymbolicLinkType, ObpEventType, ObpDirectoryType,
    ObpDriverType, ObpThreadType, ObpProcessType, ObpCallbackType, ObpSectionType;

/* --- input and output ----------------------------------------------------------------------------------------------*/

VOID IopInitialize(void);
NTSTATUS IopInvalidRequest(PDEVICE_OBJECT Device, PIRP Irp);
NTSTATUS IopOpen(
    PCUNICODE_STRING Name, ACCESS_MASK Access, ULONG Share, ULONG Disposition, ULONG Options, KPROCESSOR_MODE Mode,
    PFILE_OBJECT *File, ULONG_PTR *Information);
VOID IopFinishRequest(PIRP Irp); /* gives the results to who asked, and frees it */
NTSTATUS IopCallAndWait(PDEVICE_OBJECT Device, PIRP Irp);
/* One request to the device of an open file, and its end. */
NTSTATUS IopRequest(
    PFILE_OBJECT File, ULONG Major, ULONG Code, PVOID In, ULONG InLength, PVOID Out, ULONG OutLength,
    const LARGE_INTEGER *Offset, KPROCESSOR_MODE Mode, IO_STATUS_BLOCK *Status);
NTSTATUS FsCreateFile(PCUNICODE_STRING Path, ULONG Disposition, ULONG Options, PFILE_OBJECT File, ULONG_PTR *Information);
extern PDEVICE_OBJECT FsVolumeDevice;
VOID FsInitialize(void);
VOID CmInitialize(void);
VOID CmAddService(PCUNICODE_STRING Name, PCUNICODE_STRING Image); /* the key of a driver */
PCUNICODE_STRING CmPathOf(PVOID Key);
VOID ExInitializeWorkers(void);
BOOLEAN IopDriversAreIdle(void); /* the machine's task is done: drivers were started, called and unloaded */

/* --- runtime -------------------------------------------------------------------------------------------------------*/

typedef struct _RTL_OUTPUT {
    PVOID Buffer;
    SIZE_T Size, Used; /* characters; Used counts those that found no room too */
    BOOLEAN Wide;
} RTL_OUTPUT;

int __cdecl _snwprintf(WCHAR *Buffer, size_t Size, const WCHAR *Format, ...);
int __cdecl strcmp(const char *a, const char *b);
size_t __cdecl strlen(const char *text);
size_t __cdecl wcslen(const WCHAR *text);

/* printf's formats, with those of the kernel: Z, wZ, ws, hs, I64, I32, p. Writes no terminating NUL. */
VOID RtlpPrint(RTL_OUTPUT *Out, const VOID * Format, BOOLEAN WideFormat, __builtin_ms_va_list Arguments);
