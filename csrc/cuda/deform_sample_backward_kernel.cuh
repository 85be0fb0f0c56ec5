// The gradients of deformable sampling on a CUDA device, by items as deform_sample_kernel.cuh has
// them. Those of the offsets and masks are summed in a fixed order. Those of the map meet from many
// items: they are added to float32 atomically, in no fixed order, or to 64-bit integers, whose sums
// do not depend on the order.
#pragma once

#include <cmath>
#include <cstring>

#include "deform_sample_kernel.cuh"

namespace hrvmamba {
namespace {

// Kernels over the elements of each sample: samples along y, of which a block takes every so many.
constexpr int kElementwiseThreads = 256;

inline dim3 elementwise_grid(const SampleSizes& sizes) {
  constexpr int64_t kMaxBlocks = 256, kMaxSamples = 65535;
  const int64_t blocks =
      (sizes.length() * sizes.channels + kElementwiseThreads - 1) / kElementwiseThreads;
  return dim3(static_cast<unsigned>(blocks < kMaxBlocks ? blocks : kMaxBlocks),
              static_cast<unsigned>(sizes.batch < kMaxSamples ? sizes.batch : kMaxSamples));
}

// Sums of the map's gradient in float32.
struct FloatSums {
  float* sums;  // as value, zero at first

  // Of one sample, whose first element is `map`.
  struct Sample {
    float* sums;

    template <int kChannels>
    HRVMAMBA_DEVICE void add(uint64_t at, const float (&grad)[kChannels], float weight) const {
      if constexpr (kChannels % 4 == 0) {
#pragma unroll
        for (int c = 0; c < kChannels; c += 4) {
          atomic_add_4(sums + at + c, grad[c] * weight, grad[c + 1] * weight, grad[c + 2] * weight,
                       grad[c + 3] * weight);
        }
      } else {
#pragma unroll
        for (int c = 0; c < kChannels; ++c) atomicAdd(sums + at + c, grad[c] * weight);
      }
    }
  };

  HRVMAMBA_DEVICE Sample of(int64_t /* sample */, int64_t map) const { return {sums + map}; }
};

// The largest magnitudes in a sample, as bits of floats, which compare as floats without a sign do:
// infinity is above all numbers, and NaN above infinity.
struct SampleBounds {
  uint32_t grad_out;
  uint32_t mask;
  uint32_t broken;  // not 0 where a contribution to the map's gradient is infinite or NaN

  HRVMAMBA_DEVICE bool finite() const {
    constexpr uint32_t kInfinity = 0x7F800000u;
    return broken == 0 && grad_out < kInfinity && mask < kInfinity;
  }
};

HRVMAMBA_DEVICE uint32_t magnitude_bits(float x) {
  x = fabsf(x);
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  return bits;
}

// A magnitude with these bits is below 2 to the power of this.
HRVMAMBA_DEVICE int exponent_above(uint32_t bits) { return static_cast<int>(bits >> 23) - 126; }

// An element of the map's gradient gets at most one corner of each point of each token: fewer than
// 2^bits contributions.
inline int contribution_bits(const SampleSizes& sizes) {
  int bits = 0;
  while (sizes.length() * kPoints >> bits != 0) ++bits;
  return bits;
}

// Sums of the map's gradient in integers, scaled for each sample so that none overflows.
struct IntegerSums {
  unsigned long long* sums;  // as value, zero at first; two's complement
  SampleBounds* bounds;      // (batch)
  int contribution_bits;

  struct Sample {
    unsigned long long* sums;
    uint32_t* broken;
    float scale;

    template <int kChannels>
    HRVMAMBA_DEVICE void add(uint64_t at, const float (&grad)[kChannels], float weight) const {
#pragma unroll
      for (int c = 0; c < kChannels; ++c) {
        const float scaled = grad[c] * weight * scale;
        if (fabsf(scaled) < 0x1p62f) {
          atomicAdd(sums + at + c, static_cast<unsigned long long>(llrintf(scaled)));
        } else {  // infinite or NaN
          atomicMax(broken, 1u);
        }
      }
    }
  };

  HRVMAMBA_DEVICE Sample of(int64_t sample, int64_t map) const {
    return {sums + map, &bounds[sample].broken, ldexpf(1.0f, exponent(sample))};
  }

  // The integer 1 stands for 2 to the power of minus this in a sample.
  HRVMAMBA_DEVICE int exponent(int64_t sample) const {
    const int contribution = 1 +  // the slope of SiLU is below 2
                             exponent_above(bounds[sample].grad_out) +
                             exponent_above(bounds[sample].mask);
    const int exponent = 62 - contribution_bits - contribution;
    return exponent < -126 ? -126 : exponent > 126 ? 126 : exponent;  // a float holds both powers
  }
};

struct CornerDots {
  alignas(16) float x[kCorners];  // products of a corner's values and dL/d sample
};

// dL/d sample, before SiLU, of a pack of channels.
template <int kChannels, typename Element>
HRVMAMBA_DEVICE void grad_of_samples(const PointCorners* corners, const Element* map,
                                     uint32_t stride, const Element* grad_out, bool silu,
                                     float (&grad)[kChannels]) {
  const auto pack = load_pack<kChannels>(grad_out);
#pragma unroll
  for (int c = 0; c < kChannels; ++c) grad[c] = to_float(pack.x[c]);
  if (!silu) return;
  float x[kChannels];
  gather<kChannels>(corners, map, stride, x);
#pragma unroll
  for (int c = 0; c < kChannels; ++c) {
    const float s = sigmoid_fast(x[c]);
    grad[c] *= s * (x[c] * (1.0f - s) + 1.0f);
  }
}

// The gradients of one point's offset and mask, from the dots of its item's lanes in their order.
template <typename Element>
HRVMAMBA_DEVICE void write_point(const SamplePoint& point, const CornerDots* dots, uint32_t lanes,
                                 int k, Element* grad_offset_mask) {
  float dot[kCorners] = {};
  for (uint32_t lane = 0; lane < lanes; ++lane) {
    const CornerDots part = dots[lane * kPoints];
#pragma unroll
    for (int corner = 0; corner < kCorners; ++corner) dot[corner] += part.x[corner];
  }
  const float at_top = point.left * dot[0] + point.right * dot[1];
  const float at_bottom = point.left * dot[2] + point.right * dot[3];
  const float grad_x = point.top * (point.slope_left * dot[0] + point.slope_right * dot[1]) +
                       point.bottom * (point.slope_left * dot[2] + point.slope_right * dot[3]);
  const float grad_y = point.slope_top * at_top + point.slope_bottom * at_bottom;
  const float grad_mask = point.top * at_top + point.bottom * at_bottom;
  grad_offset_mask[2 * k] = from_float<Element>(grad_x * point.mask);
  grad_offset_mask[2 * k + 1] = from_float<Element>(grad_y * point.mask);
  grad_offset_mask[2 * kPoints + k] = from_float<Element>(grad_mask);
}

template <typename Element, int kChannels, typename Sums>
__global__ void __launch_bounds__(kSampleThreads, 6)
    sample_backward_kernel(SampleArguments<Element> arguments, SampleTiling tiling,
                           const Element* grad_out, Sums sums, Element* grad_offset_mask) {
  __shared__ PointCorners corners[kMaxItems * kPoints];
  __shared__ CornerDots dots[kSampleThreads * kPoints];
  const SampleSizes& sizes = arguments.sizes;
  const int64_t total = sizes.batch * sizes.length() * sizes.groups;
  const uint32_t stride = static_cast<uint32_t>(sizes.channels);
  const uint32_t group_channels = stride / static_cast<uint32_t>(sizes.groups);
  const uint32_t own = threadIdx.x / tiling.lanes, lane = threadIdx.x % tiling.lanes;
  const int64_t step = static_cast<int64_t>(gridDim.x) * tiling.items;
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * tiling.items; first < total;
       first += step) {
    const SampleItems items(sizes, first);
    const uint32_t count =
        total - first < tiling.items ? static_cast<uint32_t>(total - first) : tiling.items;
    find_corners(arguments, items, count, corners);
    __syncthreads();
    if (own < count) {
      const SampleItem item = items[own];
      const int64_t map = item.sample * sizes.length() * stride;
      const uint64_t token = static_cast<uint64_t>(item.token) * stride;
      const auto sample_sums = sums.of(item.sample, map);
      const PointCorners* own_corners = corners + own * kPoints;
      CornerDots* own_dots = dots + threadIdx.x * kPoints;
      for (uint32_t c = lane * kChannels; c < group_channels; c += tiling.lanes * kChannels) {
        const uint32_t channel = item.group * group_channels + c;
        const Element* value = arguments.value + map + channel;
        float grad[kChannels];
        grad_of_samples<kChannels>(own_corners, value, stride, grad_out + map + token + channel,
                                   sizes.silu, grad);
#pragma unroll 1
        for (int k = 0; k < kPoints; ++k) {
          const PointCorners point = own_corners[k];
          Pack<Element, kChannels> values[kCorners];  // all loads before the sums' first addition
#pragma unroll
          for (int corner = 0; corner < kCorners; ++corner) {
            values[corner] = load_pack<kChannels>(
                value + static_cast<uint64_t>(point.position[corner]) * stride);
          }
          CornerDots dot = {};
          if (c >= tiling.lanes * kChannels) dot = own_dots[k];
#pragma unroll
          for (int corner = 0; corner < kCorners; ++corner) {
#pragma unroll
            for (int i = 0; i < kChannels; ++i) {
              dot.x[corner] += grad[i] * to_float(values[corner].x[i]);
            }
            if (point.weight[corner] != 0.0f) {
              sample_sums.add(static_cast<uint64_t>(point.position[corner]) * stride + channel,
                              grad, point.weight[corner]);
            }
          }
          own_dots[k] = dot;
        }
      }
    }
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < count * kPoints; i += blockDim.x) {
      const SampleItem item = items[i / kPoints];
      const int k = static_cast<int>(i % kPoints);
      const Element* offset_mask = offset_mask_of(arguments, item);
      const SamplePoint point(sizes, offset_mask, item.token, k);
      write_point(point, dots + i / kPoints * tiling.lanes * kPoints + k, tiling.lanes, k,
                  grad_offset_mask + (offset_mask - arguments.offset_mask));
    }
    // The next barrier keeps the next items' dots from these; no thread reads the corners any more.
  }
}

// The largest magnitudes of grad_out and of the masks in each sample, into bounds that are zero.
template <typename Element>
__global__ void __launch_bounds__(kElementwiseThreads)
    sample_bounds_kernel(SampleArguments<Element> arguments, const Element* grad_out,
                         SampleBounds* bounds) {
  __shared__ uint32_t block_grad_out, block_mask;
  const SampleSizes& sizes = arguments.sizes;
  const int64_t elements = sizes.length() * sizes.channels;
  const int64_t masks = sizes.length() * sizes.groups * kPoints;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t sample = blockIdx.y; sample < sizes.batch; sample += gridDim.y) {
    if (threadIdx.x == 0) block_grad_out = block_mask = 0;
    __syncthreads();
    uint32_t most_grad_out = 0, most_mask = 0;
    for (int64_t i = first; i < elements; i += step) {
      const uint32_t bits = magnitude_bits(to_float(grad_out[sample * elements + i]));
      most_grad_out = bits > most_grad_out ? bits : most_grad_out;
    }
    for (int64_t i = first; i < masks; i += step) {
      const int64_t group = i / kPoints, token = group / sizes.groups;
      const int64_t column =
          (group - token * sizes.groups) * kOffsetMaskColumns + 2 * kPoints + (i - group * kPoints);
      const int64_t row = sample * sizes.length() + token;
      const uint32_t bits =
          magnitude_bits(to_float(arguments.offset_mask[row * sizes.offset_mask_columns + column]));
      most_mask = bits > most_mask ? bits : most_mask;
    }
    atomicMax(&block_grad_out, most_grad_out);
    atomicMax(&block_mask, most_mask);
    __syncthreads();
    if (threadIdx.x == 0) {
      atomicMax(&bounds[sample].grad_out, block_grad_out);
      atomicMax(&bounds[sample].mask, block_mask);
    }
    __syncthreads();
  }
}

// From integers to elements. A sample that something infinite or NaN went into is NaN throughout.
template <typename Element>
__global__ void __launch_bounds__(kElementwiseThreads)
    sample_sums_kernel(SampleSizes sizes, IntegerSums sums, Element* grad_value) {
  const int64_t elements = sizes.length() * sizes.channels;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t sample = blockIdx.y; sample < sizes.batch; sample += gridDim.y) {
    const float unit = sums.bounds[sample].finite() ? ldexpf(1.0f, -sums.exponent(sample)) : NAN;
    for (int64_t i = first; i < elements; i += step) {
      const int64_t at = sample * elements + i;
      const int64_t sum = static_cast<int64_t>(sums.sums[at]);
      grad_value[at] = from_float<Element>(static_cast<float>(sum) * unit);
    }
  }
}

}  // namespace
}  // namespace hrvmamba
