// Deformable sampling on a CUDA device. An item is a token and a group. A block takes some items at
// a time: its threads work out their nine points together, then each gathers a pack of channels.
#pragma once

#include <cmath>
#include <cstdint>
#include <initializer_list>

#include "../common/deform_sample.h"
#include "device.cuh"

namespace hrvmamba {
namespace {

constexpr int kCorners = 4;  // (row, column): (0, 0), (0, 1), (1, 0), (1, 1)
constexpr int kSampleThreads = 128;
constexpr int kMaxItems = 32;  // of a block at a time: what shared memory is set aside for

// A thread's channels: 16 bytes at once where every group is whole packs of that, else one.
template <typename Element>
constexpr int kPackChannels = 16 / sizeof(Element);

template <typename Element>
inline bool whole_packs(const SampleSizes& sizes, std::initializer_list<const Element*> maps) {
  bool whole = sizes.group_channels() % kPackChannels<Element> == 0;
  for (const Element* map : maps) whole = whole && reinterpret_cast<uintptr_t>(map) % 16 == 0;
  return whole;
}

struct SampleTiling {
  uint32_t lanes;  // threads of an item
  uint32_t items;  // of a block at a time
  uint32_t blocks;

  HRVMAMBA_HOST_DEVICE uint32_t threads() const { return lanes * items; }
};

template <int kChannels>
inline SampleTiling sample_tiling(const SampleSizes& sizes) {
  const int64_t packs = (sizes.group_channels() + kChannels - 1) / kChannels;
  const int64_t rounds = (packs + kSampleThreads - 1) / kSampleThreads;
  const int64_t lanes = (packs + rounds - 1) / rounds;
  const int64_t fitting = kSampleThreads / lanes;
  const int64_t items = fitting < kMaxItems ? fitting : kMaxItems;
  const int64_t blocks = (sizes.batch * sizes.length() * sizes.groups + items - 1) / items;
  constexpr int64_t kMaxBlocks = INT32_MAX;  // a block that is not started is another's next one
  return {static_cast<uint32_t>(lanes), static_cast<uint32_t>(items),
          static_cast<uint32_t>(blocks < kMaxBlocks ? blocks : kMaxBlocks)};
}

struct SampleItem {
  int64_t sample;
  uint32_t token;  // in its sample
  uint32_t group;
};

// The items of a block: the groups of a token, then those of the next one.
class SampleItems {
 public:
  HRVMAMBA_DEVICE SampleItems(const SampleSizes& sizes, int64_t first)
      : length_(static_cast<uint32_t>(sizes.length())),
        groups_(static_cast<uint32_t>(sizes.groups)) {
    const int64_t token = first / groups_;
    group_ = static_cast<uint32_t>(first - token * groups_);
    sample_ = token / length_;
    token_ = static_cast<uint32_t>(token - sample_ * length_);
  }

  HRVMAMBA_DEVICE SampleItem operator[](uint32_t item) const {
    const uint32_t groups = group_ + item, tokens = token_ + groups / groups_;
    return {sample_ + tokens / length_, tokens % length_, groups % groups_};
  }

 private:
  uint32_t length_, groups_;
  int64_t sample_;  // of the first item
  uint32_t token_, group_;
};

// Where one of the nine points of an item lies: the bilinear kernel along each axis and its slope,
// both 0 on a side that is outside the map.
struct SamplePoint {
  float mask;
  float left, right, top, bottom;
  float slope_left, slope_right, slope_top, slope_bottom;
  uint32_t position[kCorners];  // tokens of the map; for a corner outside of it, one within

  // `offset_mask` is the group's.
  template <typename Element>
  HRVMAMBA_DEVICE SamplePoint(const SampleSizes& sizes, const Element* offset_mask, uint32_t token,
                              int k) {
    const int32_t width = static_cast<int32_t>(sizes.width);
    const int32_t height = static_cast<int32_t>(sizes.height);
    const int32_t row = static_cast<int32_t>(token) / width;
    const int32_t column = static_cast<int32_t>(token) - row * width;
    mask = to_float(offset_mask[2 * kPoints + k]);
    float x = to_float(offset_mask[2 * k]) + static_cast<float>(column + k / 3 - 1);
    float y = to_float(offset_mask[2 * k + 1]) + static_cast<float>(row + k % 3 - 1);
    // False for NaN too. A point that is outside by a pixel or more touches no corner.
    const bool inside =
        x > -1.0f && x < static_cast<float>(width) && y > -1.0f && y < static_cast<float>(height);
    x = inside ? x : 0.0f;
    y = inside ? y : 0.0f;
    const float floor_x = floorf(x), floor_y = floorf(y);
    const int32_t first_column = static_cast<int32_t>(floor_x), last_column = first_column + 1;
    const int32_t first_row = static_cast<int32_t>(floor_y), last_row = first_row + 1;
    const bool has_left = inside && first_column >= 0, has_right = inside && last_column < width;
    const bool has_top = inside && first_row >= 0, has_bottom = inside && last_row < height;
    left = has_left ? 1.0f - (x - floor_x) : 0.0f;
    right = has_right ? x - floor_x : 0.0f;
    top = has_top ? 1.0f - (y - floor_y) : 0.0f;
    bottom = has_bottom ? y - floor_y : 0.0f;
    slope_left = has_left ? -1.0f : 0.0f;
    slope_right = has_right ? 1.0f : 0.0f;
    slope_top = has_top ? -1.0f : 0.0f;
    slope_bottom = has_bottom ? 1.0f : 0.0f;
    const int32_t above = (first_row >= 0 ? first_row : last_row) * width;
    const int32_t below = (last_row < height ? last_row : first_row) * width;
    const int32_t before = first_column >= 0 ? first_column : last_column;
    const int32_t after = last_column < width ? last_column : first_column;
    position[0] = static_cast<uint32_t>(above + before);
    position[1] = static_cast<uint32_t>(above + after);
    position[2] = static_cast<uint32_t>(below + before);
    position[3] = static_cast<uint32_t>(below + after);
  }
};

// What the threads of an item need of a point: corners, and their weights with the mask.
struct PointCorners {
  alignas(16) float weight[kCorners];
  alignas(16) uint32_t position[kCorners];
};

template <typename Element>
HRVMAMBA_DEVICE const Element* offset_mask_of(const SampleArguments<Element>& arguments,
                                              const SampleItem& item) {
  const SampleSizes& sizes = arguments.sizes;
  return arguments.offset_mask +
         (item.sample * sizes.length() + item.token) * sizes.offset_mask_columns +
         item.group * kOffsetMaskColumns;
}

// The block's threads fill `corners`, (item, point), for `count` items.
template <typename Element>
HRVMAMBA_DEVICE void find_corners(const SampleArguments<Element>& arguments,
                                  const SampleItems& items, uint32_t count, PointCorners* corners) {
  for (uint32_t i = threadIdx.x; i < count * kPoints; i += blockDim.x) {
    const SampleItem item = items[i / kPoints];
    const SamplePoint point(arguments.sizes, offset_mask_of(arguments, item), item.token,
                            static_cast<int>(i % kPoints));
    const float top = point.top * point.mask, bottom = point.bottom * point.mask;
    corners[i] = {{top * point.left, top * point.right, bottom * point.left, bottom * point.right},
                  {point.position[0], point.position[1], point.position[2], point.position[3]}};
  }
}

// The samples of a pack of channels, before SiLU. `map` is the sample's first token, at these.
template <int kChannels, typename Element>
HRVMAMBA_DEVICE void gather(const PointCorners* corners, const Element* map, uint32_t stride,
                            float (&sum)[kChannels]) {
#pragma unroll
  for (int c = 0; c < kChannels; ++c) sum[c] = 0.0f;
#pragma unroll 3  // a dozen loads under way; all 36 would take more registers than there are
  for (int k = 0; k < kPoints; ++k) {
    const PointCorners point = corners[k];
#pragma unroll
    for (int corner = 0; corner < kCorners; ++corner) {
      const auto value =
          load_pack<kChannels>(map + static_cast<uint64_t>(point.position[corner]) * stride);
#pragma unroll
      for (int c = 0; c < kChannels; ++c) sum[c] += point.weight[corner] * to_float(value.x[c]);
    }
  }
}

template <typename Element, int kChannels>
__global__ void __launch_bounds__(kSampleThreads, 8)
    sample_kernel(SampleArguments<Element> arguments, SampleTiling tiling, Element* out) {
  __shared__ PointCorners corners[kMaxItems * kPoints];
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
      for (uint32_t c = lane * kChannels; c < group_channels; c += tiling.lanes * kChannels) {
        const uint32_t channel = item.group * group_channels + c;
        float sum[kChannels];
        gather<kChannels>(corners + own * kPoints, arguments.value + map + channel, stride, sum);
        Pack<Element, kChannels> result;
#pragma unroll
        for (int i = 0; i < kChannels; ++i) {
          result.x[i] = from_float<Element>(sizes.silu ? sum[i] * sigmoid_fast(sum[i]) : sum[i]);
        }
        store_pack(out + map + static_cast<uint64_t>(item.token) * stride + channel, result);
      }
    }
    __syncthreads();  // the next items' corners take the place of these
  }
}

}  // namespace
}  // namespace hrvmamba
