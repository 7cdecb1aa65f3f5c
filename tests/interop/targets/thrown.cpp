// A C++ exception that nobody catches, with a heap of strings.
#include <map>
#include <stdexcept>
#include <string>

static std::map<int, std::string> table;

static int fill(int count) {
    table[count] = std::string(static_cast<size_t>(count), 'x');
    if (count > 5) throw std::runtime_error("thrown: " + table[count]);
    return fill(count + 1) + static_cast<int>(table[count].size());
}

int main() { return fill(1); }
