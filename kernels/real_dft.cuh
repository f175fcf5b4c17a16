// The power spectrum of a frame of N = 16 P real samples, in f64, by one block of threads.
//
//   Y[k1, n2] = sum over n1 < 16 of x[P n1 + n2] e^(-2 pi i n1 k1 / 16)         k1 = 0 .. 8; the others are conjugates
//   X[k]      = sum over n2 < P of Y[k mod 16, n2] e^(-2 pi i n2 k / N)          k = 0 .. N / 2
//
// the first step of Cooley and Tukey (1965). f64, because the logarithm that follows shows bands 80 dB below the loudest of
// their frame, and f32 loses them. For N = 400 that is 7,200 and 20,100 multiplications with an addition:
// 2.6 GFLOP for 16 chunks of 30 s, 2 ms on a card that computes 1.3 TFLOP/s in f64 (1/64 of its speed in f32).
#pragma once

#include "common.cuh"

// Columns of Y that are stored.
constexpr int DFT_COLUMNS = 9;

// cosine[j] = cos(2 pi j / N) for j < N. The caller puts a barrier behind it.
template <int N> __device__ __forceinline__ void dft_cosines(double* cosine) {
    for (int index = threadIdx.x; index < N; index += blockDim.x) cosine[index] = cospi(2.0 * index / N);
}

template <int N> __device__ __forceinline__ double dft_sine(const double* cosine, int index) {
    return cosine[index < N / 4 ? N / 4 - index : index - N / 4];
}

// power[k] = |X[k]|^2 for k = 0 .. N / 2. x (N), real and imaginary (P * 9 each) and power lie in shared memory. The caller
// puts a barrier before it (x is written) and behind it (power is read); x may be written again at once.
template <int N>
__device__ __forceinline__ void dft_power(const double* x, const double* cosine, double* real, double* imaginary,
                                          double* power) {
    constexpr int P = N / 16;
    for (int item = threadIdx.x; item < P * DFT_COLUMNS; item += blockDim.x) {
        const int n2 = item / DFT_COLUMNS, k1 = item % DFT_COLUMNS;
        double re = 0.0, im = 0.0;
        for (int n1 = 0; n1 < 16; n1++) {
            const int angle = n1 * k1 % 16 * P;
            const double value = x[P * n1 + n2];
            re += value * cosine[angle];
            im -= value * dft_sine<N>(cosine, angle);
        }
        real[item] = re;
        imaginary[item] = im;
    }
    __syncthreads();
    for (int k = threadIdx.x; k <= N / 2; k += blockDim.x) {
        const int k1 = k % 16, column = k1 < DFT_COLUMNS ? k1 : 16 - k1;
        const double sign = k1 < DFT_COLUMNS ? 1.0 : -1.0;
        double re = 0.0, im = 0.0;
        int angle = 0;
        for (int n2 = 0; n2 < P; n2++) {
            const double c = cosine[angle], s = dft_sine<N>(cosine, angle);
            const double a = real[n2 * DFT_COLUMNS + column], b = sign * imaginary[n2 * DFT_COLUMNS + column];
            re += a * c + b * s;
            im += b * c - a * s;
            angle += k;
            if (angle >= N) angle -= N;
        }
        power[k] = re * re + im * im;
    }
}

// One filter's energy: places (filters, 3) holds the first frequency, the number of weights and where they begin.
__device__ __forceinline__ double filter_energy(const unsigned* places, const float* weights, const double* power,
                                                int filter) {
    const unsigned first = places[3 * filter], count = places[3 * filter + 1];
    const float* own = weights + places[3 * filter + 2];
    double energy = 0.0;
    for (unsigned index = 0; index < count; index++) energy += power[first + index] * own[index];
    return energy;
}
