/* Types for the PDB alone. Readers that walk a dump with symbols (volatility3 is one) refuse a kernel whose symbols do
   not know these, although this kernel has no such objects. Leading fields only, as public symbols have them. */
#include "ntos.h"

typedef struct _TOKEN {
    UCHAR TokenSource[16];
    LUID TokenId;
    LUID AuthenticationId;
    LUID ParentTokenId;
    LARGE_INTEGER ExpirationTime;
} TOKEN;

typedef struct _OBJECT_HEADER {
    LONG64 PointerCount;
    LONG64 HandleCount;
    ULONG64 Lock;
    UCHAR TypeIndex;
    UCHAR TraceFlags;
    UCHAR InfoMask;
    UCHAR Flags;
    ULONG Reserved;
    PVOID ObjectCreateInfo;
    PVOID SecurityDescriptor;
    QUAD Body;
} OBJECT_HEADER;

typedef struct _HHIVE {
    ULONG Signature;
} HHIVE;

typedef struct _CMHIVE {
    HHIVE Hive;
} CMHIVE;

typedef struct _CM_KEY_BODY {
    ULONG Type;
    PVOID KeyControlBlock;
    PVOID NotifyBlock;
    HANDLE ProcessID;
} CM_KEY_BODY;

typedef struct _CM_KEY_NODE {
    USHORT Signature;
    USHORT Flags;
} CM_KEY_NODE;

typedef struct _CM_KEY_VALUE {
    USHORT Signature;
    USHORT NameLength;
    ULONG DataLength;
    ULONG Data;
    ULONG Type;
} CM_KEY_VALUE;

typedef struct _HMAP_ENTRY {
    ULONG64 BlockOffset;
    ULONG64 PermanentBinAddress;
    ULONG MemAlloc;
} HMAP_ENTRY;

typedef struct _OBJECT_SYMBOLIC_LINK {
    LARGE_INTEGER CreationTime;
    UNICODE_STRING LinkTarget;
} OBJECT_SYMBOLIC_LINK;

typedef struct _CONTROL_AREA {
    PVOID Segment;
    LIST_ENTRY ListHead;
} CONTROL_AREA;

typedef struct _SHARED_CACHE_MAP {
    SHORT NodeTypeCode;
    SHORT NodeByteSize;
    ULONG OpenCount;
    LARGE_INTEGER FileSize;
} SHARED_CACHE_MAP;

typedef struct _VACB {
    PVOID BaseAddress;
    SHARED_CACHE_MAP *SharedCacheMap;
} VACB;

/* User structures: debuggers read the modules of a process through them, with nt's symbols. */
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
} LDR_DATA_TABLE_ENTRY;

typedef struct _PEB_LDR_DATA {
    ULONG Length;
    UCHAR Initialized;
    PVOID SsHandle;
    LIST_ENTRY InLoadOrderModuleList;
    LIST_ENTRY InMemoryOrderModuleList;
    LIST_ENTRY InInitializationOrderModuleList;
} PEB_LDR_DATA;

typedef struct _RTL_USER_PROCESS_PARAMETERS {
    ULONG MaximumLength;
    ULONG Length;
    ULONG Flags;
    ULONG DebugFlags;
    UCHAR Padding0[0x50];
    UNICODE_STRING ImagePathName;
    UNICODE_STRING CommandLine;
    PVOID Environment;
} RTL_USER_PROCESS_PARAMETERS;

typedef struct _PEB {
    UCHAR InheritedAddressSpace;
    UCHAR ReadImageFileExecOptions;
    UCHAR BeingDebugged;
    UCHAR BitField;
    PVOID Mutant;
    PVOID ImageBaseAddress;
    PEB_LDR_DATA *Ldr;
    RTL_USER_PROCESS_PARAMETERS *ProcessParameters;
    PVOID SubSystemData;
    PVOID ProcessHeap;
    UCHAR Padding0[0x288];
    ULONG SessionId;
} PEB;

typedef struct _TEB {
    NT_TIB NtTib;
    PVOID EnvironmentPointer;
    CLIENT_ID ClientId;
    PVOID ActiveRpcHandle;
    PVOID ThreadLocalStoragePointer;
    PEB *ProcessEnvironmentBlock;
    ULONG LastErrorValue;
    UCHAR Padding0[0x140C];
    PVOID DeallocationStack;
    PVOID TlsSlots[64];
} TEB;

_Static_assert(__builtin_offsetof(LDR_DATA_TABLE_ENTRY, TimeDateStamp) == 0x80, "as in emu/process/layouts.py");
_Static_assert(__builtin_offsetof(PEB_LDR_DATA, InLoadOrderModuleList) == 0x10, "as in emu/process/layouts.py");
_Static_assert(__builtin_offsetof(RTL_USER_PROCESS_PARAMETERS, CommandLine) == 0x70, "as in emu/process/layouts.py");
_Static_assert(__builtin_offsetof(PEB, SessionId) == 0x2C0, "as in emu/process/layouts.py");
_Static_assert(__builtin_offsetof(TEB, DeallocationStack) == 0x1478, "as in emu/process/layouts.py");

/* What makes the compiler describe them. */
struct _KD_TYPES {
    TOKEN *Token;
    OBJECT_HEADER *ObjectHeader;
    CMHIVE *Hive;
    CM_KEY_BODY *KeyBody;
    CM_KEY_NODE *KeyNode;
    CM_KEY_VALUE *KeyValue;
    HMAP_ENTRY *MapEntry;
    MMVAD *Vad;
    OBJECT_SYMBOLIC_LINK *SymbolicLink;
    CONTROL_AREA *ControlArea;
    VACB *Vacb;
    LDR_DATA_TABLE_ENTRY *UserModule;
    PEB *Peb;
    TEB *Teb;
    KSWITCH_FRAME *SwitchFrame;
    MMPFN *Pfn;
    KMUTANT *Mutant;
    KTIMER *Timer;
    KUSER_SHARED_DATA *UserShared;
} KdTypes;
