// Vectors of the instruction set that a file is compiled for, with the functions the kernels need.
//
// Everything here is in an unnamed namespace and free of library templates: a file compiled for
// AVX-512 must not leave a function behind that the linker could choose for other files too.
#pragma once

#include <cstdint>

#if defined(__AVX512F__)
#define HRVMAMBA_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define HRVMAMBA_VECTOR_BYTES 32
#else
#define HRVMAMBA_VECTOR_BYTES 16
#endif

namespace hrvmamba {
namespace {

template <typename T>
struct VectorTraits;

template <>
struct VectorTraits<float> {
  typedef float Vector __attribute__((vector_size(HRVMAMBA_VECTOR_BYTES)));
  typedef int32_t Integers __attribute__((vector_size(HRVMAMBA_VECTOR_BYTES)));
  static constexpr int kLanes = HRVMAMBA_VECTOR_BYTES / sizeof(float);
};

template <>
struct VectorTraits<double> {
  typedef double Vector __attribute__((vector_size(HRVMAMBA_VECTOR_BYTES)));
  typedef int64_t Integers __attribute__((vector_size(HRVMAMBA_VECTOR_BYTES)));
  static constexpr int kLanes = HRVMAMBA_VECTOR_BYTES / sizeof(double);
};

template <typename T>
using Vector = typename VectorTraits<T>::Vector;

template <typename T>
constexpr int kLanes = VectorTraits<T>::kLanes;

template <typename T>
inline Vector<T> load_vector(const T* source) {
  Vector<T> x;
  __builtin_memcpy(&x, source, sizeof(x));
  return x;
}

template <typename T>
inline void store_vector(T* target, Vector<T> x) {
  __builtin_memcpy(target, &x, sizeof(x));
}

// The first `count` lanes; the others are zero.
template <typename T>
inline Vector<T> load_part(const T* source, int count) {
  Vector<T> x = {};
  for (int lane = 0; lane < count; ++lane) x[lane] = source[lane];
  return x;
}

template <typename T>
inline void store_part(T* target, Vector<T> x, int count) {
  for (int lane = 0; lane < count; ++lane) target[lane] = x[lane];
}

template <typename T>
inline Vector<T> broadcast(T x) {
  return x - Vector<T>{};  // exact, for -0 too
}

#if HRVMAMBA_VECTOR_BYTES == 64 && __has_builtin(__builtin_shufflevector)
// Lanes of the sum hold a's where the lane's number lacks the bit `kBit`, and b's where it has it:
// each the sum of two lanes whose numbers differ in that bit.
template <int kBit>
inline Vector<float> add_across(Vector<float> a, Vector<float> b) {
#define HRVMAMBA_LANE(lane, other) \
  ((((lane) & kBit) ? 16 : 0) + ((other) ? ((lane) ^ kBit) : (lane)))
#define HRVMAMBA_LANES(other)                                                       \
  HRVMAMBA_LANE(0, other), HRVMAMBA_LANE(1, other), HRVMAMBA_LANE(2, other),        \
      HRVMAMBA_LANE(3, other), HRVMAMBA_LANE(4, other), HRVMAMBA_LANE(5, other),    \
      HRVMAMBA_LANE(6, other), HRVMAMBA_LANE(7, other), HRVMAMBA_LANE(8, other),    \
      HRVMAMBA_LANE(9, other), HRVMAMBA_LANE(10, other), HRVMAMBA_LANE(11, other),  \
      HRVMAMBA_LANE(12, other), HRVMAMBA_LANE(13, other), HRVMAMBA_LANE(14, other), \
      HRVMAMBA_LANE(15, other)
  return __builtin_shufflevector(a, b, HRVMAMBA_LANES(false)) +
         __builtin_shufflevector(a, b, HRVMAMBA_LANES(true));
#undef HRVMAMBA_LANES
#undef HRVMAMBA_LANE
}

// Lane i of the result is the sum of the i-th of 16 vectors.
inline Vector<float> sum_each(const float* x) {
  Vector<float> part[8];
  for (int i = 0; i < 8; ++i) {
    part[i] = add_across<8>(load_vector(x + 16 * i), load_vector(x + 16 * (i + 8)));
  }
  for (int i = 0; i < 4; ++i) part[i] = add_across<4>(part[i], part[i + 4]);
  for (int i = 0; i < 2; ++i) part[i] = add_across<2>(part[i], part[i + 2]);
  return add_across<1>(part[0], part[1]);
}
#endif

template <typename T>
inline T sum_lanes(Vector<T> x) {
  T total[kLanes<T>];
  __builtin_memcpy(total, &x, sizeof(x));
  for (int half = kLanes<T> / 2; half > 0; half /= 2) {
    for (int lane = 0; lane < half; ++lane) total[lane] += total[lane + half];
  }
  return total[0];
}

// result[i] = the sum of the i-th vector of x. Both have room for a multiple of kLanes.
template <typename T>
inline void sum_lanes_each(const T* x, int64_t count, T* result) {
#if HRVMAMBA_VECTOR_BYTES == 64 && __has_builtin(__builtin_shufflevector)
  if constexpr (kLanes<T> == 16) {
    for (int64_t i = 0; i < count; i += 16) store_vector(result + i, sum_each(x + i * 16));
    return;
  }
#endif
  for (int64_t i = 0; i < count; ++i) result[i] = sum_lanes<T>(load_vector(x + i * kLanes<T>));
}

template <typename T>
constexpr int64_t round_up_to_lanes(int64_t count) {
  return (count + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
}

// exp(x) = scale * (1 + fraction), where scale is a power of two and fraction = expm1 of the rest:
// what is left of x once the nearest multiple of log(2) is taken away. NaN stays NaN.
template <typename T>
struct ExpParts {
  Vector<T> scale;
  Vector<T> fraction;
};

inline ExpParts<float> exp_parts(Vector<float> x) {
  using Integers = VectorTraits<float>::Integers;
  x = x < -87.0f ? broadcast(-87.0f) : x;  // the smallest normal result is near exp(-87.3)
  x = x > 88.0f ? broadcast(88.0f) : x;
  constexpr float kRounder =
      12582912.0f;  // 1.5 * 2^23: adding it leaves an integer in the low bits
  const Vector<float> shifted = x * 1.44269504f + kRounder;
  const Vector<float> multiple = shifted - kRounder;
  // log(2) in two parts, so that the product of the first with an integer is exact.
  const Vector<float> r = (x - multiple * 0.693145752f) - multiple * 1.42860677e-6f;
  // Minimax polynomial of expm1(r) / r on |r| <= log(2) / 2; relative error 1.2e-8.
  Vector<float> p = r * 0.00139497856f + 0.00836987202f;
  p = p * r + 0.0416662233f;
  p = p * r + 0.166664987f;
  p = p * r + 0.500000009f;
  p = p * r + 1.0f;
  const Integers exponent = (Integers)shifted - 0x4B400000;  // the bits of kRounder
  return {(Vector<float>)((exponent + 127) << 23), p * r};
}

inline Vector<float> exp(Vector<float> x) {
  const ExpParts<float> parts = exp_parts(x);
  return parts.scale + parts.scale * parts.fraction;
}

// 1 - exp(x), without loss of relative precision near 0.
inline Vector<float> one_minus_exp(Vector<float> x) {
  const ExpParts<float> parts = exp_parts(x);
  return (1.0f - parts.scale) - parts.scale * parts.fraction;
}

inline Vector<float> softplus(Vector<float> x) {
  const Vector<float> t = exp(x < 0.0f ? x : -x);
  // log(1 + t) = 2 artanh(s) with s = t / (2 + t) <= 1/3; minimax in s^2, relative error 4e-9.
  const Vector<float> s = t / (t + 2.0f);
  const Vector<float> z = s * s;
  Vector<float> p = z * 0.281915468f + 0.279576659f;
  p = p * z + 0.400251143f;
  p = p * z + 0.666663101f;
  p = p * z + 2.0f;
  return p * s + (x > 0.0f ? x : Vector<float>{});
}

// Double precision is for gradient checks: lane by lane, to the last bits.
inline Vector<double> exp(Vector<double> x) {
  for (int lane = 0; lane < kLanes<double>; ++lane) x[lane] = __builtin_exp(x[lane]);
  return x;
}

inline Vector<double> one_minus_exp(Vector<double> x) {
  for (int lane = 0; lane < kLanes<double>; ++lane) x[lane] = -__builtin_expm1(x[lane]);
  return x;
}

inline Vector<double> softplus(Vector<double> x) {
  for (int lane = 0; lane < kLanes<double>; ++lane) {
    const double v = x[lane];
    x[lane] = __builtin_log1p(__builtin_exp(v < 0 ? v : -v)) + (v > 0 ? v : 0);
  }
  return x;
}

template <typename T>
inline Vector<T> sigmoid(Vector<T> x) {
  const Vector<T> t = exp(x < T(0) ? x : -x);
  return (x < T(0) ? t : broadcast(T(1))) / (t + T(1));
}

}  // namespace
}  // namespace hrvmamba
