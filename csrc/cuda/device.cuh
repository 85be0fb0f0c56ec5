// What the CUDA kernels share: element types, packs of elements, fast functions, shuffles.
//
// A kernel is also compiled by a plain C++ compiler, for tests that run it on the host:
// tests/csrc/cuda_emulation.h, included first, then supplies CUDA's names.
#pragma once

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

#include <cstdint>

#include "../common/host_device.h"

#define HRVMAMBA_DEVICE __device__ __forceinline__

namespace hrvmamba {

constexpr int kWarpLanes = 32;

HRVMAMBA_DEVICE float to_float(float x) { return x; }
HRVMAMBA_DEVICE float to_float(__half x) { return __half2float(x); }
HRVMAMBA_DEVICE float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <typename T>
HRVMAMBA_DEVICE T from_float(float x);
template <>
HRVMAMBA_DEVICE float from_float<float>(float x) {
  return x;
}
template <>
HRVMAMBA_DEVICE __half from_float<__half>(float x) {
  return __float2half_rn(x);
}
template <>
HRVMAMBA_DEVICE __nv_bfloat16 from_float<__nv_bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}

// kCount elements that are loaded and stored at once: their address is a multiple of their size,
// which is a power of two of 16 bytes at most.
template <typename T, int kCount>
struct alignas(sizeof(T) * kCount) Pack {
  static_assert(sizeof(T) * kCount <= 16, "one load moves 16 bytes at most");
  T x[kCount];
};

template <int kCount, typename T>
HRVMAMBA_DEVICE Pack<T, kCount> load_pack(const T* source) {
  return *reinterpret_cast<const Pack<T, kCount>*>(source);
}

template <int kCount, typename T>
HRVMAMBA_DEVICE void store_pack(T* target, const Pack<T, kCount>& pack) {
  *reinterpret_cast<Pack<T, kCount>*>(target) = pack;
}

// 2^x, with relative error below 2^-22; a subnormal result is zero.
HRVMAMBA_DEVICE float exp2_fast(float x) {
#ifdef __CUDA_ARCH__
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return exp2f(x);
#endif
}

// x / y, with an error of 2 units in the last place; zero where |y| > 2^126.
HRVMAMBA_DEVICE float divide_fast(float x, float y) {
#ifdef __CUDA_ARCH__
  return __fdividef(x, y);
#else
  return x / y;
#endif
}

constexpr float kLog2e = 1.44269504f;
constexpr float kLn2 = 0.693147181f;

HRVMAMBA_DEVICE float exp_fast(float x) { return exp2_fast(x * kLog2e); }

HRVMAMBA_DEVICE float sigmoid_fast(float x) { return divide_fast(1.0f, 1.0f + exp_fast(-x)); }

// Shuffles with all lanes of the warp taking part.
constexpr unsigned kAllLanes = 0xFFFFFFFFu;

template <typename T>
HRVMAMBA_DEVICE T shuffle_xor(T x, int lanes) {
  return __shfl_xor_sync(kAllLanes, x, lanes);
}

template <typename T>
HRVMAMBA_DEVICE T shuffle_up(T x, int lanes) {
  return __shfl_up_sync(kAllLanes, x, lanes);
}

template <typename T>
HRVMAMBA_DEVICE T shuffle_down(T x, int lanes) {
  return __shfl_down_sync(kAllLanes, x, lanes);
}

template <typename T>
HRVMAMBA_DEVICE T shuffle(T x, int lane) {
  return __shfl_sync(kAllLanes, x, lane);
}

// Adds 4 floats to global memory, at an address that is a multiple of 16. Others may add to it too,
// in no fixed order. One instruction from compute capability 9.0 on.
HRVMAMBA_DEVICE void atomic_add_4(float* target, float x0, float x1, float x2, float x3) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  atomicAdd(reinterpret_cast<float4*>(target), make_float4(x0, x1, x2, x3));
#else
  atomicAdd(target, x0);
  atomicAdd(target + 1, x1);
  atomicAdd(target + 2, x2);
  atomicAdd(target + 3, x3);
#endif
}

// Dynamic shared memory, aligned to 16 bytes.
HRVMAMBA_DEVICE float* shared_floats() {
#ifdef __CUDACC__
  extern __shared__ __align__(16) unsigned char hrvmamba_shared[];
  return reinterpret_cast<float*>(hrvmamba_shared);
#else
  return reinterpret_cast<float*>(emulation::shared_memory());
#endif
}

}  // namespace hrvmamba
