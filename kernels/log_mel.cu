// Whisper's log-mel spectrograms of a batch of chunks (src/audio/mel.rs is the definition).
//
//   e[b, f, m] = log10 of filter m's energy in the frame of 400 samples around sample 160 f of chunk b, at least 1e-10
//   out[b, f, m] = (max(e[b, f, m], max over the chunk - 8) + 4) / 4
//
// samples: all chunks one after the other, f32; spans (B, 2): where each begins, and how many samples it has. A chunk counts
// as F * 160 samples: silence follows what it lacks, and both ends are mirrored. Frames behind its last sample hold silence.
// places (bins, 3) and weights: the mel filters, see real_dft.cuh. energies (B, F, bins) f32; maxima (B), zero before the
// first launch: the largest e of a chunk as a number whose order as unsigned is that of the floats.
//
// Launch 1, log_mel_energies: ceil(F / 8) x B blocks of 256 threads; a block takes 8 frames, one after the other. 11.7 KiB of
// shared memory and 32 to 40 registers: six to eight blocks, 1,536 to 2,048 threads on a multiprocessor (61 registers on
// Turing, whose multiprocessors hold 1,024 threads at most: four blocks). Limited by f64.
// Launch 2, log_mel_normalise: ceil(F * bins / 1024) x B blocks of 256 threads, 4 elements each; at most 18 registers, no
// shared memory, full occupancy; bound by memory.
#include "real_dft.cuh"

constexpr int MEL_WINDOW = 400, MEL_HOP = 160, MEL_BINS = MEL_WINDOW / 2 + 1, MEL_FRAMES_OF_BLOCK = 8;
constexpr double LEAST_ENERGY = 1e-10;
constexpr double MOST_ENERGY = 3.4028234663852886e38;

// The order of floats as that of unsigned numbers, and back.
__device__ __forceinline__ unsigned ordered(float value) {
    const unsigned bits = __float_as_uint(value);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ float of_ordered(unsigned bits) {
    return __uint_as_float(bits & 0x80000000u ? bits & 0x7fffffffu : ~bits);
}

extern "C" __global__ void __launch_bounds__(256)
    log_mel_energies(const float* __restrict__ samples, const unsigned* __restrict__ spans,
                     const unsigned* __restrict__ places, const float* __restrict__ weights,
                     float* __restrict__ energies, unsigned* __restrict__ maxima, int frames, int bins) {
    __shared__ double cosine[MEL_WINDOW], windowed[MEL_WINDOW], power[MEL_BINS];
    __shared__ double real[MEL_WINDOW / 16 * DFT_COLUMNS], imaginary[MEL_WINDOW / 16 * DFT_COLUMNS];
    __shared__ float scratch[WARP];
    const int chunk = blockIdx.y, first = blockIdx.x * MEL_FRAMES_OF_BLOCK;
    const float* own = samples + spans[2 * chunk];
    const int last = frames * MEL_HOP - 1, length = min((int)spans[2 * chunk + 1], last + 1);
    const int heard = (length + MEL_WINDOW / 2 + MEL_HOP - 1) / MEL_HOP;
    dft_cosines<MEL_WINDOW>(cosine);
    __syncthreads();
    float loudest = -CUDART_INF_F;
    for (int frame = first; frame < min(first + MEL_FRAMES_OF_BLOCK, frames); frame++) {
        if (frame < heard) {
            for (int n = threadIdx.x; n < MEL_WINDOW; n += blockDim.x) {
                const int position = frame * MEL_HOP - MEL_WINDOW / 2 + n;
                const int mirrored = position < 0 ? -position : (position > last ? 2 * last - position : position);
                const float sample = mirrored >= 0 && mirrored < length ? own[mirrored] : 0.0f;
                windowed[n] = (0.5 - 0.5 * cosine[n]) * sample;
            }
            __syncthreads();
            dft_power<MEL_WINDOW>(windowed, cosine, real, imaginary, power);
            __syncthreads();
        }
        for (int filter = threadIdx.x; filter < bins; filter += blockDim.x) {
            double energy = frame < heard ? filter_energy(places, weights, power, filter) : 0.0;
            // Samples that are not numbers count as silence, infinite ones as the loudest sound there is.
            energy = energy > LEAST_ENERGY ? (energy < MOST_ENERGY ? energy : MOST_ENERGY) : LEAST_ENERGY;
            const float value = log10f((float)energy);
            energies[((size_t)chunk * frames + frame) * bins + filter] = value;
            loudest = fmaxf(loudest, value);
        }
    }
    loudest = block_max(loudest, scratch);
    if (threadIdx.x == 0) atomicMax(maxima + chunk, ordered(loudest));
}

template <class E>
__device__ __forceinline__ void normalise(const float* energies, const unsigned* maxima, E* out, int count) {
    const float floor = of_ordered(maxima[blockIdx.y]) - 8.0f;
    const size_t chunk = (size_t)blockIdx.y * count;
    const int start = blockIdx.x * 4 * blockDim.x + threadIdx.x;
    for (int index = start; index < min(start + 4 * (int)blockDim.x, count); index += blockDim.x)
        out[chunk + index] = from_float<E>((fmaxf(energies[chunk + index], floor) + 4.0f) * 0.25f);
}

// `out` may be `energies` itself.
#define NORMALISE(suffix, E)                                                                                        \
    extern "C" __global__ void log_mel_normalise_##suffix(const float* energies, const unsigned* maxima, E* out, \
                                                          int count) {                                             \
        normalise(energies, maxima, out, count);                                                                   \
    }

NORMALISE(f32, float)
NORMALISE(f16, __half)
NORMALISE(bf16, __nv_bfloat16)
