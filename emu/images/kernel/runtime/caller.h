/* Services for the program that calls a user's driver, beyond those of ntos_services.h. */
#pragma once

#define SERVICE_NT_READ_FILE 0x06
#define SERVICE_NT_WRITE_FILE 0x08
#define SERVICE_NT_CLOSE 0x0F
#define SERVICE_NAME_DEVICE 0xD00 /* number of a symbolic link in \??\, UNICODE_STRING that receives its name */
#define SERVICE_CONTROL_CODE 0xD01 /* number; returns a control code of the device that was named last, 0: no more */
#define SERVICE_CALLER_DONE 0xD02
