/* What a user's driver includes before its own first line: <ntddk.h> as ntos_ddk.h mends it, and what wdm.h of a current
   WDK has and the headers lack. */
#pragma once

#include "../ntos_ddk.h"

/* The variables that hold object types. The headers import a pointer to them; ntoskrnl.exe exports the variable. */
#define DDK_OBJECT_TYPE(name) extern __declspec(dllimport) POBJECT_TYPE Ddk##name __asm__(#name)
DDK_OBJECT_TYPE(CmKeyObjectType);
DDK_OBJECT_TYPE(ExEventObjectType);
DDK_OBJECT_TYPE(IoDeviceObjectType);
DDK_OBJECT_TYPE(IoDriverObjectType);
DDK_OBJECT_TYPE(IoFileObjectType);
DDK_OBJECT_TYPE(PsProcessType);
DDK_OBJECT_TYPE(PsThreadType);
#define CmKeyObjectType (&DdkCmKeyObjectType)
#define ExEventObjectType (&DdkExEventObjectType)
#define IoDeviceObjectType (&DdkIoDeviceObjectType)
#define IoDriverObjectType (&DdkIoDriverObjectType)
#define IoFileObjectType (&DdkIoFileObjectType)
#define PsProcessType (&DdkPsProcessType)
#define PsThreadType (&DdkPsThreadType)
