/* The native interface under kernel32, and the structures of the process that user code itself reads.

   <windows.h> and <winternl.h> declare what is documented there; this header adds the native functions and the full
   structures that winternl.h only sketches (public sources: the phnt headers, Microsoft's public symbols). Their
   offsets are asserted below. */
#pragma once

#include <windows.h>
#include <ntstatus.h>

/* winternl.h declares these five with "Reserved" members; its versions get other names, ours take the real ones. */
#define _PEB WINTERNL_PEB_TAG
#define PEB WINTERNL_PEB
#define PPEB WINTERNL_PPEB
#define _TEB WINTERNL_TEB_TAG
#define TEB WINTERNL_TEB
#define PTEB WINTERNL_PTEB
#define _PEB_LDR_DATA WINTERNL_PEB_LDR_DATA_TAG
#define PEB_LDR_DATA WINTERNL_PEB_LDR_DATA
#define PPEB_LDR_DATA WINTERNL_PPEB_LDR_DATA
#define _LDR_DATA_TABLE_ENTRY WINTERNL_LDR_DATA_TABLE_ENTRY_TAG
#define LDR_DATA_TABLE_ENTRY WINTERNL_LDR_DATA_TABLE_ENTRY
#define PLDR_DATA_TABLE_ENTRY WINTERNL_PLDR_DATA_TABLE_ENTRY
#define _RTL_USER_PROCESS_PARAMETERS WINTERNL_RTL_USER_PROCESS_PARAMETERS_TAG
#define RTL_USER_PROCESS_PARAMETERS WINTERNL_RTL_USER_PROCESS_PARAMETERS
#define PRTL_USER_PROCESS_PARAMETERS WINTERNL_PRTL_USER_PROCESS_PARAMETERS
#include <winternl.h>
#undef _PEB
#undef PEB
#undef PPEB
#undef _TEB
#undef TEB
#undef PTEB
#undef _PEB_LDR_DATA
#undef PEB_LDR_DATA
#undef PPEB_LDR_DATA
#undef _LDR_DATA_TABLE_ENTRY
#undef LDR_DATA_TABLE_ENTRY
#undef PLDR_DATA_TABLE_ENTRY
#undef _RTL_USER_PROCESS_PARAMETERS
#undef RTL_USER_PROCESS_PARAMETERS
#undef PRTL_USER_PROCESS_PARAMETERS

typedef struct _PEB_LDR_DATA {
    ULONG Length;
    BOOLEAN Initialized;
    HANDLE SsHandle;
    LIST_ENTRY InLoadOrderModuleList;
    LIST_ENTRY InMemoryOrderModuleList;
    LIST_ENTRY InInitializationOrderModuleList;
} PEB_LDR_DATA, *PPEB_LDR_DATA;

#define LDRP_DONT_CALL_FOR_THREADS 0x00040000
#define LDRP_PROCESS_ATTACH_CALLED 0x00080000

typedef struct _LDR_DATA_TABLE_ENTRY {
    LIST_ENTRY InLoadOrderLinks;
    LIST_ENTRY InMemoryOrderLinks;
    LIST_ENTRY InInitializationOrderLinks;
    PVOID DllBase;
    PVOID EntryPoint;
    ULONG SizeOfImage;
    UNICODE_STRING FullDllName;
    UNICODE_STRING BaseDllName;
    ULONG Flags;
    USHORT ObsoleteLoadCount;
    USHORT TlsIndex;
    LIST_ENTRY HashLinks;
    ULONG TimeDateStamp;
} LDR_DATA_TABLE_ENTRY, *PLDR_DATA_TABLE_ENTRY;

typedef struct _CURDIR {
    UNICODE_STRING DosPath;
    HANDLE Handle;
} CURDIR;

typedef struct _RTL_USER_PROCESS_PARAMETERS {
    ULONG MaximumLength;
    ULONG Length;
    ULONG Flags;
    ULONG DebugFlags;
    HANDLE ConsoleHandle;
    ULONG ConsoleFlags;
    HANDLE StandardInput;
    HANDLE StandardOutput;
    HANDLE StandardError;
    CURDIR CurrentDirectory;
    UNICODE_STRING DllPath;
    UNICODE_STRING ImagePathName;
    UNICODE_STRING CommandLine;
    PWSTR Environment;
} RTL_USER_PROCESS_PARAMETERS, *PRTL_USER_PROCESS_PARAMETERS;

typedef struct _PEB {
    BOOLEAN InheritedAddressSpace;
    BOOLEAN ReadImageFileExecOptions;
    BOOLEAN BeingDebugged;
    BOOLEAN BitField;
    HANDLE Mutant;
    PVOID ImageBaseAddress;
    PPEB_LDR_DATA Ldr;
    PRTL_USER_PROCESS_PARAMETERS ProcessParameters;
    PVOID SubSystemData;
    PVOID ProcessHeap;
    PRTL_CRITICAL_SECTION FastPebLock;
    PVOID AtlThunkSListPtr;
    PVOID IFEOKey;
    ULONG CrossProcessFlags;
    PVOID KernelCallbackTable;
    ULONG SystemReserved;
    ULONG AtlThunkSListPtr32;
    PVOID ApiSetMap;
    ULONG TlsExpansionCounter;
    PVOID TlsBitmap;
    LONG TlsBitmapBits[2];
    PVOID ReadOnlySharedMemoryBase;
    PVOID SharedData;
    PVOID *ReadOnlyStaticServerData;
    PVOID AnsiCodePageData;
    PVOID OemCodePageData;
    PVOID UnicodeCaseTableData;
    ULONG NumberOfProcessors;
    ULONG NtGlobalFlag;
    LARGE_INTEGER CriticalSectionTimeout;
    SIZE_T HeapSegmentReserve;
    SIZE_T HeapSegmentCommit;
    SIZE_T HeapDeCommitTotalFreeThreshold;
    SIZE_T HeapDeCommitFreeBlockThreshold;
    ULONG NumberOfHeaps;
    ULONG MaximumNumberOfHeaps;
    PVOID *ProcessHeaps;
    PVOID GdiSharedHandleTable;
    PVOID ProcessStarterHelper;
    ULONG GdiDCAttributeList;
    PRTL_CRITICAL_SECTION LoaderLock;
    ULONG OSMajorVersion;
    ULONG OSMinorVersion;
    USHORT OSBuildNumber;
    USHORT OSCSDVersion;
    ULONG OSPlatformId;
    ULONG ImageSubsystem;
    ULONG ImageSubsystemMajorVersion;
    ULONG ImageSubsystemMinorVersion;
    ULONG_PTR ActiveProcessAffinityMask;
    ULONG GdiHandleBuffer[60];
    PVOID PostProcessInitRoutine;
    PVOID TlsExpansionBitmap;
    ULONG TlsExpansionBitmapBits[32];
    ULONG SessionId;
} PEB, *PPEB;

typedef struct _TEB {
    NT_TIB NtTib;
    PVOID EnvironmentPointer;
    CLIENT_ID ClientId;
    PVOID ActiveRpcHandle;
    PVOID ThreadLocalStoragePointer;
    PPEB ProcessEnvironmentBlock;
    ULONG LastErrorValue;
    UCHAR Reserved[0x1480 - 0x6C];
    PVOID TlsSlots[TLS_MINIMUM_AVAILABLE];
} TEB, *PTEB;

typedef struct _THREAD_BASIC_INFORMATION {
    NTSTATUS ExitStatus;
    PTEB TebBaseAddress;
    CLIENT_ID ClientId;
    ULONG_PTR AffinityMask;
    LONG Priority;
    LONG BasePriority;
} THREAD_BASIC_INFORMATION;

/* Documented (learn.microsoft.com "DYNAMIC_FUNCTION_TABLE") as far as EntryCount; nodes of the system's own tree follow
 * in the builds since 18362 (docs/format/minidump-function-tables.md), which stay zero here. */
typedef enum { RF_SORTED, RF_UNSORTED, RF_CALLBACK } FUNCTION_TABLE_TYPE;

typedef struct _DYNAMIC_FUNCTION_TABLE {
    LIST_ENTRY ListEntry;
    PRUNTIME_FUNCTION FunctionTable;
    LARGE_INTEGER TimeStamp;
    ULONG64 MinimumAddress;
    ULONG64 MaximumAddress;
    ULONG64 BaseAddress;
    PVOID Callback;
    PVOID Context;
    PWSTR OutOfProcessCallbackDll;
    FUNCTION_TABLE_TYPE Type;
    ULONG EntryCount;
    PVOID TreeNodes[6];
} DYNAMIC_FUNCTION_TABLE, *PDYNAMIC_FUNCTION_TABLE;

#ifdef _WIN64
C_ASSERT(FIELD_OFFSET(DYNAMIC_FUNCTION_TABLE, EntryCount) == 0x54);
C_ASSERT(sizeof(DYNAMIC_FUNCTION_TABLE) == 136);
C_ASSERT(FIELD_OFFSET(PEB, ImageBaseAddress) == 0x10);
C_ASSERT(FIELD_OFFSET(PEB, ProcessHeap) == 0x30);
C_ASSERT(FIELD_OFFSET(PEB, TlsBitmapBits) == 0x80);
C_ASSERT(FIELD_OFFSET(PEB, NumberOfProcessors) == 0xB8);
C_ASSERT(FIELD_OFFSET(PEB, ProcessHeaps) == 0xF0);
C_ASSERT(FIELD_OFFSET(PEB, LoaderLock) == 0x110);
C_ASSERT(FIELD_OFFSET(PEB, OSMajorVersion) == 0x118);
C_ASSERT(FIELD_OFFSET(PEB, SessionId) == 0x2C0);
C_ASSERT(FIELD_OFFSET(TEB, ClientId) == 0x40);
C_ASSERT(FIELD_OFFSET(TEB, LastErrorValue) == 0x68);
C_ASSERT(FIELD_OFFSET(TEB, TlsSlots) == 0x1480);
C_ASSERT(FIELD_OFFSET(LDR_DATA_TABLE_ENTRY, BaseDllName) == 0x58);
C_ASSERT(FIELD_OFFSET(LDR_DATA_TABLE_ENTRY, Flags) == 0x68);
C_ASSERT(FIELD_OFFSET(RTL_USER_PROCESS_PARAMETERS, StandardInput) == 0x20);
C_ASSERT(FIELD_OFFSET(RTL_USER_PROCESS_PARAMETERS, CommandLine) == 0x70);
C_ASSERT(FIELD_OFFSET(RTL_USER_PROCESS_PARAMETERS, Environment) == 0x80);
C_ASSERT(sizeof(THREAD_BASIC_INFORMATION) == 0x30);
#endif

#define NtCurrentProcess() ((HANDLE)(LONG_PTR) - 1)
#define NtCurrentThread() ((HANDLE)(LONG_PTR) - 2)
#define NtCurrentPeb() (NtCurrentTeb()->ProcessEnvironmentBlock)

/* THREADINFOCLASS values that winternl.h's enumeration lacks or renames */
#define THREAD_BASIC_INFORMATION_CLASS ((THREADINFOCLASS)0)
#define THREAD_TIMES_CLASS ((THREADINFOCLASS)1)
#define THREAD_BASE_PRIORITY_CLASS ((THREADINFOCLASS)3)
#define THREAD_AFFINITY_MASK_CLASS ((THREADINFOCLASS)4)
#define THREAD_NAME_INFORMATION_CLASS ((THREADINFOCLASS)38)

#define MEMORY_BASIC_INFORMATION_CLASS 0
#define VIEW_UNMAP 2 /* SECTION_INHERIT: ViewUnmap */

/* --- system services (ntddk.h, phnt) */
NTSTATUS NTAPI NtAllocateVirtualMemory(HANDLE process, PVOID *base, ULONG_PTR zero_bits, PSIZE_T size, ULONG type,
                                       ULONG protect);
NTSTATUS NTAPI NtFreeVirtualMemory(HANDLE process, PVOID *base, PSIZE_T size, ULONG type);
NTSTATUS NTAPI NtProtectVirtualMemory(HANDLE process, PVOID *base, PSIZE_T size, ULONG protect, PULONG old);
NTSTATUS NTAPI NtQueryVirtualMemory(HANDLE process, PVOID base, ULONG information_class, PVOID buffer, SIZE_T length,
                                    PSIZE_T returned);
NTSTATUS NTAPI NtReadVirtualMemory(HANDLE process, PVOID base, PVOID buffer, SIZE_T size, PSIZE_T read);
NTSTATUS NTAPI NtWriteVirtualMemory(HANDLE process, PVOID base, PVOID buffer, SIZE_T size, PSIZE_T written);
NTSTATUS NTAPI NtCreateSection(PHANDLE section, ACCESS_MASK access, POBJECT_ATTRIBUTES attributes,
                               PLARGE_INTEGER maximum_size, ULONG protect, ULONG allocation, HANDLE file);
NTSTATUS NTAPI NtMapViewOfSection(HANDLE section, HANDLE process, PVOID *base, ULONG_PTR zero_bits, SIZE_T commit,
                                  PLARGE_INTEGER offset, PSIZE_T view_size, ULONG inherit, ULONG type, ULONG protect);
NTSTATUS NTAPI NtUnmapViewOfSection(HANDLE process, PVOID base);
NTSTATUS NTAPI NtCreateThreadEx(PHANDLE thread, ACCESS_MASK access, POBJECT_ATTRIBUTES attributes, HANDLE process,
                                PVOID start, PVOID argument, ULONG flags, SIZE_T zero_bits, SIZE_T stack_commit,
                                SIZE_T stack_reserve, PVOID list);
NTSTATUS NTAPI NtTerminateThread(HANDLE thread, NTSTATUS status);
NTSTATUS NTAPI NtTerminateProcess(HANDLE process, NTSTATUS status);
NTSTATUS NTAPI NtResumeThread(HANDLE thread, PULONG previous);
NTSTATUS NTAPI NtSuspendThread(HANDLE thread, PULONG previous);
NTSTATUS NTAPI NtDelayExecution(BOOLEAN alertable, PLARGE_INTEGER interval);
NTSTATUS NTAPI NtYieldExecution(VOID);
NTSTATUS NTAPI NtRaiseException(PEXCEPTION_RECORD record, PCONTEXT context, BOOLEAN first_chance);
NTSTATUS NTAPI NtQueryPerformanceCounter(PLARGE_INTEGER counter, PLARGE_INTEGER frequency);
NTSTATUS NTAPI NtReadFile(HANDLE file, HANDLE event, PIO_APC_ROUTINE apc, PVOID apc_context, PIO_STATUS_BLOCK iosb,
                          PVOID buffer, ULONG length, PLARGE_INTEGER offset, PULONG key);
NTSTATUS NTAPI NtWriteFile(HANDLE file, HANDLE event, PIO_APC_ROUTINE apc, PVOID apc_context, PIO_STATUS_BLOCK iosb,
                           PVOID buffer, ULONG length, PLARGE_INTEGER offset, PULONG key);
NTSTATUS NTAPI NtDuplicateObject(HANDLE source_process, HANDLE source, HANDLE target_process, PHANDLE target,
                                 ACCESS_MASK access, ULONG attributes, ULONG options);
NTSTATUS NTAPI NtCreateEvent(PHANDLE event, ACCESS_MASK access, POBJECT_ATTRIBUTES attributes, ULONG type,
                             BOOLEAN state);
NTSTATUS NTAPI NtOpenEvent(PHANDLE event, ACCESS_MASK access, POBJECT_ATTRIBUTES attributes);
NTSTATUS NTAPI NtSetEvent(HANDLE event, PLONG previous);
NTSTATUS NTAPI NtResetEvent(HANDLE event, PLONG previous);
NTSTATUS NTAPI NtCreateMutant(PHANDLE mutant, ACCESS_MASK access, POBJECT_ATTRIBUTES attributes, BOOLEAN owned);
NTSTATUS NTAPI NtReleaseMutant(HANDLE mutant, PLONG previous);
NTSTATUS NTAPI NtCreateSemaphore(PHANDLE semaphore, ACCESS_MASK access, POBJECT_ATTRIBUTES attributes, LONG initial,
                                 LONG maximum);
NTSTATUS NTAPI NtReleaseSemaphore(HANDLE semaphore, LONG count, PLONG previous);
NTSTATUS NTAPI NtWaitForMultipleObjects(ULONG count, HANDLE *handles, ULONG type, BOOLEAN alertable,
                                        PLARGE_INTEGER timeout);

/* --- this system's own services: see services.toml */
NTSTATUS NTAPI NtxDebugPrint(PCHAR text, ULONG length);
NTSTATUS NTAPI NtxMapDll(PUNICODE_STRING name, PVOID *base);
NTSTATUS NTAPI NtxReleaseDll(PVOID base, PVOID *entry);
NTSTATUS NTAPI NtxUnmapDll(PVOID base);
NTSTATUS NTAPI NtxNextInitRoutine(PVOID *entry, PVOID *base);

/* --- ntdll's runtime (ntifs.h, phnt) */
DECLSPEC_NORETURN VOID NTAPI LdrInitializeThunk(PVOID entry, PPEB peb);
DECLSPEC_NORETURN VOID NTAPI RtlUserThreadStart(PTHREAD_START_ROUTINE start, PVOID parameter);
DECLSPEC_NORETURN VOID NTAPI RtlExitUserThread(NTSTATUS status);
DECLSPEC_NORETURN VOID NTAPI RtlExitUserProcess(NTSTATUS status);
NTSTATUS NTAPI LdrLoadDll(PWSTR path, PULONG characteristics, PUNICODE_STRING name, PVOID *base);
NTSTATUS NTAPI LdrUnloadDll(PVOID base);
NTSTATUS NTAPI LdrGetDllHandle(PWSTR path, PULONG characteristics, PUNICODE_STRING name, PVOID *base);
NTSTATUS NTAPI LdrGetProcedureAddress(PVOID base, PANSI_STRING name, ULONG ordinal, PVOID *address);
NTSTATUS NTAPI LdrFindEntryForAddress(PVOID address, PLDR_DATA_TABLE_ENTRY *entry);
NTSTATUS NTAPI LdrDisableThreadCalloutsForDll(PVOID base);
PIMAGE_NT_HEADERS NTAPI RtlImageNtHeader(PVOID base);
PLIST_ENTRY NTAPI RtlGetFunctionTableListHead(VOID);
PVOID NTAPI RtlImageDirectoryEntryToData(PVOID base, BOOLEAN mapped_as_image, USHORT directory, PULONG size);
VOID NTAPI RtlRaiseException(PEXCEPTION_RECORD record);
VOID NTAPI RtlRaiseStatus(NTSTATUS status);
VOID NTAPI RtlSetLastWin32Error(ULONG error);
ULONG NTAPI RtlGetLastWin32Error(VOID);
ULONG NTAPI RtlSetLastWin32ErrorAndNtStatusFromNtStatus(NTSTATUS status);
BOOLEAN NTAPI RtlEqualUnicodeString(PCUNICODE_STRING first, PCUNICODE_STRING second, BOOLEAN ignore_case);
LONG NTAPI RtlCompareUnicodeString(PCUNICODE_STRING first, PCUNICODE_STRING second, BOOLEAN ignore_case);
WCHAR NTAPI RtlUpcaseUnicodeChar(WCHAR character);
NTSTATUS NTAPI RtlQueryEnvironmentVariable_U(PWSTR environment, PUNICODE_STRING name, PUNICODE_STRING value);
PVOID NTAPI RtlReAllocateHeap(PVOID heap, ULONG flags, PVOID block, SIZE_T size);
SIZE_T NTAPI RtlSizeHeap(PVOID heap, ULONG flags, PVOID block);
BOOLEAN NTAPI RtlValidateHeap(PVOID heap, ULONG flags, PVOID block);
VOID NTAPI DbgBreakPoint(VOID);
VOID NTAPI DbgUserBreakPoint(VOID);

NTSTATUS NTAPI RtlInitializeCriticalSection(PRTL_CRITICAL_SECTION section);
NTSTATUS NTAPI RtlInitializeCriticalSectionAndSpinCount(PRTL_CRITICAL_SECTION section, ULONG spin_count);
NTSTATUS NTAPI RtlEnterCriticalSection(PRTL_CRITICAL_SECTION section);
BOOLEAN NTAPI RtlTryEnterCriticalSection(PRTL_CRITICAL_SECTION section);
NTSTATUS NTAPI RtlLeaveCriticalSection(PRTL_CRITICAL_SECTION section);
NTSTATUS NTAPI RtlDeleteCriticalSection(PRTL_CRITICAL_SECTION section);
VOID NTAPI RtlInitializeSRWLock(PRTL_SRWLOCK lock);
VOID NTAPI RtlAcquireSRWLockExclusive(PRTL_SRWLOCK lock);
VOID NTAPI RtlReleaseSRWLockExclusive(PRTL_SRWLOCK lock);
BOOLEAN NTAPI RtlTryAcquireSRWLockExclusive(PRTL_SRWLOCK lock);
VOID NTAPI RtlAcquireSRWLockShared(PRTL_SRWLOCK lock);
VOID NTAPI RtlReleaseSRWLockShared(PRTL_SRWLOCK lock);
BOOLEAN NTAPI RtlTryAcquireSRWLockShared(PRTL_SRWLOCK lock);
