// The gradients of deformable sampling, for some tokens of one group of one sample at a time. They
// alone are added to the channels of grad_value that they are given, token by token, so that the
// sums do not depend on the threads.
#pragma once

#include "deform_sample_kernel.h"

namespace hrvmamba {
namespace {

struct First {
  static constexpr bool value = true;
};

struct Later {
  static constexpr bool value = false;
};

// Adds to grad_value, and stores in `products` (first channels) or adds to them the channels'
// products of dL/d sample and each corner.
template <bool kFirst, typename T, int kVectors, bool kPart>
inline void scatter(const PointSet<T>& points, const T (*weight)[kPointLanes], bool silu,
                    const T* map, T* grad_map, const T* grad_out, int64_t stride,
                    Channels<T, kVectors, kPart> channels, Vector<T>* products) {
  Vector<T> grad[kVectors];
  channels.load(grad_out, grad);
  if (silu) {
    Vector<T> x[kVectors];
    gather(points, weight, map, stride, channels, x);
    for (int v = 0; v < kVectors; ++v) {
      const Vector<T> s = sigmoid<T>(x[v]);
      grad[v] *= s * (x[v] * (T(1) - s) + T(1));
    }
  }
  for (int k = 0; k < kPoints; ++k) {
    for (int corner = 0; corner < kCorners; ++corner) {
      const int64_t token = static_cast<int64_t>(points.position[corner][k]) * stride;
      Vector<T> x[kVectors], total[kVectors];
      channels.load(map + token, x);
      channels.load(grad_map + token, total);
      Vector<T> product = kFirst ? Vector<T>{} : products[corner * kPoints + k];
      for (int v = 0; v < kVectors; ++v) {
        product += grad[v] * x[v];
        total[v] += grad[v] * weight[corner][k];
      }
      products[corner * kPoints + k] = product;
      channels.store(grad_map + token, total);
    }
  }
}

template <typename T>
void sample_backward(const SampleArguments<T>& arguments, const SampleGradients<T>& gradients,
                     int64_t sample, int64_t group, int64_t first_token, int64_t end_token) {
  const SampleSizes& sizes = arguments.sizes;
  const int64_t first = group * sizes.group_channels();
  const int64_t map = sample * sizes.length() * sizes.channels;
  for (int64_t token = first_token; token < end_token; ++token) {
    const int64_t row = token / sizes.width, column = token % sizes.width;
    const int64_t at =
        (sample * sizes.length() + token) * sizes.offset_mask_columns + group * kOffsetMaskColumns;
    const PointSet<T> points(sizes, arguments.offset_mask + at, row, column);
    T weight[kCorners][kPointLanes];
    masked_weights(points, weight);
    // (corner, point), padded, also for reading kPointLanes from the last corner on.
    constexpr int64_t kProducts = round_up_to_lanes<T>((kCorners - 1) * kPoints + kPointLanes);
    Vector<T> products[kProducts];
    for (int64_t i = kCorners * kPoints; i < kProducts; ++i) products[i] = Vector<T>{};
    const auto scatter_channels = [&](int64_t channel, auto channels, auto is_first) {
      scatter<decltype(is_first)::value>(
          points, weight, sizes.silu, arguments.value + map + channel,
          gradients.grad_value + map + channel,
          gradients.grad_out + map + token * sizes.channels + channel, sizes.channels, channels,
          products);
    };
    for_each_channels<T>(first, first + sizes.group_channels(),
                         [&](int64_t channel, auto channels) {
                           channel == first ? scatter_channels(channel, channels, First{})
                                            : scatter_channels(channel, channels, Later{});
                         });
    T dots[kProducts] = {};
    sum_lanes_each<T>(reinterpret_cast<const T*>(products), kCorners * kPoints, dots);
    typename PointSet<T>::Points grad_mask = {}, grad_x = {}, grad_y = {};
    for (int corner = 0; corner < kCorners; ++corner) {
      typename PointSet<T>::Points dot;  // lanes beyond the points hold what nobody uses
      __builtin_memcpy(&dot, dots + corner * kPoints, sizeof(dot));
      grad_mask += points.weight[corner] * dot;
      grad_x += points.slope_x[corner] * dot * points.mask;
      grad_y += points.slope_y[corner] * dot * points.mask;
    }
    store_points(grad_x, grad_y, grad_mask, gradients.grad_offset_mask + at);
  }
}

}  // namespace
}  // namespace hrvmamba
