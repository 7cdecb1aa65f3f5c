/* ws2_32: a host without a network. Documented: WSAStartup says so, and every other function needs it first. */
#define _WINSOCKAPI_
#include <windows.h>

#define REFUSED(type, name, value)                                                                                     \
    type WINAPI name(VOID)                                                                                             \
    {                                                                                                                  \
        SetLastError(WSANOTINITIALISED);                                                                               \
        return value;                                                                                                  \
    }

int WINAPI WSAStartup(WORD version, PVOID data)
{
    UNREFERENCED_PARAMETER(version);
    UNREFERENCED_PARAMETER(data);
    return WSASYSNOTREADY;
}

int WINAPI WSAGetLastError(VOID)
{
    return (int)GetLastError();
}

VOID WINAPI WSASetLastError(int error)
{
    SetLastError((DWORD)error);
}

#define INVALID_SOCKET ((ULONG_PTR)-1)
#define SOCKET_ERROR (-1)
/* The arguments are not looked at: amd64 callers take them away. */
REFUSED(int, WSACleanup, SOCKET_ERROR)
REFUSED(ULONG_PTR, socket, INVALID_SOCKET)
REFUSED(ULONG_PTR, WSASocketW, INVALID_SOCKET)
REFUSED(ULONG_PTR, accept, INVALID_SOCKET)
REFUSED(int, bind, SOCKET_ERROR)
REFUSED(int, closesocket, SOCKET_ERROR)
REFUSED(int, connect, SOCKET_ERROR)
REFUSED(int, getpeername, SOCKET_ERROR)
REFUSED(int, getsockname, SOCKET_ERROR)
REFUSED(int, getsockopt, SOCKET_ERROR)
REFUSED(int, ioctlsocket, SOCKET_ERROR)
REFUSED(int, listen, SOCKET_ERROR)
REFUSED(int, recv, SOCKET_ERROR)
REFUSED(int, recvfrom, SOCKET_ERROR)
REFUSED(int, select, SOCKET_ERROR)
REFUSED(int, send, SOCKET_ERROR)
REFUSED(int, sendto, SOCKET_ERROR)
REFUSED(int, setsockopt, SOCKET_ERROR)
REFUSED(int, shutdown, SOCKET_ERROR)
REFUSED(int, gethostname, SOCKET_ERROR)
REFUSED(PVOID, gethostbyname, NULL)

int WINAPI getaddrinfo(PCSTR node, PCSTR service, PVOID hints, PVOID *result)
{
    UNREFERENCED_PARAMETER(node);
    UNREFERENCED_PARAMETER(service);
    UNREFERENCED_PARAMETER(hints);
    *result = NULL;
    return WSANOTINITIALISED;
}

VOID WINAPI freeaddrinfo(PVOID result)
{
    UNREFERENCED_PARAMETER(result);
}

/* --- byte order needs no network */
ULONG WINAPI htonl(ULONG value)
{
    return __builtin_bswap32(value);
}

ULONG WINAPI ntohl(ULONG value)
{
    return __builtin_bswap32(value);
}

USHORT WINAPI htons(USHORT value)
{
    return (USHORT)(value << 8 | value >> 8);
}

USHORT WINAPI ntohs(USHORT value)
{
    return htons(value);
}
