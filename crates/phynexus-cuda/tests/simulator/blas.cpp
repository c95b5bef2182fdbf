// A library of matrix products for the simulated GPU, with the entry points of cuBLAS that the engine calls: by columns, with
// transposes and strides, in the types that it asks for. Built as libcublas.so.13 by simulate.sh.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <initializer_list>

enum { R_32F = 0, R_64F = 1, R_16F = 2, R_16BF = 14, COMPUTE_32F = 68, COMPUTE_64F = 70, COMPUTE_32F_TF32 = 77 };

static double load(const void *at, int type, long long i) {
    if (type == R_64F) return ((const double *)at)[i];
    if (type == R_32F) return ((const float *)at)[i];
    if (type == R_16F) return (double)((const _Float16 *)at)[i];
    const uint32_t bits = (uint32_t)((const uint16_t *)at)[i] << 16;
    float value;
    return memcpy(&value, &bits, 4), value;
}

static void store(void *at, int type, long long i, double value) {
    if (type == R_64F) {
        ((double *)at)[i] = value;
    } else if (type == R_32F) {
        ((float *)at)[i] = (float)value;
    } else if (type == R_16F) {
        ((_Float16 *)at)[i] = (_Float16)(float)value;
    } else {
        const float single = (float)value;
        uint32_t bits;
        memcpy(&bits, &single, 4);
        const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
        ((uint16_t *)at)[i] = is_nan ? bits >> 16 | 0x40 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    }
}

// What a unit for TF32 keeps of a float32: ten places.
static double kept(double value, int compute) {
    if (compute != COMPUTE_32F_TF32) return value;
    float single = (float)value;
    uint32_t bits;
    memcpy(&bits, &single, 4);
    bits = (bits + 0x1000) & ~0x1fffu;
    return memcpy(&single, &bits, 4), single;
}

extern "C" {
static int device_of(const void *address) {
    static auto ask = (int (*)(const void *))dlsym(dlopen("libcuda.so.1", RTLD_NOW), "simulated_device");
    return ask(address);
}
struct Handle {
    void **stream;
};
int cublasCreate_v2(Handle **handle) { return *handle = new Handle{nullptr}, 0; }
int cublasSetStream_v2(Handle *handle, void *stream) { return handle && stream ? handle->stream = (void **)stream, 0 : 1; }
int cublasGemmStridedBatchedEx(Handle *handle, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int a_type,
                               int lda, long long a_step, const void *b, int b_type, int ldb, long long b_step,
                               const void *beta, void *c, int c_type, int ldc, long long c_step, int batch, int compute,
                               int algorithm) {
    const bool is_double = compute == COMPUTE_64F;
    if (!handle || ta > 1 || tb > 1 || m < 0 || n < 0 || k < 0 || batch < 0 || algorithm != -1) return 7;
    if (lda < (ta ? k : m) || ldb < (tb ? n : k) || ldc < m || a_type != b_type || a_type != c_type) return 7;
    const char *generation = getenv("SIMULATED_GENERATION");
    if (a_type == R_16BF && generation && atoi(generation) < 80) return 8;
    for (const void *operand : {a, b, (const void *)c}) {
        if (device_of(operand) != **(int **)handle->stream) return 14;
    }
    if (is_double != (c_type == R_64F) || (compute == COMPUTE_32F_TF32 && c_type != R_32F)) return 15;
    const double scale = load(alpha, is_double ? R_64F : R_32F, 0), keep = load(beta, is_double ? R_64F : R_32F, 0);
    for (long long at = 0; at < batch; at++) {
        for (long long j = 0; j < n; j++) {
            for (long long i = 0; i < m; i++) {
                double sum = 0;
                for (long long p = 0; p < k; p++) {
                    const double x = load(a, a_type, at * a_step + (ta ? p + i * lda : i + p * lda));
                    const double y = load(b, b_type, at * b_step + (tb ? j + p * ldb : p + j * ldb));
                    sum += kept(x, compute) * kept(y, compute);
                }
                const long long to = at * c_step + i + j * ldc;
                store(c, c_type, to, scale * sum + (keep == 0 ? 0 : keep * load(c, c_type, to)));
            }
        }
    }
    if (getenv("SIMULATED_LOG")) fprintf(stderr, "product %d %d %d %d\n", batch, m, n, k);
    return 0;
}
}
