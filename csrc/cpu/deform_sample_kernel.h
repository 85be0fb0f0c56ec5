// Deformable sampling: the nine points of a token and group at once, then its channels in vectors.
#pragma once

#include "channels.h"
#include "kernels.h"

namespace hrvmamba {
namespace {

constexpr int kPointLanes = 16;  // the points, padded to fill vectors
constexpr int kCorners = 4;      // (row, column): (0, 0), (0, 1), (1, 0), (1, 1)

template <typename T>
struct PointTraits;

template <>
struct PointTraits<float> {
  typedef float Points __attribute__((vector_size(kPointLanes * sizeof(float))));
  using Integer = int32_t;
  typedef int32_t Integers __attribute__((vector_size(kPointLanes * sizeof(int32_t))));
};

template <>
struct PointTraits<double> {
  typedef double Points __attribute__((vector_size(kPointLanes * sizeof(double))));
  using Integer = int64_t;
  typedef int64_t Integers __attribute__((vector_size(kPointLanes * sizeof(int64_t))));
};

// A group's columns of offset_mask as vectors over the points, and back.
template <typename T>
inline void load_points(const T* source, typename PointTraits<T>::Points& x,
                        typename PointTraits<T>::Points& y, typename PointTraits<T>::Points& mask) {
#ifdef HRVMAMBA_SHUFFLES
  if constexpr (kLanes<T> == kPointLanes) {
    // All columns in two vectors, of which the second begins with column 11.
    const Vector<T> low = load_vector(source);
    const Vector<T> high = load_vector(source + kOffsetMaskColumns - kPointLanes);
    x = __builtin_shufflevector(low, high, 0, 2, 4, 6, 8, 10, 12, 14, 21, 21, 21, 21, 21, 21, 21,
                                21);
    y = __builtin_shufflevector(low, high, 1, 3, 5, 7, 9, 11, 13, 15, 22, 22, 22, 22, 22, 22, 22,
                                22);
    mask = __builtin_shufflevector(low, high, 23, 24, 25, 26, 27, 28, 29, 30, 31, 31, 31, 31, 31,
                                   31, 31, 31);
    return;
  }
#endif
  x = y = mask = typename PointTraits<T>::Points{};
  for (int k = 0; k < kPoints; ++k) {
    x[k] = source[2 * k];
    y[k] = source[2 * k + 1];
    mask[k] = source[2 * kPoints + k];
  }
}

template <typename T>
inline void store_points(const typename PointTraits<T>::Points& x,
                         const typename PointTraits<T>::Points& y,
                         const typename PointTraits<T>::Points& mask, T* target) {
#ifdef HRVMAMBA_SHUFFLES
  if constexpr (kLanes<T> == kPointLanes) {
    store_vector(target, __builtin_shufflevector(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6,
                                                 22, 7, 23));
    target[16] = x[8];
    target[17] = y[8];
    __builtin_memcpy(target + 2 * kPoints, &mask, kPoints * sizeof(T));
    return;
  }
#endif
  for (int k = 0; k < kPoints; ++k) {
    target[2 * k] = x[k];
    target[2 * k + 1] = y[k];
    target[2 * kPoints + k] = mask[k];
  }
}

// Where the nine points of a token and group lie, and what their corners weigh: a lane for each
// point. What stands for a corner outside the map is 0, and its position is one within.
template <typename T>
struct PointSet {
  using Points = typename PointTraits<T>::Points;
  using Integers = typename PointTraits<T>::Integers;

  Points mask;
  Points weight[kCorners];   // bilinear, without the mask
  Points slope_x[kCorners];  // d weight / d x
  Points slope_y[kCorners];
  Integers position[kCorners];  // of the token in the map

  // Exact: x + 1 would round up to a whole number where x lies just below one.
  static Integers floor(Points x) {
    const Integers truncated = __builtin_convertvector(x, Integers);
    return truncated + (__builtin_convertvector(truncated, Points) > x);  // true is -1
  }

  PointSet(const SampleSizes& sizes, const T* offset_mask, int64_t row, int64_t column) {
    constexpr Points kStepX = {-1, -1, -1, 0, 0, 0, 1, 1, 1};
    constexpr Points kStepY = {-1, 0, 1, -1, 0, 1, -1, 0, 1};
    Points x, y;
    load_points(offset_mask, x, y, mask);
    x += kStepX + static_cast<T>(column);
    y += kStepY + static_cast<T>(row);
    const T width = static_cast<T>(sizes.width), height = static_cast<T>(sizes.height);
    // False for NaN too. A point that is outside by a pixel or more touches no corner.
    const Integers inside = (x > T(-1)) & (x < width) & (y > T(-1)) & (y < height);
    x = inside ? x : Points{};
    y = inside ? y : Points{};
    const Integers left = floor(x), top = floor(y);
    const Integers right = left + 1, bottom = top + 1;
    const Points fraction_x = x - __builtin_convertvector(left, Points);
    const Points fraction_y = y - __builtin_convertvector(top, Points);
    using Integer = typename PointTraits<T>::Integer;
    const Integers columns = Integers{} + static_cast<Integer>(sizes.width);
    const Integers rows = Integers{} + static_cast<Integer>(sizes.height);
    const Points none = {}, one = none + T(1);
    const Points has_left = inside & (left >= 0) ? one : none;
    const Points has_right = inside & (right < columns) ? one : none;
    const Points has_top = inside & (top >= 0) ? one : none;
    const Points has_bottom = inside & (bottom < rows) ? one : none;
    const Points at_left = has_left * (one - fraction_x), at_right = has_right * fraction_x;
    const Points at_top = has_top * (one - fraction_y), at_bottom = has_bottom * fraction_y;
    weight[0] = at_top * at_left;
    weight[1] = at_top * at_right;
    weight[2] = at_bottom * at_left;
    weight[3] = at_bottom * at_right;
    slope_x[0] = -at_top * has_left;
    slope_x[1] = at_top * has_right;
    slope_x[2] = -at_bottom * has_left;
    slope_x[3] = at_bottom * has_right;
    slope_y[0] = -has_top * at_left;
    slope_y[1] = -has_top * at_right;
    slope_y[2] = has_bottom * at_left;
    slope_y[3] = has_bottom * at_right;
    const Integers first = (left >= 0 ? left : right), last = (right < columns ? right : left);
    const Integers above = (top >= 0 ? top : bottom) * columns;
    const Integers below = (bottom < rows ? bottom : top) * columns;
    position[0] = above + first;
    position[1] = above + last;
    position[2] = below + first;
    position[3] = below + last;
  }
};

// The samples of some channels of a token, before SiLU. `map` is the sample's first token, at these
// channels; `weight` the corners' weights times the masks.
template <typename T, int kVectors, bool kPart>
inline void gather(const PointSet<T>& points, const T (*weight)[kPointLanes], const T* map,
                   int64_t stride, Channels<T, kVectors, kPart> channels, Vector<T>* result) {
  Vector<T> odd[kVectors] = {};  // a second sum shortens the chain of additions
  for (int v = 0; v < kVectors; ++v) result[v] = Vector<T>{};
  for (int k = 0; k < kPoints; ++k) {
    for (int corner = 0; corner < kCorners; ++corner) {
      Vector<T> x[kVectors];
      channels.load(map + static_cast<int64_t>(points.position[corner][k]) * stride, x);
      Vector<T>* sum = corner % 2 == 0 ? result : odd;
      for (int v = 0; v < kVectors; ++v) sum[v] += x[v] * weight[corner][k];
    }
  }
  for (int v = 0; v < kVectors; ++v) result[v] += odd[v];
}

template <typename T>
inline void masked_weights(const PointSet<T>& points, T (*weight)[kPointLanes]) {
  for (int corner = 0; corner < kCorners; ++corner) {
    const auto masked = points.weight[corner] * points.mask;
    __builtin_memcpy(weight[corner], &masked, sizeof(masked));
  }
}

template <typename T>
void sample(const SampleArguments<T>& arguments, int64_t begin, int64_t end, T* out) {
  const SampleSizes& sizes = arguments.sizes;
  const int64_t group_channels = sizes.group_channels();
  for (int64_t position = begin; position < end; ++position) {
    const int64_t map = position / sizes.length() * sizes.length();
    const int64_t row = (position - map) / sizes.width, column = (position - map) % sizes.width;
    const T* offset_mask = arguments.offset_mask + position * sizes.offset_mask_columns;
    for (int64_t group = 0; group < sizes.groups; ++group) {
      const PointSet<T> points(sizes, offset_mask + group * kOffsetMaskColumns, row, column);
      T weight[kCorners][kPointLanes];
      masked_weights(points, weight);
      const int64_t first = group * group_channels;
      for_each_channels<T>(first, first + group_channels, [&](int64_t channel, auto channels) {
        Vector<T> x[2];
        gather(points, weight, arguments.value + map * sizes.channels + channel, sizes.channels,
               channels, x);
        constexpr int kVectors = decltype(channels)::kLength / kLanes<T>;
        if (sizes.silu) {
          for (int v = 0; v < kVectors; ++v) x[v] *= sigmoid<T>(x[v]);
        }
        channels.store(out + position * sizes.channels + channel, x);
      });
    }
  }
}

}  // namespace
}  // namespace hrvmamba
