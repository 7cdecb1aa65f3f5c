/* Numbers of the system services, for the kernel and for app.exe. Their arguments are Windows'. */
#pragma once

#define SERVICE_NT_TERMINATE_PROCESS 0x2C
#define SERVICE_NT_DELAY_EXECUTION 0x34
#define SERVICE_NT_OPEN_FILE 0x33
#define SERVICE_NT_DEVICE_IO_CONTROL_FILE 0x07
#define SERVICE_NT_DISPLAY_STRING 0x68
