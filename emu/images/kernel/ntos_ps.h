/* Processes, threads and loaded modules as executive objects. Layouts as in ntos_ke.h. */
#pragma once

#include "ntos_ke.h"

#define MAXIMUM_HANDLES 15

/* Handles are (index + 1) * 4. Far simpler than Windows' table; HandleCount is what readers ask for. */
typedef struct _HANDLE_TABLE {
    ULONG NextHandleNeedingPool;
    LONG ExtraInfoPages;
    ULONG64 TableCode;
    struct _EPROCESS *QuotaProcess;
    LONG HandleCount;
    ULONG Padding;
    PVOID Objects[MAXIMUM_HANDLES];
} HANDLE_TABLE;

typedef struct _EX_FAST_REF {
    union {
        PVOID Object;
        ULONG64 RefCnt : 4;
        ULONG64 Value;
    };
} EX_FAST_REF;

typedef struct _SE_AUDIT_PROCESS_CREATION_INFO {
    OBJECT_NAME_INFORMATION *ImageFileName; /* \Device\... */
} SE_AUDIT_PROCESS_CREATION_INFO;

/* A range of a process's user half. A private one ends here (pool tag VadS), that of an image is an MMVAD (Vad). */
typedef struct _MMVAD_FLAGS {
    ULONG Lock : 1;
    ULONG LockContended : 1;
    ULONG DeleteInProgress : 1;
    ULONG NoChange : 1;
    ULONG VadType : 3; /* 0: none of those, 2: VadImageMap */
    ULONG Protection : 5;
    ULONG PreferredNode : 6;
    ULONG PageSize : 2;
    ULONG PrivateMemory : 1;
} MMVAD_FLAGS;

typedef struct _MMVAD_FLAGS1 {
    ULONG CommitCharge : 31;
    ULONG MemCommit : 1;
} MMVAD_FLAGS1;

typedef struct _MMVAD_SHORT {
    RTL_BALANCED_NODE VadNode;
    ULONG StartingVpn;
    ULONG EndingVpn;
    UCHAR StartingVpnHigh;
    UCHAR EndingVpnHigh;
    UCHAR CommitChargeHigh;
    UCHAR SpareNT64VadUChar;
    LONG ReferenceCount;
    ULONG64 PushLock;
    union {
        ULONG LongFlags;
        MMVAD_FLAGS VadFlags;
    } u;
    union {
        ULONG LongFlags1;
        MMVAD_FLAGS1 VadFlags1;
    } u1;
    PVOID EventList;
} MMVAD_SHORT;

typedef struct _MMVAD {
    MMVAD_SHORT Core;
    ULONG64 u2;
    PVOID Subsection;
    PVOID FirstPrototypePte;
    PVOID LastContiguousPte;
    LIST_ENTRY ViewLinks;
    struct _EPROCESS *VadsProcess;
    ULONG64 u4;
    PVOID FileObject;
} MMVAD;

typedef struct _RTL_AVL_TREE {
    RTL_BALANCED_NODE *Root;
} RTL_AVL_TREE;

typedef struct _EPROCESS {
    KPROCESS Pcb;
    ULONG64 ProcessLock;
    HANDLE UniqueProcessId;
    LIST_ENTRY ActiveProcessLinks;
    ULONG64 RundownProtect;
    union {
        ULONG Flags2;
        ULONG Flags2Reserved;
    };
    union {
        ULONG Flags;
        struct {
            ULONG CreateReported : 1;
            ULONG NoDebugInherit : 1;
            ULONG ProcessExiting : 1;
            ULONG ProcessDelete : 1;
            ULONG FlagsReserved : 9;
            ULONG BreakOnTermination : 1; /* a critical process */
        };
    };
    LARGE_INTEGER CreateTime;
    UCHAR Padding0[0x48];
    EX_FAST_REF Token;
    UCHAR Padding1[0x60];
    PVOID SectionBaseAddress;
    UCHAR Padding2[0x18];
    HANDLE InheritedFromUniqueProcessId;
    PVOID OwnerProcessId;
    PVOID Peb;
    PVOID Session;
    PVOID Spare1;
    PVOID QuotaBlock;
    HANDLE_TABLE *ObjectTable;
    PVOID DebugPort;
    PVOID WoW64Process;
    UCHAR Padding3[0x20];
    UCHAR ImageFileName[15];
    UCHAR PriorityClass;
    PVOID SecurityPort;
    SE_AUDIT_PROCESS_CREATION_INFO SeAuditProcessCreationInfo;
    UCHAR Padding4[0x18];
    LIST_ENTRY ThreadListHead;
    volatile ULONG ActiveThreads;
    UCHAR Padding5[0x1E0];
    LONG ExitStatus;
    RTL_AVL_TREE VadRoot;
    PVOID VadHint;
    ULONG64 VadCount;
    UCHAR Padding6[0x50];
    LARGE_INTEGER ExitTime;
    UCHAR Padding7[0x1F8];
} EPROCESS;

typedef struct _ETHREAD {
    KTHREAD Tcb;
    LARGE_INTEGER CreateTime;
    LARGE_INTEGER ExitTime;
    UCHAR Padding0[0x10];
    PVOID StartAddress;
    UCHAR Padding1[0x20];
    CLIENT_ID Cid;
    UCHAR Padding2[0x28];
    LIST_ENTRY IrpList;
    UCHAR Padding3[0x10];
    PVOID Win32StartAddress;
    PVOID ChargeOnlySession;
    PVOID LegacyPowerObject;
    LIST_ENTRY ThreadListEntry;
    UCHAR Padding4[0x50];
    LONG ExitStatus;
    ULONG Padding5;
    PVOID StartContext; /* of ring 3: RCX */
    PVOID UserStack;    /* of ring 3: RSP */
    UCHAR Padding6[0x338];
} ETHREAD;

/* Names as in winternl.h (docs/format/kernel-structures.md#loaded-modules). */
typedef struct _KLDR_DATA_TABLE_ENTRY {
    LIST_ENTRY InLoadOrderLinks;
    PVOID ExceptionTable;
    ULONG ExceptionTableSize;
    PVOID GpValue;
    PVOID NonPagedDebugInfo;
    PVOID DllBase;
    PVOID EntryPoint;
    ULONG SizeOfImage;
    UNICODE_STRING FullDllName;
    UNICODE_STRING BaseDllName;
    ULONG Flags;
    USHORT LoadCount;
    USHORT SignatureLevel;
    PVOID SectionPointer;
    ULONG CheckSum;
    ULONG CoverageSectionSize;
    PVOID CoverageSection;
    PVOID LoadedImports;
    union {
        PVOID Spare;
        struct _KLDR_DATA_TABLE_ENTRY *NtDataTableEntry;
    };
    ULONG SizeOfImageNotRounded;
    ULONG TimeDateStamp;
} KLDR_DATA_TABLE_ENTRY;

/* KLDR_DATA_TABLE_ENTRY.Flags: ntldr.h LDRP_* */
#define LDRP_IMAGE_DLL 0x00000004
#define LDRP_ENTRY_PROCESSED 0x00004000
#define LDRP_SYSTEM_MAPPED 0x01000000

/* MmUnloadedDrivers points at MI_UNLOADED_DRIVERS of these; MmLastUnloadedDriver counts all that were ever unloaded. */
typedef struct _UNLOADED_DRIVERS {
    UNICODE_STRING Name;
    PVOID StartAddress;
    PVOID EndAddress;
    LARGE_INTEGER CurrentTime;
} UNLOADED_DRIVERS;
#define MI_UNLOADED_DRIVERS 50

AT(EPROCESS, UniqueProcessId, 0x440);
AT(EPROCESS, ActiveProcessLinks, 0x448);
AT(EPROCESS, Flags, 0x464);
AT(EPROCESS, Token, 0x4B8);
AT(EPROCESS, SectionBaseAddress, 0x520);
AT(EPROCESS, InheritedFromUniqueProcessId, 0x540);
AT(EPROCESS, Peb, 0x550);
AT(EPROCESS, ObjectTable, 0x570);
AT(EPROCESS, ImageFileName, 0x5A8);
AT(EPROCESS, SeAuditProcessCreationInfo, 0x5C0);
AT(EPROCESS, ThreadListHead, 0x5E0);
AT(EPROCESS, ActiveThreads, 0x5F0);
AT(EPROCESS, ExitStatus, 0x7D4);
AT(EPROCESS, VadRoot, 0x7D8);
AT(EPROCESS, ExitTime, 0x840);
SIZE(EPROCESS, 0xA40);
AT(ETHREAD, Cid, 0x478);
AT(ETHREAD, IrpList, 0x4B0);
AT(ETHREAD, Win32StartAddress, 0x4D0);
AT(ETHREAD, ThreadListEntry, 0x4E8);
SIZE(ETHREAD, 0x898);
AT(KLDR_DATA_TABLE_ENTRY, DllBase, 0x30);
AT(KLDR_DATA_TABLE_ENTRY, CheckSum, 0x78);
AT(KLDR_DATA_TABLE_ENTRY, TimeDateStamp, 0x9C);
SIZE(KLDR_DATA_TABLE_ENTRY, 0xA0);
SIZE(UNLOADED_DRIVERS, 0x28);
SIZE(MMVAD_SHORT, 0x40);
SIZE(MMVAD, 0x88);
