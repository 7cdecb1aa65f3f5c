/* What app.exe asks crashdrv.sys for: CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS). */
#pragma once

#define IOCTL_CRASH 0x222000
