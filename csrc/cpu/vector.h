// Vectors of the instruction set that a file is compiled for, with the functions the kernels need.
//
// Everything here is in an unnamed namespace and free of library templates: a file compiled for
// AVX-512 must not leave a function behind that the linker could choose for other files too.
#pragma once

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

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
#define HRVMAMBA_SHUFFLES  // of 16 lanes of float
#endif

#ifdef HRVMAMBA_SHUFFLES
#define HRVMAMBA_LANES(lane)                                                                \
  lane(0), lane(1), lane(2), lane(3), lane(4), lane(5), lane(6), lane(7), lane(8), lane(9), \
      lane(10), lane(11), lane(12), lane(13), lane(14), lane(15)
// Where a lane's number lacks the bit `kBit`, the result has a's lane, and where it has it, b's:
// that of the same number, or of the number without or with that bit.
#define HRVMAMBA_SAME(lane) ((((lane) & kBit) ? 16 : 0) + (lane))
#define HRVMAMBA_OTHER(lane) ((((lane) & kBit) ? 16 : 0) + ((lane) ^ kBit))
#define HRVMAMBA_WITHOUT(lane) ((((lane) & kBit) ? 16 : 0) + ((lane) & ~kBit))
#define HRVMAMBA_WITH(lane) ((((lane) & kBit) ? 16 : 0) + ((lane) | kBit))

// Each lane is the sum of two whose numbers differ in the bit, of a or of b.
template <int kBit>
inline Vector<float> add_across(Vector<float> a, Vector<float> b) {
  return __builtin_shufflevector(a, b, HRVMAMBA_LANES(HRVMAMBA_SAME)) +
         __builtin_shufflevector(a, b, HRVMAMBA_LANES(HRVMAMBA_OTHER));
}

// Exchange the bit of the lanes' numbers with that of the vectors' numbers.
template <int kBit>
inline void exchange(Vector<float> (&x)[16]) {
  for (int i = 0; i < 16; ++i) {
    if (i & kBit) continue;
    const Vector<float> a = x[i], b = x[i | kBit];
    x[i] = __builtin_shufflevector(a, b, HRVMAMBA_LANES(HRVMAMBA_WITHOUT));
    x[i | kBit] = __builtin_shufflevector(a, b, HRVMAMBA_LANES(HRVMAMBA_WITH));
  }
}

inline void transpose_square(const float* source, int64_t columns, float* target, int64_t rows) {
  Vector<float> x[16];
  for (int i = 0; i < 16; ++i) x[i] = load_vector(source + i * columns);
  exchange<8>(x);
  exchange<4>(x);
  exchange<2>(x);
  exchange<1>(x);
  for (int i = 0; i < 16; ++i) store_vector(target + i * rows, x[i]);
}
#undef HRVMAMBA_WITH
#undef HRVMAMBA_WITHOUT
#undef HRVMAMBA_OTHER
#undef HRVMAMBA_SAME
#undef HRVMAMBA_LANES

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
#ifdef HRVMAMBA_SHUFFLES
  if constexpr (kLanes<T> == 16) {
    for (int64_t i = 0; i < count; i += 16) store_vector(result + i, sum_each(x + i * 16));
    return;
  }
#endif
  for (int64_t i = 0; i < count; ++i) result[i] = sum_lanes<T>(load_vector(x + i * kLanes<T>));
}

// target[column][row] = source[row][column], where the rows of source are `source_stride` apart and
// those of target `target_stride`.
template <typename T>
inline void transpose(const T* source, int64_t source_stride, int64_t rows, int64_t columns,
                      T* target, int64_t target_stride) {
  int64_t squares = 0;  // columns done by squares
#ifdef HRVMAMBA_SHUFFLES
  if constexpr (kLanes<T> == 16) {
    if (rows % 16 == 0) {
      for (; squares + 16 <= columns; squares += 16) {
        for (int64_t row = 0; row < rows; row += 16) {
          transpose_square(source + row * source_stride + squares, source_stride,
                           target + squares * target_stride + row, target_stride);
        }
      }
    }
  }
#endif
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = squares; column < columns; ++column) {
      target[column * target_stride + row] = source[row * source_stride + column];
    }
  }
}

template <typename T>
constexpr int64_t round_up_to_lanes(int64_t count) {
  return (count + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
}

#if HRVMAMBA_VECTOR_BYTES == 64
// Given to intrinsics since GCC warns of undefined values in those without a mask.
constexpr __mmask16 kAllLanes = 0xFFFF;
#endif

// x to the nearest integer, where |x| < 2^22.
inline Vector<float> nearest_integer(Vector<float> x) {
#if HRVMAMBA_VECTOR_BYTES == 64
  constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return _mm512_maskz_roundscale_ps(kAllLanes, x, kNearest);
#else
  constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: a sum with it has no fraction
  return (x + kRounder) - kRounder;
#endif
}

// x * 2^exponent, where the exponent is an integer between -126 and 127, or NaN if x is.
inline Vector<float> times_power_of_two(Vector<float> x, Vector<float> exponent) {
#if HRVMAMBA_VECTOR_BYTES == 64
  return _mm512_maskz_scalef_ps(kAllLanes, x, exponent);
#else
  const auto integers = __builtin_convertvector(exponent, VectorTraits<float>::Integers);
  return x * (Vector<float>)((integers + 127) << 23);
#endif
}

// exp(x) = 2^exponent * (1 + fraction), the exponent an integer. NaN stays NaN.
struct ExpParts {
  Vector<float> exponent;
  Vector<float> fraction;
};

inline ExpParts exp_parts(Vector<float> x) {
  x = x < -87.0f ? broadcast(-87.0f) : x;  // the smallest normal result is near exp(-87.3)
  x = x > 88.0f ? broadcast(88.0f) : x;
  const Vector<float> exponent = nearest_integer(x * 1.44269504f);
  // log(2) in two parts, so that the product of the first with an integer is exact.
  const Vector<float> r = (x - exponent * 0.693145752f) - exponent * 1.42860677e-6f;
  // Minimax polynomial of expm1(r) / r on |r| <= log(2) / 2; relative error 1.2e-8.
  Vector<float> p = r * 0.00139497856f + 0.00836987202f;
  p = p * r + 0.0416662233f;
  p = p * r + 0.166664987f;
  p = p * r + 0.500000009f;
  p = p * r + 1.0f;
  return {exponent, p * r};
}

inline Vector<float> exp(Vector<float> x) {
  const ExpParts parts = exp_parts(x);
  return times_power_of_two(1.0f + parts.fraction, parts.exponent);
}

// 1 - exp(x), without loss of relative precision near 0.
inline Vector<float> one_minus_exp(Vector<float> x) {
  const ExpParts parts = exp_parts(x);
  const Vector<float> scale = times_power_of_two(broadcast(1.0f), parts.exponent);
  return (1.0f - scale) - scale * parts.fraction;
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
