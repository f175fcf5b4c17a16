// Kaldi's log mel filterbanks of windows of audio (src/audio/fbank.rs is the definition).
//
//   frame f of window b: 400 samples from 160 f on, without their mean, pre-emphasis 0.97, times the frame's window,
//   padded to 512; out[b, f, m] = ln of filter m's energy in it, at least the f32 epsilon
//
// samples: f32; starts (B): where each window begins; all have F whole frames. window (400): with the scale of the samples.
// places (bins, 3) and weights: the mel filters, see real_dft.cuh. out (B, F, bins).
//
// Launch 1, fbank: ceil(F / 8) x B blocks of 256 threads; a block takes 8 frames, one after the other. 14.9 KiB of shared
// memory and 32 to 40 registers: six blocks or more, 1,536 threads on a multiprocessor (52 registers on Turing: four blocks,
// all that it holds). Limited by f64.
// Launch 2, fbank_subtract_mean: B x ceil(bins / 32) blocks of 256 threads, 32 bins times 8 frames at once; takes the mean of
// each bin over the window's frames from it. Bound by memory, and what it reads is still in the second cache.
#include "real_dft.cuh"

constexpr int FBANK_FRAME = 400, FBANK_SHIFT = 160, FBANK_DFT = 512, FBANK_BINS = FBANK_DFT / 2 + 1;
constexpr int FBANK_FRAMES_OF_BLOCK = 8;
constexpr float PRE_EMPHASIS = 0.97f, LEAST_ENERGY = 1.1920928955078125e-7f;

extern "C" __global__ void __launch_bounds__(256)
    fbank(const float* __restrict__ samples, const unsigned* __restrict__ starts, const float* __restrict__ window,
          const unsigned* __restrict__ places, const float* __restrict__ weights, float* __restrict__ out, int frames,
          int bins) {
    __shared__ double cosine[FBANK_DFT], windowed[FBANK_DFT], power[FBANK_BINS];
    __shared__ double real[FBANK_DFT / 16 * DFT_COLUMNS], imaginary[FBANK_DFT / 16 * DFT_COLUMNS];
    __shared__ float scratch[WARP];
    const int first = blockIdx.x * FBANK_FRAMES_OF_BLOCK;
    dft_cosines<FBANK_DFT>(cosine);
    for (int n = FBANK_FRAME + threadIdx.x; n < FBANK_DFT; n += blockDim.x) windowed[n] = 0.0;
    for (int frame = first; frame < min(first + FBANK_FRAMES_OF_BLOCK, frames); frame++) {
        const float* own = samples + starts[blockIdx.y] + (size_t)frame * FBANK_SHIFT;
        float sum = 0.0f;
        for (int n = threadIdx.x; n < FBANK_FRAME; n += blockDim.x) sum += own[n];
        const float mean = block_sum(sum, scratch) / FBANK_FRAME;
        for (int n = threadIdx.x; n < FBANK_FRAME; n += blockDim.x) {
            // The first sample is its own predecessor.
            const double centred = (double)own[n] - mean, previous = (double)own[n > 0 ? n - 1 : 0] - mean;
            windowed[n] = (centred - (double)PRE_EMPHASIS * previous) * window[n];
        }
        __syncthreads();
        dft_power<FBANK_DFT>(windowed, cosine, real, imaginary, power);
        __syncthreads();
        for (int filter = threadIdx.x; filter < bins; filter += blockDim.x) {
            const float energy = (float)filter_energy(places, weights, power, filter);
            out[((size_t)blockIdx.y * frames + frame) * bins + filter] = logf(fmaxf(energy, LEAST_ENERGY));
        }
    }
}

extern "C" __global__ void __launch_bounds__(256) fbank_subtract_mean(float* features, int frames, int bins) {
    __shared__ double sums[8][WARP];
    const int lane = threadIdx.x % WARP, part = threadIdx.x / WARP, bin = blockIdx.y * WARP + lane;
    float* own = features + (size_t)blockIdx.x * frames * bins;
    double sum = 0.0;
    if (bin < bins)
        for (int frame = part; frame < frames; frame += 8) sum += own[(size_t)frame * bins + bin];
    sums[part][lane] = sum;
    __syncthreads();
    sum = 0.0;
    for (int other = 0; other < 8; other++) sum += sums[other][lane];
    const float mean = (float)(sum / frames);
    if (bin < bins)
        for (int frame = part; frame < frames; frame += 8) own[(size_t)frame * bins + bin] -= mean;
}
