// CUDA's own headers for candle's kernels, which compute with the operators of their number types: these exist for the host,
// too. They come before the language (tests/kernels/host/language.h), whose words they also define.
#pragma once
#include <cfloat>
#include <climits>
#include <cmath>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime_api.h>
#include <math_constants.h>
#include <vector_functions.h>

#include <cuda/std/limits>

#undef __global__
#undef __device__
#undef __host__
#undef __constant__
#undef __managed__
#undef __shared__
#undef __forceinline__
#undef __launch_bounds__
#undef __align__
