/* A writer of complete kernel dumps (type 1) that knows nothing of dumptruth but two documents: docs/truth-format.md and
 * docs/conform-protocol.md. C11 and its library, nothing else.
 *
 * Right as it is; with --fault NAME it is wrong in one way:
 *
 * last-page-missing  the last page of the last run is not written
 * holes-written      pages between the runs are written too, as if the file were a raw image of memory
 * stale-dtb          DirectoryTableBase is that of the System process, whatever process was running
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 4096, HEADER = 0x2000, LINE = 1 << 20, FULL = 1026 };

static const char *fault = "";

/* --- JSON: enough to walk to a member ------------------------------------------------------------------------- */

static const char *blank(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

static const char *past_string(const char *at)
{
    for (at++; *at != '"'; at++)
        if (*at == '\\')
            at++;
    return at + 1;
}

static const char *past_value(const char *at)
{
    int depth = 0;
    at = blank(at);
    if (*at != '{' && *at != '[' && *at != '"')
        return at + strcspn(at, ",]} \r\n");
    do {
        if (*at == '"') {
            at = past_string(at);
            continue;
        }
        depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
        at++;
    } while (depth);
    return at;
}

/* The value of a member of the object at `at`; NULL when there is none, or no object. */
static const char *member(const char *at, const char *name)
{
    size_t length = strlen(name);
    if (!at || *(at = blank(at)) != '{')
        return NULL;
    for (at = blank(at + 1); *at == '"'; at = blank(at + 1)) {
        const char *key = at + 1, *value = blank(past_string(at));
        value = blank(value + 1); /* behind the colon */
        if (!strncmp(key, name, length) && key[length] == '"')
            return value;
        at = blank(past_value(value));
        if (*at != ',')
            break;
    }
    return NULL;
}

/* The element at `index` of the array at `at`; NULL behind the last. */
static const char *element(const char *at, int index)
{
    if (!at || *(at = blank(at)) != '[')
        return NULL;
    for (at = blank(at + 1); *at != ']'; at = blank(at + 1)) {
        if (!index--)
            return at;
        at = blank(past_value(at));
        if (*at != ',')
            break;
    }
    return NULL;
}

/* A number, or a string of hexadecimal digits with 0x. */
static uint64_t number(const char *at)
{
    if (!at) {
        fprintf(stderr, "a member is missing\n");
        exit(2);
    }
    at = blank(at);
    return *at == '"' ? strtoull(at + 1, NULL, 16) : strtoull(at, NULL, 10);
}

static void text(const char *at, char *to, size_t size)
{
    size_t used = 0;
    for (at = blank(at) + 1; *at != '"' && used + 1 < size; at++) {
        if (*at == '\\' && *++at == 'u') {
            char digits[5] = {at[1], at[2], at[3], at[4], 0};
            to[used++] = (char)strtoul(digits, NULL, 16);
            at += 4;
            continue;
        }
        to[used++] = *at;
    }
    to[used] = 0;
}

/* --- the dump ------------------------------------------------------------------------------------------------- */

static void put(unsigned char *to, int width, uint64_t value)
{
    for (int i = 0; i < width; i++)
        to[i] = (unsigned char)(value >> 8 * i);
}

static void put_context(unsigned char *to, const char *context)
{
    static const char *const segments[] = {"SegCs", "SegDs", "SegEs", "SegFs", "SegGs", "SegSs"};
    static const char *const integers[] = {
        "Dr0", "Dr1", "Dr2", "Dr3", "Dr6", "Dr7", "Rax", "Rcx", "Rdx", "Rbx", "Rsp", "Rbp",
        "Rsi", "Rdi", "R8",  "R9",  "R10", "R11", "R12", "R13", "R14", "R15", "Rip",
    };
    const char *registers = member(context, "registers");
    const char *fxsave = blank(member(context, "fxsave")) + 1;
    memset(to, 0, 0x4d0);
    put(to + 0x30, 4, number(member(context, "context_flags")));
    put(to + 0x34, 4, number(member(registers, "MxCsr")));
    for (int i = 0; i < 6; i++)
        put(to + 0x38 + 2 * i, 2, number(member(registers, segments[i])));
    put(to + 0x44, 4, number(member(registers, "EFlags")));
    for (int i = 0; i < 23; i++)
        put(to + 0x48 + 8 * i, 8, number(member(registers, integers[i])));
    for (int i = 0; i < 512; i++) {
        char digits[3] = {fxsave[2 * i], fxsave[2 * i + 1], 0};
        to[0x100 + i] = (unsigned char)strtoul(digits, NULL, 16);
    }
}

static void put_header(unsigned char *to, const char *truth, uint64_t pages, uint64_t file_size)
{
    const char *system = member(truth, "system"), *symbols = member(truth, "symbols");
    const char *bug_check = member(truth, "bug_check"), *event = member(truth, "exception");
    const char *root = member(truth, "directory_table_base"), *run;
    int crashed = (int)number(member(truth, "crashing_processor")), count = 0;
    const char *context = member(element(member(truth, "processors"), crashed), "context");
    for (int at = 0; at < HEADER; at += 4)
        memcpy(to + at, "PAGE", 4);
    memcpy(to + 4, "DU64", 4);
    if (!strcmp(fault, "stale-dtb"))
        root = member(truth, "system_directory_table_base");
    put(to + 0x08, 4, number(member(system, "major_version")));
    put(to + 0x0c, 4, number(member(system, "build_number")));
    put(to + 0x10, 8, number(root) & ~(uint64_t)0xfff);
    put(to + 0x18, 8, number(member(symbols, "mm_pfn_database")));
    put(to + 0x20, 8, number(member(symbols, "ps_loaded_module_list")));
    put(to + 0x28, 8, number(member(symbols, "ps_active_process_head")));
    put(to + 0x30, 4, 0x8664); /* IMAGE_FILE_MACHINE_AMD64 */
    for (int i = 0; element(member(truth, "processors"), i); i++)
        put(to + 0x34, 4, (uint64_t)i + 1);
    put(to + 0x38, 4, number(member(bug_check, "code")));
    for (int i = 0; i < 4; i++)
        put(to + 0x40 + 8 * i, 8, number(element(member(bug_check, "parameters"), i)));
    memset(to + 0x60, 0, 32);
    put(to + 0x80, 8, number(member(symbols, "kd_debugger_data_block")));
    for (; (run = element(member(truth, "physical_runs"), count)); count++) {
        put(to + 0x98 + 16 * count, 8, number(member(run, "base_page")));
        put(to + 0xa0 + 16 * count, 8, number(member(run, "page_count")));
    }
    put(to + 0x88, 8, (uint64_t)count);
    put(to + 0x90, 8, pages);
    put_context(to + 0x348, context);
    put(to + 0xf00, 4, event && *event == '{' ? number(member(event, "code")) : 0x80000003);
    put(to + 0xf04, 4, event && *event == '{' ? number(member(event, "flags")) : 1);
    put(to + 0xf08, 8, 0);
    put(to + 0xf10, 8, number(event && *event == '{' ? member(event, "address")
                                                     : member(member(context, "registers"), "Rip")));
    put(to + 0xf18, 4, 0);
    put(to + 0xf98, 4, 1); /* complete */
    put(to + 0xfa0, 8, file_size);
    put(to + 0xfa8, 8, number(member(truth, "time")));
    memset(to + 0xfb0, 0, 128);
    put(to + 0x1030, 8, number(member(truth, "up_time")));
    put(to + 0x1038, 8, 0); /* MiniDumpFields, SecondaryDataState */
    put(to + 0x1040, 4, number(member(system, "product_type")));
    put(to + 0x1044, 4, number(member(system, "suite_mask")));
    put(to + 0x1048, 4, 0);
    to[0x104d] = 2; /* KdSecondaryVersion */
    put(to + 0x1050, 8, 0);
}

static char *contents(const char *folder, const char *name, size_t *size)
{
    char path[4096];
    FILE *file;
    char *data;
    long length;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (!(file = fopen(path, "rb")) || fseek(file, 0, SEEK_END) || (length = ftell(file)) < 0) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    rewind(file);
    data = calloc((size_t)length + 1, 1);
    if (!data || fread(data, 1, (size_t)length, file) != (size_t)length)
        exit(2);
    fclose(file);
    *size = (size_t)length;
    return data;
}

/* The bytes of a page: of memory.bin where it was touched, else zeros. */
static const char *page_of(const char *truth, const char *memory, uint64_t page)
{
    static const char zeros[PAGE];
    const char *run = blank(member(truth, "memory")) + 1;
    for (run = blank(run); *run == '{'; run = blank(run)) {
        uint64_t base = number(member(run, "base_page")), count = number(member(run, "page_count"));
        if (base <= page && page < base + count)
            return memory + number(member(run, "offset")) + (page - base) * PAGE;
        run = blank(past_value(run));
        if (*run != ',')
            break;
        run++;
    }
    return zeros;
}

static void write_dump(const char *truth, const char *folder, const char *path)
{
    unsigned char header[HEADER];
    size_t size;
    char *memory = contents(folder, "memory.bin", &size);
    uint64_t pages = 0, last = 0;
    const char *run;
    FILE *file = fopen(path, "wb");
    if (!file)
        exit(2);
    for (int i = 0; (run = element(member(truth, "physical_runs"), i)); i++)
        pages += number(member(run, "page_count"));
    put_header(header, truth, pages, HEADER + pages * PAGE);
    fwrite(header, 1, HEADER, file);
    for (int i = 0; (run = element(member(truth, "physical_runs"), i)); i++) {
        uint64_t base = number(member(run, "base_page")), end = base + number(member(run, "page_count"));
        int cut = !strcmp(fault, "last-page-missing") && !element(member(truth, "physical_runs"), i + 1);
        for (uint64_t page = !strcmp(fault, "holes-written") ? last : base; page < end - (uint64_t)cut; page++)
            fwrite(page_of(truth, memory, page), 1, PAGE, file);
        last = end;
    }
    fclose(file);
    free(memory);
}

static void answer(const char *line)
{
    static char name[4096], folder[4096], output[4096], profile[64], mode[64];
    const char *request = member(line, "request"), *skip = NULL;
    size_t size;
    char *truth;
    uint64_t qualifier = number(member(request, "qualifier_value"));
    text(member(line, "case"), name, sizeof name);
    text(member(line, "truth"), folder, sizeof folder);
    text(member(line, "output"), output, sizeof output);
    text(member(request, "profile"), profile, sizeof profile);
    truth = contents(folder, "truth.json", &size);
    text(member(truth, "mode"), mode, sizeof mode);
    if (strcmp(mode, "kernel"))
        skip = "machines alone";
    else if (qualifier != FULL || (strcmp(profile, "portable") && strcmp(profile, "classic")))
        skip = "complete dumps alone";
    else if (number(member(request, "format_flags_value")) || *blank(member(request, "comment")) != 'n')
        skip = "no flags and no comment";
    if (skip) {
        printf("{\"case\": \"%s\", \"result\": \"skipped\", \"reason\": \"%s\"}\n", name, skip);
    } else {
        write_dump(truth, folder, output);
        printf("{\"case\": \"%s\", \"result\": \"written\"}\n", name);
    }
    fflush(stdout);
    free(truth);
}

int main(int count, char **arguments)
{
    char *line = malloc(LINE);
    if (count == 3 && !strcmp(arguments[1], "--fault"))
        fault = arguments[2];
    while (line && fgets(line, LINE, stdin))
        answer(line);
    free(line);
    return 0;
}
