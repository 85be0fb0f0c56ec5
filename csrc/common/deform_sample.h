// What the sampling's kernels share on every device: sizes, and the layout of offsets and masks.
#pragma once

#include <cstdint>

#include "host_device.h"

namespace hrvmamba {

constexpr int kPoints = 9;
constexpr int kOffsetMaskColumns = 3 * kPoints;  // of a group: 9 pairs (dx, dy), then 9 masks

struct SampleSizes {
  int64_t batch;
  int64_t height;
  int64_t width;
  int64_t channels;
  int64_t groups;
  int64_t offset_mask_columns;
  bool silu;  // whether SiLU follows the sampling

  HRVMAMBA_HOST_DEVICE int64_t length() const { return height * width; }
  HRVMAMBA_HOST_DEVICE int64_t group_channels() const { return channels / groups; }
};

template <typename T>
struct SampleArguments {
  SampleSizes sizes;
  const T* value;        // (batch, height, width, channels)
  const T* offset_mask;  // (batch, height, width, offset_mask_columns)
};

}  // namespace hrvmamba
