// cuRAND: even and normal numbers; not the numbers that a GPU would draw.
#include <random>

#include "driver.h"

using namespace gpu;

namespace {

enum Status { SUCCESS = 0, LAUNCH_FAILURE = 201 };

struct Generator {
    std::mt19937_64 engine;
    CUstream stream = nullptr;
};

template <class T, class Distribution>
Status draw(Generator* generator, T* numbers, size_t count_of, Distribution distribution) {
    Lock held(lock());
    if (ready() || !is_live(CUdeviceptr(numbers), count_of * sizeof(T))) return LAUNCH_FAILURE;
    const CUresult result = submit(generator->stream, [=]() mutable {
        for (size_t index = 0; index < count_of; ++index) numbers[index] = T(distribution(generator->engine));
    });
    return result ? LAUNCH_FAILURE : SUCCESS;
}

} // namespace

#undef API
#define API extern "C" __attribute__((visibility("default"))) Status

API curandCreateGenerator(Generator** generator, int) {
    *generator = new Generator;
    return SUCCESS;
}
API curandDestroyGenerator(Generator* generator) {
    delete generator;
    return SUCCESS;
}
API curandSetPseudoRandomGeneratorSeed(Generator* generator, unsigned long long seed) {
    generator->engine.seed(seed);
    return SUCCESS;
}
API curandSetGeneratorOffset(Generator* generator, unsigned long long offset) {
    generator->engine.discard(offset);
    return SUCCESS;
}
API curandSetStream(Generator* generator, CUstream stream) {
    generator->stream = stream;
    return SUCCESS;
}
API curandGenerateUniform(Generator* generator, float* numbers, size_t count) {
    return draw(generator, numbers, count, std::uniform_real_distribution<float>());
}
API curandGenerateUniformDouble(Generator* generator, double* numbers, size_t count) {
    return draw(generator, numbers, count, std::uniform_real_distribution<double>());
}
API curandGenerateNormal(Generator* generator, float* numbers, size_t count, float mean, float deviation) {
    return draw(generator, numbers, count, std::normal_distribution<float>(mean, deviation));
}
API curandGenerateNormalDouble(Generator* generator, double* numbers, size_t count, double mean, double deviation) {
    return draw(generator, numbers, count, std::normal_distribution<double>(mean, deviation));
}
