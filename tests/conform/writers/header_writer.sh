#!/bin/sh
# Writes header-only kernel dumps (type 3) in POSIX sh and awk, from docs/truth-format.md and docs/conform-protocol.md
# alone.
#
# Without options its dumps are correct. --fault NAME adds one fault:
#
# parameters-shifted  the first bug check parameter is the code, and so on
# unix-time           SystemTime is in seconds since 1970
# first-processor     the context is that of processor 0, whichever crashed

fault=
[ "$1" = --fault ] && fault=$2

# JSON on standard input -> lines "path value", such as "system.build_number 26100". A quotation mark parts text from
# what is around it, so every second record is a string; one that ends with a backslash goes on behind the mark.
flatten='
BEGIN { RS = "\""; depth = 0; inside = 0 }
function path(    i, p) { p = ""; for (i = 1; i <= depth; i++) p = p (i > 1 ? "." : "") (array[i] ? at[i] : key[i]); return p }
function value(v) { print path() " " v; started = "" }
inside {
    piece = piece $0
    if ($0 ~ /(^|[^\\])(\\\\)*\\$/) { piece = piece "\""; next }
    gsub(/\\\\/, "\\", piece); gsub(/\\\//, "/", piece)
    if (depth && !array[depth] && !colon) key[depth] = piece; else value(piece)
    inside = 0; next
}
{
    for (i = 1; i <= length($0); i++) {
        c = substr($0, i, 1)
        if (c ~ /[]},[{ \t\r\n]/ && started != "") value(started)
        if (c == "{") { depth++; array[depth] = 0; colon = 0 }
        else if (c == "[") { depth++; array[depth] = 1; at[depth] = 0 }
        else if (c == "}" || c == "]") { depth--; colon = 0 }
        else if (c == ",") { if (array[depth]) at[depth]++; else colon = 0 }
        else if (c == ":") colon = 1
        else if (c !~ /[ \t\r\n]/) started = started c
    }
    inside = 1; piece = ""
}'

# Lines "path value" -> the bytes of the dump, each as a backslash and three octal digits.
header='
function digit(c) { return index("0123456789abcdef", c) - 1 }
function hex(at, width, text,    i, n) {
    text = substr(text, 3)
    for (i = 0; i < width; i++) {
        n = length(text)
        byte[at + i] = (n > 0 ? digit(substr(text, n, 1)) : 0) + (n > 1 ? 16 * digit(substr(text, n - 1, 1)) : 0)
        text = substr(text, 1, n > 2 ? n - 2 : 0)
    }
}
function decimal(at, width, number,    i) {
    for (i = 0; i < width; i++) { byte[at + i] = number % 256; number = int(number / 256) }
}
function put(at, width, name) {
    if (!(name in truth)) { print name " is missing" > "/dev/stderr"; failed = 1; exit 2 }
    if (truth[name] ~ /^0x/) hex(at, width, truth[name]); else decimal(at, width, truth[name])
}
function zero(at, count,    i) { for (i = 0; i < count; i++) byte[at + i] = 0 }
function add(text, more,    i, carry, sum, out) {
    while (length(text) < 16) text = "0" text
    while (length(more) < 16) more = "0" more
    for (i = 16; i > 0; i--) {
        sum = digit(substr(text, i, 1)) + digit(substr(more, i, 1)) + carry
        carry = sum > 15; out = substr("0123456789abcdef", sum % 16 + 1, 1) out
    }
    return out
}
{ name = $1; sub(/^[^ ]* /, ""); truth[name] = $0 }
END {
    if (failed) exit 2
    split("80 65 71 69", fill, " ")
    for (i = 0; i < 8192; i++) byte[i] = fill[i % 4 + 1]
    split("68 85 54 52", fill, " ")
    for (i = 0; i < 4; i++) byte[4 + i] = fill[i + 1]
    put(8, 4, "system.major_version"); put(12, 4, "system.build_number")
    root = truth["directory_table_base"]
    hex(16, 8, length(root) > 5 ? substr(root, 1, length(root) - 3) "000" : "0x0")
    put(24, 8, "symbols.mm_pfn_database"); put(32, 8, "symbols.ps_loaded_module_list")
    put(40, 8, "symbols.ps_active_process_head")
    hex(48, 4, "0x8664")
    for (n = 0; ("processors." n ".number") in truth; n++) ;
    decimal(52, 4, n)
    put(56, 4, "bug_check.code")
    for (i = 0; i < 4; i++) put(64 + 8 * i, 8, "bug_check.parameters." i)
    if (fault == "parameters-shifted") {
        put(64, 8, "bug_check.code")
        for (i = 1; i < 4; i++) put(64 + 8 * i, 8, "bug_check.parameters." i - 1)
    }
    zero(96, 32)
    put(128, 8, "symbols.kd_debugger_data_block")
    pages = "0"
    for (n = 0; ("physical_runs." n ".base_page") in truth; n++) {
        put(152 + 16 * n, 8, "physical_runs." n ".base_page"); put(160 + 16 * n, 8, "physical_runs." n ".page_count")
        pages = add(pages, substr(truth["physical_runs." n ".page_count"], 3))
    }
    decimal(136, 8, n); hex(144, 8, "0x" pages)
    context = "processors." (fault == "first-processor" ? 0 : truth["crashing_processor"]) ".context."
    zero(840, 1232)
    put(840 + 48, 4, context "context_flags"); put(840 + 52, 4, context "registers.MxCsr")
    count = split("SegCs SegDs SegEs SegFs SegGs SegSs", names, " ")
    for (i = 1; i <= count; i++) put(840 + 54 + 2 * i, 2, context "registers." names[i])
    put(840 + 68, 4, context "registers.EFlags")
    count = split("Dr0 Dr1 Dr2 Dr3 Dr6 Dr7 Rax Rcx Rdx Rbx Rsp Rbp Rsi Rdi R8 R9 R10 R11 R12 R13 R14 R15 Rip", names, " ")
    for (i = 1; i <= count; i++) put(840 + 64 + 8 * i, 8, context "registers." names[i])
    saved = truth[context "fxsave"]
    for (i = 0; i < 512; i++)
        byte[840 + 256 + i] = 16 * digit(substr(saved, 2 * i + 1, 1)) + digit(substr(saved, 2 * i + 2, 1))
    if ("exception.code" in truth) {
        put(3840, 4, "exception.code"); put(3844, 4, "exception.flags"); put(3856, 8, "exception.address")
    } else {
        hex(3840, 4, "0x80000003"); decimal(3844, 4, 1); put(3856, 8, context "registers.Rip")
    }
    zero(3848, 8); zero(3864, 4)
    decimal(3992, 4, 3)
    decimal(4000, 8, 8192)
    put(4008, 8, "time")
    if (fault == "unix-time") hex(4008, 8, "0x65a0bc00")
    zero(4016, 128)
    put(4144, 8, "up_time")
    zero(4152, 8)
    put(4160, 4, "system.product_type"); put(4164, 4, "system.suite_mask")
    zero(4168, 4); byte[4173] = 2; zero(4176, 8)
    for (i = 0; i < 8192; i++) printf "\\%03o", byte[i]
}'

of() { printf '%s\n' "$asked" | sed -n "s/^$1 //p"; }

while IFS= read -r line; do
    asked=$(printf '%s' "$line" | awk "$flatten")
    case=$(of case) truth=$(of truth) output=$(of output) said=
    mode=$(sed -n 's/.*"mode": *"\([a-z]*\)".*/\1/p' "$truth/truth.json" | head -n 1)
    if [ "$mode" != kernel ]; then said='"skipped", "reason": "machines alone"'
    elif [ "$(of request.profile)" != header ]; then said='"skipped", "reason": "header dumps alone"'
    elif [ "$(of request.comment)" != null ]; then said='"skipped", "reason": "no comment"'
    else
        bytes=$(awk "$flatten" "$truth/truth.json" | awk -v "fault=$fault" "$header") || exit 2
        printf "$bytes" > "$output" || exit 2
        said='"written"'
    fi
    printf '{"case": "%s", "result": %s}\n' "$case" "$said"
done
