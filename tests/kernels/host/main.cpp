// Reads cases on stdin, carries their launches out, and writes the buffers that a case wants back to stdout. All numbers
// are little-endian; a text or a list is preceded by its length (u32).
//
//   case:     order u32, buffers, launches
//   buffer:   wanted u8, bytes u64, contents
//   launch:   kernel text, grid 3 x u32, block u32, shared u32, arguments
//   argument: kind u8 (0 buffer: number u32 and byte u64; 1: any value of 4 bytes)
//   answer:   the contents of the wanted buffers of the case, one after the other
//
// Every buffer is a block of memory of exactly its size, so that the address sanitizer sees each step outside. What goes
// wrong is said on stderr with the number of the case, and ends the program.
#include "cuda_on_host.h"

#ifdef CUDA_ON_HOST_FILLED
#include <link.h>
#endif
#include <unistd.h>

namespace {

unsigned case_number = 0;

[[noreturn]] void refuse(const std::string& reason) {
    std::fprintf(stderr, "case %u: %s\n", case_number, reason.c_str());
    std::_Exit(2);
}

template <class T> T read() {
    T value;
    if (std::fread(&value, sizeof(T), 1, stdin) != 1) refuse("the input ends in the middle");
    return value;
}

std::string read_text() {
    std::string text(read<uint32_t>(), ' ');
    if (!text.empty() && std::fread(text.data(), text.size(), 1, stdin) != 1) refuse("the input ends in the middle");
    return text;
}

struct Buffer {
    bool wanted = false;
    size_t bytes = 0;
    unsigned char* contents = nullptr;
};

Buffer read_buffer() {
    Buffer buffer;
    buffer.wanted = read<uint8_t>() != 0;
    buffer.bytes = read<uint64_t>();
    void* memory = nullptr;
    // Aligned as device memory is. A buffer without elements has an address, too.
    if (posix_memalign(&memory, 256, buffer.bytes) != 0) refuse("there is no memory for a buffer");
    buffer.contents = static_cast<unsigned char*>(memory);
    if (buffer.bytes != 0 && std::fread(memory, buffer.bytes, 1, stdin) != 1) refuse("the input ends in the middle");
    return buffer;
}

void carry_out(const std::vector<Buffer>& buffers, unsigned order) {
    const std::string name = read_text();
    cuda_on_host::Geometry geometry;
    geometry.grid.x = read<uint32_t>();
    geometry.grid.y = read<uint32_t>();
    geometry.grid.z = read<uint32_t>();
    geometry.block.x = read<uint32_t>();
    geometry.shared = read<uint32_t>();
    geometry.order = order;
    std::vector<uint64_t> values(read<uint32_t>());
    std::vector<size_t> sizes;
    for (uint64_t& value : values) {
        if (read<uint8_t>() == 0) {
            const auto number = read<uint32_t>();
            const auto byte = read<uint64_t>();
            if (number >= buffers.size()) refuse(name + " is given a buffer that the case lacks");
            value = reinterpret_cast<uint64_t>(buffers[number].contents) + byte;
            sizes.push_back(sizeof(void*));
        } else {
            value = read<uint32_t>();
            sizes.push_back(sizeof(uint32_t));
        }
    }
    const cuda_on_host::Kernel* kernel = cuda_on_host::find(name);
    if (kernel == nullptr) refuse("no kernel is called " + name);
    if (kernel->arguments != sizes) refuse(name + " takes other arguments than it is given");
    std::vector<void*> arguments;
    for (uint64_t& value : values) arguments.push_back(&value);
    cuda_on_host::launch(*kernel, arguments.data(), geometry);
}

#ifdef CUDA_ON_HOST_FILLED
// This program's own variables of a thread are the shared memory of its kernels, and nothing else.
void fill_shared() {
    auto fill = [](dl_phdr_info* object, size_t, void*) {
        for (int number = 0; number < object->dlpi_phnum; number++) {
            const auto& part = object->dlpi_phdr[number];
            if (part.p_type == PT_TLS && object->dlpi_tls_data) std::memset(object->dlpi_tls_data, 0xff, part.p_memsz);
        }
        return 1;  // the program itself comes first: go no further
    };
    dl_iterate_phdr(fill, nullptr);
}
#endif

}  // namespace

int main() {
#ifdef CUDA_ON_HOST_FILLED
    cuda_on_host::running.before_block = fill_shared;
#endif
    // A barrier that threads of the system never reach must not hold up the tests for ever.
    alarm(300);
    const auto cases = read<uint32_t>();
    for (case_number = 0; case_number < cases; case_number++) {
        std::fprintf(stderr, "case %u\n", case_number);
        const auto order = read<uint32_t>();
        std::vector<Buffer> buffers(read<uint32_t>());
        for (Buffer& buffer : buffers) buffer = read_buffer();
        for (auto launches = read<uint32_t>(); launches > 0; launches--) carry_out(buffers, order);
        for (const Buffer& buffer : buffers) {
            if (buffer.wanted && buffer.bytes != 0 && std::fwrite(buffer.contents, buffer.bytes, 1, stdout) != 1)
                refuse("the answer cannot be written");
            std::free(buffer.contents);
        }
    }
    return std::fflush(stdout) == 0 ? 0 : 2;
}
