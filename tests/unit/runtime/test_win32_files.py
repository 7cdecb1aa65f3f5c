"""Files, folders, paths and the environment of a program, against the values that the reference pages give."""

from __future__ import annotations

from pathlib import Path

from ...marks import needs_compiler
from .win32_programs import output

pytestmark = needs_compiler


def test_the_environment_is_read_changed_and_listed(tmp_path: Path) -> None:
    output(
        tmp_path,
        """
static char big[3000], back[3000];
int mainCRTStartup(void)
{
    WCHAR text[64];
    CHECK(GetEnvironmentVariableW(L"systemroot", text, 64) == 10 && lstrcmpW(text, L"C:\\\\Windows") == 0);
    CHECK(GetEnvironmentVariableW(L"SystemRoot", text, 10) == 11);
    CHECK(GetEnvironmentVariableA("NOPE", back, 10) == 0 && GetLastError() == ERROR_ENVVAR_NOT_FOUND);
    memset(big, 'x', 2999);
    CHECK(SetEnvironmentVariableA("Big", big));
    CHECK(GetEnvironmentVariableA("BIG", back, 3000) == 2999 && memcmp(big, back, 3000) == 0);
    CHECK(GetEnvironmentVariableA("BIG", back, 100) == 3000);
    CHECK(SetEnvironmentVariableW(L"BIG", L"small") && GetEnvironmentVariableA("Big", back, 100) == 5);
    CHECK(SetEnvironmentVariableW(L"Empty", L"") && GetEnvironmentVariableW(L"Empty", text, 64) == 0);
    CHECK(GetLastError() == ERROR_SUCCESS);
    CHECK(SetEnvironmentVariableW(L"BIG", NULL) && !SetEnvironmentVariableW(L"BIG", NULL));
    CHECK(GetLastError() == ERROR_ENVVAR_NOT_FOUND);
    CHECK(!SetEnvironmentVariableW(L"a=b", L"") && GetLastError() == ERROR_INVALID_PARAMETER);
    CHECK(ExpandEnvironmentStringsA("<%windir%|%none%|%>", back, 100) == 22);
    CHECK(strcmp(back, "<C:\\\\Windows|%none%|%>") == 0);
    LPWCH block = GetEnvironmentStringsW();
    WCHAR *last = NULL;
    int found = 0;
    for (LPWCH at = block; *at; at += lstrlenW(at) + 1) {
        CHECK(last == NULL || CompareStringOrdinal(last, -1, at, -1, TRUE) == CSTR_LESS_THAN);
        found += lstrcmpW(at, L"Empty=") == 0;
        last = at;
    }
    CHECK(found == 1 && FreeEnvironmentStringsW(block));
    return 0;
}
""",
    )


def test_full_paths_are_those_of_the_reference_page(tmp_path: Path) -> None:
    said = output(
        tmp_path,
        r"""
static void full(const char *path)
{
    char text[300], *part;
    CHECK(GetFullPathNameA(path, sizeof(text), text, &part) == strlen(text));
    say(text);
    say(" ");
    say(part != NULL ? part : "-");
    say("\n");
}
int mainCRTStartup(void)
{
    full("a.txt");
    full("a/b/../c");
    full("\\top\\.\\x.");
    full("C:");
    full("c:rel");
    full("C:\\..\\..\\x");
    full("D:name");
    full("C:\\dir\\");
    full("\\\\server\\share\\..\\..\\f");
    full("\\\\?\\C:\\a\\..\\b");
    full("nul");
    full("C:\\a.. \\b...");
    CHECK(GetFullPathNameA("abc", 3, NULL, NULL) == 17);
    CHECK(CreateDirectoryA("sub", NULL) && SetCurrentDirectoryA("sub"));
    full("..\\y");
    full(".");
    char where[99];
    CHECK(GetCurrentDirectoryA(99, where) == 16);
    say(where);
    CHECK(!SetCurrentDirectoryA("none") && GetLastError() == ERROR_FILE_NOT_FOUND);
    return 0;
}
""",
    )
    assert said.splitlines() == [
        r"C:\dumptruth\a.txt a.txt",
        r"C:\dumptruth\a\c c",
        r"C:\top\x x",
        r"C:\dumptruth dumptruth",
        r"c:\dumptruth\rel rel",
        r"C:\x x",
        r"D:\name name",
        "C:\\dir\\ -",
        r"\\server\share\f f",
        r"\\?\C:\a\..\b b",
        r"\\.\nul nul",
        r"C:\a.. \b b",
        r"C:\dumptruth\y y",
        r"C:\dumptruth\sub sub",
        r"C:\dumptruth\sub",
    ]


def test_files_are_made_read_sought_cut_renamed_listed_and_deleted(tmp_path: Path) -> None:
    said = output(
        tmp_path,
        r"""
int mainCRTStartup(void)
{
    DWORD n;
    char text[64];
    LARGE_INTEGER size;
    HANDLE file = CreateFileA("one.txt", GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_NEW, 0, NULL);
    CHECK(file != INVALID_HANDLE_VALUE && GetFileType(file) == FILE_TYPE_DISK);
    CHECK(WriteFile(file, "0123456789", 10, &n, NULL) && n == 10);
    CHECK(SetFilePointer(file, -4, NULL, FILE_END) == 6);
    CHECK(ReadFile(file, text, 64, &n, NULL) && n == 4 && memcmp(text, "6789", 4) == 0);
    CHECK(ReadFile(file, text, 64, &n, NULL) && n == 0);
    CHECK(SetFilePointer(file, -11, NULL, FILE_END) == INVALID_SET_FILE_POINTER);
    CHECK(GetLastError() == ERROR_NEGATIVE_SEEK);
    CHECK(SetFilePointer(file, 3, NULL, FILE_BEGIN) == 3 && SetEndOfFile(file));
    CHECK(GetFileSizeEx(file, &size) && size.QuadPart == 3 && GetFileSize(file, NULL) == 3);
    CHECK(FlushFileBuffers(file));
    BY_HANDLE_FILE_INFORMATION info;
    CHECK(GetFileInformationByHandle(file, &info) && info.nFileSizeLow == 3 && info.nNumberOfLinks == 1);
    FILETIME set = {0x80000000, 0x01D00000}, got;
    CHECK(SetFileTime(file, NULL, NULL, &set) && GetFileTime(file, NULL, NULL, &got));
    CHECK(CompareFileTime(&set, &got) == 0);
    CloseHandle(file);
    CHECK(GetFileAttributesA("one.txt") == FILE_ATTRIBUTE_ARCHIVE);
    CHECK(GetFileAttributesA("C:\\Windows") == FILE_ATTRIBUTE_DIRECTORY);
    CHECK(GetFileAttributesA("no") == INVALID_FILE_ATTRIBUTES && GetLastError() == ERROR_FILE_NOT_FOUND);
    CHECK(GetFileAttributesA("no\\no") == INVALID_FILE_ATTRIBUTES && GetLastError() == ERROR_PATH_NOT_FOUND);
    CHECK(CreateDirectoryA("d", NULL) && !CreateDirectoryA("d", NULL) && GetLastError() == ERROR_ALREADY_EXISTS);
    CHECK(CopyFileA("one.txt", "d\\two.txt", TRUE) && !CopyFileA("one.txt", "d\\two.txt", TRUE));
    CHECK(GetLastError() == ERROR_FILE_EXISTS);
    CHECK(!RemoveDirectoryA("d") && GetLastError() == ERROR_DIR_NOT_EMPTY);
    CHECK(MoveFileA("d", "e") && GetFileAttributesA("e\\two.txt") == FILE_ATTRIBUTE_ARCHIVE);
    CHECK(!MoveFileA("one.txt", "e\\two.txt") && GetLastError() == ERROR_ALREADY_EXISTS);
    CHECK(MoveFileExA("one.txt", "e\\two.txt", MOVEFILE_REPLACE_EXISTING));
    CHECK(SetFileAttributesA("e\\two.txt", FILE_ATTRIBUTE_READONLY | FILE_ATTRIBUTE_HIDDEN));
    CHECK(GetFileAttributesA("e\\TWO.txt") == 0x23);
    CHECK(!DeleteFileA("e\\two.txt") && GetLastError() == ERROR_ACCESS_DENIED);
    CHECK(SetFileAttributesA("e\\two.txt", FILE_ATTRIBUTE_NORMAL));
    CloseHandle(CreateFileA("e\\Three.md", GENERIC_WRITE, 0, NULL, CREATE_NEW, 0, NULL));
    WIN32_FIND_DATAA data;
    HANDLE find = FindFirstFileA("e\\*", &data);
    CHECK(find != INVALID_HANDLE_VALUE);
    do {
        say(data.cFileName);
        say("\n");
    } while (FindNextFileA(find, &data));
    CHECK(GetLastError() == ERROR_NO_MORE_FILES && FindClose(find));
    find = FindFirstFileA("e\\t?o.*", &data);
    CHECK(find != INVALID_HANDLE_VALUE && strcmp(data.cFileName, "two.txt") == 0 && data.nFileSizeLow == 3);
    CHECK(!FindNextFileA(find, &data) && FindClose(find));
    CHECK(FindFirstFileA("e\\*.c", &data) == INVALID_HANDLE_VALUE && GetLastError() == ERROR_FILE_NOT_FOUND);
    CHECK(FindFirstFileA("x\\*", &data) == INVALID_HANDLE_VALUE && GetLastError() == ERROR_PATH_NOT_FOUND);
    CHECK(DeleteFileA("e\\two.txt") && DeleteFileA("e\\three.MD") && RemoveDirectoryA("e"));
    CHECK(!DeleteFileA("e\\two.txt") && GetLastError() == ERROR_PATH_NOT_FOUND);
    CHECK(GetTempPathA(64, text) == 38);
    say(text);
    say("\n");
    char name[MAX_PATH];
    CHECK(GetTempFileNameA(text, "abcdef", 0x1234, name) == 0x1234 && strcmp(name + strlen(text), "abc1234.TMP") == 0);
    CHECK(GetTempFileNameA(text, "abc", 0, name) != 0 && GetFileAttributesA(name) == FILE_ATTRIBUTE_ARCHIVE);
    return 0;
}
""",
    )
    assert said.splitlines() == [".", "..", "Three.md", "two.txt", "C:\\Users\\dumptruth\\AppData\\Local\\Temp\\"]
