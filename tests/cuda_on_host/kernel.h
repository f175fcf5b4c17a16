// The kernels that were compiled for the host, by name.
#pragma once
#include <cstddef>
#include <map>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "block.h"

namespace on_host {

struct Parameter {
    size_t size;
    bool pointer;
};

// Where a kernel comes from. Candle's modules arrive as PTX text, ours as fatbins; the two may use one name twice.
enum class Origin { candle, palabra };

struct Kernel {
    std::string name;
    Entry entry;
    std::vector<Parameter> parameters;
    unsigned most_threads;  // its __launch_bounds__, or 1024
};

inline std::map<std::pair<Origin, std::string>, Kernel> &kernels() {
    // Never destroyed, as all that the driver keeps: threads of the program call it while it ends.
    static auto &all = *new std::map<std::pair<Origin, std::string>, Kernel>;
    return all;
}

// Takes a kernel's arguments from the array of addresses that a launch gives.
template <auto function> struct Caller;
template <class... A, void (*function)(A...)> struct Caller<function> {
    template <size_t... index> static void unpack(void **arguments, std::index_sequence<index...>) {
        function(*static_cast<std::remove_const_t<A> *>(arguments[index])...);
    }
    static void call(void **arguments) { unpack(arguments, std::index_sequence_for<A...>()); }
    static std::vector<Parameter> parameters() { return {Parameter{sizeof(A), std::is_pointer<A>::value}...}; }
};

template <auto function> struct Registered {
    explicit Registered(Origin origin, const char *name, unsigned most_threads = 1024) {
        kernels()[{origin, name}] = {name, &Caller<function>::call, Caller<function>::parameters(), most_threads};
    }
};

}  // namespace on_host
