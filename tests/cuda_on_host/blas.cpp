// cuBLAS: products of matrices, column-major, summed in f32 (f64 for f64).
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "driver.h"

using namespace gpu;

namespace {

// The numbers of cuBLAS's enumerations, whose header comes with 400 MB of library.
enum Status { SUCCESS = 0, INVALID_VALUE = 7, EXECUTION_FAILED = 13, NOT_SUPPORTED = 15 };
enum Type { F32 = 0, F64 = 1, F16 = 2, BF16 = 14 };
enum Compute { COMPUTE_16F = 64, COMPUTE_16F_PEDANTIC = 65, COMPUTE_64F = 70, COMPUTE_64F_PEDANTIC = 71 };

struct Handle {
    CUstream stream = nullptr;
    int pointer_mode = 0;
};

template <class To> To read(const void* numbers, Type type, size_t index) {
    switch (type) {
    case F32: return To(static_cast<const float*>(numbers)[index]);
    case F64: return To(static_cast<const double*>(numbers)[index]);
    case F16: return To(static_cast<const _Float16*>(numbers)[index]);
    case BF16: {
        const uint32_t bits = uint32_t(static_cast<const uint16_t*>(numbers)[index]) << 16;
        float value;
        memcpy(&value, &bits, sizeof value);
        return To(value);
    }
    }
    return 0;
}

template <class From> void write(void* numbers, Type type, size_t index, From value) {
    switch (type) {
    case F32: static_cast<float*>(numbers)[index] = float(value); break;
    case F64: static_cast<double*>(numbers)[index] = double(value); break;
    case F16: static_cast<_Float16*>(numbers)[index] = _Float16(value); break;
    case BF16: {
        const float single = float(value);
        uint32_t bits;
        memcpy(&bits, &single, sizeof bits);
        const bool nan = single != single;
        static_cast<uint16_t*>(numbers)[index] =
            nan ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16; // nearest, ties to even
        break;
    }
    }
}

size_t size_of(Type type) { return type == F64 ? 8 : type == F32 ? 4 : 2; }

struct Matrix {
    const void* numbers;
    Type type;
    int leading;
    long long stride;
    bool transposed;
};

struct Product {
    int m, n, k;
    double alpha, beta;
    Matrix a, b;
    void* c;
    Type c_type;
    int c_leading;
    long long c_stride;
    int batch;
};

// Panels of `width` rows (columns of B), each with its k in the outer order, as the inner loop below reads them.
template <class T> std::vector<T> panels(const Matrix& matrix, int rows, int k, int width, bool rows_lie_together) {
    const int count = (rows + width - 1) / width;
    std::vector<T> packed(size_t(count) * width * k);
    const size_t row_step = rows_lie_together ? 1 : matrix.leading, k_step = rows_lie_together ? matrix.leading : 1;
    for (int panel = 0; panel < count; ++panel) {
        T* target = packed.data() + size_t(panel) * width * k;
        for (int row = 0; row < std::min(width, rows - panel * width); ++row) {
            const size_t start = size_t(panel * width + row) * row_step;
            for (int inner = 0; inner < k; ++inner)
                target[size_t(inner) * width + row] = read<T>(matrix.numbers, matrix.type, start + inner * k_step);
        }
    }
    return packed;
}

template <class T> struct Tile {
    static constexpr int WIDTH = 32 * 4 / sizeof(T), COLUMNS = 6;
    T sums[COLUMNS][WIDTH];

    void multiply(const T* a, const T* b, int k) {
        typedef T Vector __attribute__((vector_size(64), aligned(8)));
        constexpr int LANES = 64 / sizeof(T);
        Vector low[COLUMNS] = {}, high[COLUMNS] = {};
        for (int inner = 0; inner < k; ++inner, a += WIDTH, b += COLUMNS) {
            Vector left, right;
            memcpy(&left, a, sizeof left);
            memcpy(&right, a + LANES, sizeof right);
#pragma GCC unroll 6
            for (int column = 0; column < COLUMNS; ++column) {
                low[column] += left * b[column];
                high[column] += right * b[column];
            }
        }
        for (int column = 0; column < COLUMNS; ++column) {
            memcpy(sums[column], &low[column], sizeof(Vector));
            memcpy(sums[column] + LANES, &high[column], sizeof(Vector));
        }
    }
};

template <class T> void store(const Product& product, size_t index, T sum) {
    T value = T(product.alpha) * sum;
    if (product.beta != 0) value += T(product.beta) * read<T>(product.c, product.c_type, index);
    write(product.c, product.c_type, index, value);
}

template <class T> void multiply_tiles(const Product& product) {
    const std::vector<T> a = panels<T>(product.a, product.m, product.k, Tile<T>::WIDTH, !product.a.transposed);
    const std::vector<T> b = panels<T>(product.b, product.n, product.k, Tile<T>::COLUMNS, product.b.transposed);
    Tile<T> tile;
    for (int column = 0; column < product.n; column += tile.COLUMNS) {
        for (int row = 0; row < product.m; row += tile.WIDTH) {
            tile.multiply(a.data() + size_t(row) * product.k, b.data() + size_t(column) * product.k, product.k);
            for (int j = 0; j < std::min(tile.COLUMNS, product.n - column); ++j)
                for (int i = 0; i < std::min(tile.WIDTH, product.m - row); ++i)
                    store(product, size_t(column + j) * product.c_leading + row + i, tile.sums[j][i]);
        }
    }
}

// For few columns, as in a step of decoding: A, which is large, is read once and not packed.
template <class T> void multiply_rows(const Product& product) {
    const std::vector<T> b = panels<T>(product.b, product.n, product.k, 1, product.b.transposed);
    std::vector<T> row(product.k);
    const size_t row_step = product.a.transposed ? product.a.leading : 1, k_step = product.a.transposed ? 1 : product.a.leading;
    for (int i = 0; i < product.m; ++i) {
        for (int inner = 0; inner < product.k; ++inner)
            row[inner] = read<T>(product.a.numbers, product.a.type, i * row_step + inner * k_step);
        for (int j = 0; j < product.n; ++j) {
            T sum = 0;
            for (int inner = 0; inner < product.k; ++inner) sum += row[inner] * b[size_t(j) * product.k + inner];
            store(product, size_t(j) * product.c_leading + i, sum);
        }
    }
}

void multiply(Product product) {
    const auto start = std::chrono::steady_clock::now();
    for (int batch = 0; batch < product.batch; ++batch) {
        const bool wide = product.c_type == F64, few = product.n < 6;
        if (wide) few ? multiply_rows<double>(product) : multiply_tiles<double>(product);
        else few ? multiply_rows<float>(product) : multiply_tiles<float>(product);
        product.a.numbers = static_cast<const char*>(product.a.numbers) + product.a.stride * size_of(product.a.type);
        product.b.numbers = static_cast<const char*>(product.b.numbers) + product.b.stride * size_of(product.b.type);
        product.c = static_cast<char*>(product.c) + product.c_stride * size_of(product.c_type);
    }
    count("matrix product", start);
}

bool is_type(int type) { return type == F32 || type == F64 || type == F16 || type == BF16; }

// Whether a matrix of `rows` x `columns`, stored by columns, lies in the GPU's memory.
bool fits(const void* numbers, Type type, int rows, int columns, int leading, long long stride, int batch) {
    if (leading < std::max(rows, 1)) return false;
    const size_t last = size_t(batch - 1) * stride + size_t(columns - 1) * leading + rows;
    return is_live(CUdeviceptr(numbers), last * size_of(type));
}

Status submit_product(Handle* handle, const Product& product) {
    Lock held(lock());
    if (ready()) return EXECUTION_FAILED;
    const Matrix &a = product.a, &b = product.b;
    if (product.m < 0 || product.n < 0 || product.k < 0 || product.batch < 0) return INVALID_VALUE;
    if (!product.m || !product.n || !product.batch) return SUCCESS;
    const bool inside =
        (product.k == 0 || (fits(a.numbers, a.type, a.transposed ? product.k : product.m, a.transposed ? product.m : product.k,
                                 a.leading, a.stride, product.batch) &&
                            fits(b.numbers, b.type, b.transposed ? product.n : product.k, b.transposed ? product.k : product.n,
                                 b.leading, b.stride, product.batch))) &&
        fits(product.c, product.c_type, product.m, product.n, product.c_leading, product.c_stride, product.batch);
    if (!inside) {
        refuse(CUDA_ERROR_INVALID_VALUE, "a matrix product of " + std::to_string(product.m) + " x " +
                                             std::to_string(product.n) + " x " + std::to_string(product.k) +
                                             " reads or writes beyond an allocation");
        return INVALID_VALUE;
    }
    return submit(handle->stream, [product] { multiply(product); }) ? EXECUTION_FAILED : SUCCESS;
}

} // namespace

#undef API
#define API extern "C" __attribute__((visibility("default"))) Status

API cublasCreate_v2(Handle** handle) {
    *handle = new Handle;
    return SUCCESS;
}
API cublasDestroy_v2(Handle* handle) {
    delete handle;
    return SUCCESS;
}
API cublasSetStream_v2(Handle* handle, CUstream stream) {
    handle->stream = stream;
    return SUCCESS;
}
API cublasSetWorkspace_v2(Handle*, void*, size_t) { return SUCCESS; }
API cublasSetMathMode(Handle*, int) { return SUCCESS; }
API cublasGetPointerMode_v2(Handle* handle, int* mode) {
    *mode = handle->pointer_mode;
    return SUCCESS;
}
API cublasSetPointerMode_v2(Handle* handle, int mode) {
    handle->pointer_mode = mode;
    return SUCCESS;
}

API cublasGemmStridedBatchedEx(Handle* handle, int transa, int transb, int m, int n, int k, const void* alpha, const void* a,
                               int a_type, int lda, long long stride_a, const void* b, int b_type, int ldb, long long stride_b,
                               const void* beta, void* c, int c_type, int ldc, long long stride_c, int batch, int compute,
                               int) {
    // cuBLAS multiplies two matrices of one type; f16 and bf16 may give f32.
    const bool types =
        is_type(a_type) && a_type == b_type && (c_type == a_type || (c_type == F32 && (a_type == F16 || a_type == BF16)));
    const bool wide = compute == COMPUTE_64F || compute == COMPUTE_64F_PEDANTIC;
    const bool half = compute == COMPUTE_16F || compute == COMPUTE_16F_PEDANTIC;
    if (!types || wide != (a_type == F64) || (half && c_type != F16)) return NOT_SUPPORTED;
    if (handle->pointer_mode != 0) return NOT_SUPPORTED;
    const Type scalar = wide ? F64 : half ? F16 : F32;
    return submit_product(handle, {m,
                                   n,
                                   k,
                                   read<double>(alpha, scalar, 0),
                                   read<double>(beta, scalar, 0),
                                   {a, Type(a_type), lda, stride_a, transa != 0},
                                   {b, Type(b_type), ldb, stride_b, transb != 0},
                                   c,
                                   Type(c_type),
                                   ldc,
                                   stride_c,
                                   batch});
}

API cublasGemmEx(Handle* handle, int transa, int transb, int m, int n, int k, const void* alpha, const void* a, int a_type,
                 int lda, const void* b, int b_type, int ldb, const void* beta, void* c, int c_type, int ldc, int compute,
                 int algorithm) {
    return cublasGemmStridedBatchedEx(handle, transa, transb, m, n, k, alpha, a, a_type, lda, 0, b, b_type, ldb, 0, beta, c,
                                      c_type, ldc, 0, 1, compute, algorithm);
}

#define GEMM(letter, T, type)                                                                                                \
    API cublas##letter##gemm_v2(Handle* handle, int transa, int transb, int m, int n, int k, const T* alpha, const T* a,     \
                                int lda, const T* b, int ldb, const T* beta, T* c, int ldc) {                                \
        return submit_product(                                                                                               \
            handle,                                                                                                          \
            {m, n, k, *alpha, *beta, {a, type, lda, 0, transa != 0}, {b, type, ldb, 0, transb != 0}, c, type, ldc, 0, 1});   \
    }                                                                                                                        \
    API cublas##letter##gemmStridedBatched(Handle* handle, int transa, int transb, int m, int n, int k, const T* alpha,      \
                                           const T* a, int lda, long long stride_a, const T* b, int ldb, long long stride_b, \
                                           const T* beta, T* c, int ldc, long long stride_c, int batch) {                    \
        return submit_product(handle, {m,                                                                                    \
                                       n,                                                                                    \
                                       k,                                                                                    \
                                       *alpha,                                                                               \
                                       *beta,                                                                                \
                                       {a, type, lda, stride_a, transa != 0},                                                \
                                       {b, type, ldb, stride_b, transb != 0},                                                \
                                       c,                                                                                    \
                                       type,                                                                                 \
                                       ldc,                                                                                  \
                                       stride_c,                                                                             \
                                       batch});                                                                              \
    }
GEMM(S, float, F32)
GEMM(D, double, F64)
