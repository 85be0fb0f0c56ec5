// What the scan's kernels share on every device: sizes, and the four paths through a map.
#pragma once

#include <cstdint>

#include "host_device.h"

namespace hrvmamba {

constexpr int kDirections = 4;

// Elements are contiguous, in the order given in the comments.
struct ScanSizes {
  int64_t batch;
  int64_t height;
  int64_t width;
  int64_t channels;
  int64_t dt_rank;
  int64_t d_state;

  HRVMAMBA_HOST_DEVICE int64_t length() const { return height * width; }
  // Columns of ssm_params for one direction: dt_low, B, C.
  HRVMAMBA_HOST_DEVICE int64_t params() const { return dt_rank + 2 * d_state; }
};

template <typename T>
struct ScanArguments {
  ScanSizes sizes;
  const T* u;           // (batch, height, width, channels)
  const T* ssm_params;  // (batch, height, width, 4, params)
  const T* dt_weight;   // (4, channels, dt_rank)
  const T* dt_bias;     // (4, channels)
  const T* A_log;       // (4, channels, d_state)
  const T* D;           // (4, channels)
};

// Tokens in the order of a direction: `lines` runs of `steps` tokens.
struct ScanPath {
  int64_t first;
  int64_t lines;
  int64_t line_stride;
  int64_t steps;
  int64_t step_stride;
};

// Direction 0 walks row by row, 1 column by column, 2 is 0 reversed and 3 is 1 reversed.
HRVMAMBA_HOST_DEVICE inline ScanPath scan_path(int direction, int64_t height, int64_t width) {
  const bool columns = direction % 2 == 1;
  ScanPath path =
      columns ? ScanPath{0, width, 1, height, width} : ScanPath{0, height, width, width, 1};
  if (direction >= 2) {
    path.first = height * width - 1;
    path.line_stride = -path.line_stride;
    path.step_stride = -path.step_stride;
  }
  return path;
}

// The tokens of a path, one after another.
class PathTokens {
 public:
  HRVMAMBA_HOST_DEVICE explicit PathTokens(const ScanPath& path)
      : path_(path), line_first_(path.first), token_(path.first), step_(0) {}

  HRVMAMBA_HOST_DEVICE int64_t next() {
    const int64_t token = token_;
    token_ += path_.step_stride;
    if (++step_ == path_.steps) {
      line_first_ += path_.line_stride;
      token_ = line_first_;
      step_ = 0;
    }
    return token;
  }

 private:
  const ScanPath path_;
  int64_t line_first_;
  int64_t token_;
  int64_t step_;
};

}  // namespace hrvmamba
