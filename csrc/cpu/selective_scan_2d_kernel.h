// The forward scan of one sample and one block of channels: channels in vectors, tokens in turn.
#pragma once

#include "channels.h"
#include "kernels.h"

namespace hrvmamba {
namespace {

// One direction's weights for a block, in vectors. The arrays lie in scratch memory.
template <typename T, int kVectors>
struct BlockWeights {
  static constexpr int64_t kStride = kVectors * kLanes<T>;

  T* dt_weight;  // (dt_rank, kStride)
  T* A;          // (d_state, kStride)
  Vector<T> dt_bias[kVectors];
  Vector<T> D[kVectors];

  static int64_t scratch(const ScanSizes& sizes) {
    return (sizes.dt_rank + sizes.d_state) * kStride;
  }

  template <bool kPart>
  BlockWeights(const ScanArguments<T>& arguments, int direction, int64_t channel,
               Channels<T, kVectors, kPart> channels, T* scratch)
      : dt_weight(scratch), A(scratch + arguments.sizes.dt_rank * kStride) {
    const ScanSizes& sizes = arguments.sizes;
    const int64_t first = direction * sizes.channels + channel;
    transpose(arguments.dt_weight + first * sizes.dt_rank, sizes.dt_rank, channels.size(),
              dt_weight);
    transpose(arguments.A_log + first * sizes.d_state, sizes.d_state, channels.size(), A);
    for (int64_t i = 0; i < sizes.d_state * kStride; i += kLanes<T>)
      store_vector(A + i, -exp(load_vector(A + i)));
    channels.load(arguments.dt_bias + first, dt_bias);
    channels.load(arguments.D + first, D);
  }

  // Rows beyond those given become zeros.
  static void transpose(const T* source, int64_t columns, int64_t rows, T* target) {
    if (rows < kStride) {
      for (int64_t i = 0; i < columns * kStride; ++i) target[i] = 0;
    }
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t column = 0; column < columns; ++column) {
        target[column * kStride + row] = source[row * columns + column];
      }
    }
  }

  // softplus(dt_weight @ dt_low + dt_bias)
  void dt(const T* dt_low, int64_t dt_rank, Vector<T>* result) const {
    for (int v = 0; v < kVectors; ++v) result[v] = dt_bias[v];
    for (int64_t rank = 0; rank < dt_rank; ++rank) {
      const Vector<T> low = broadcast(dt_low[rank]);
      for (int v = 0; v < kVectors; ++v) {
        result[v] += load_vector(dt_weight + rank * kStride + v * kLanes<T>) * low;
      }
    }
    for (int v = 0; v < kVectors; ++v) result[v] = softplus(result[v]);
  }
};

template <typename T, int kVectors, bool kPart, bool kOneState>
void scan_direction(const ScanArguments<T>& arguments, int64_t sample, int64_t channel,
                    int direction, bool add, Channels<T, kVectors, kPart> channels, T* y,
                    T* scratch) {
  const ScanSizes& sizes = arguments.sizes;
  const int64_t d_state = kOneState ? 1 : sizes.d_state;
  const int64_t params = sizes.params();
  const BlockWeights<T, kVectors> weights(arguments, direction, channel, channels, scratch);
  constexpr int64_t kStride = BlockWeights<T, kVectors>::kStride;
  T* states = scratch + BlockWeights<T, kVectors>::scratch(sizes);
  Vector<T> A[kVectors];  // of the one state
  Vector<T> h[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    A[v] = load_vector(weights.A + v * kLanes<T>);
    h[v] = Vector<T>{};
  }
  if constexpr (!kOneState) {
    for (int64_t i = 0; i < d_state * kStride; ++i) states[i] = 0;
  }
  const T* u_map = arguments.u + sample * sizes.length() * sizes.channels + channel;
  const T* params_map =
      arguments.ssm_params + (sample * sizes.length() * kDirections + direction) * params;
  T* y_map = y + sample * sizes.length() * sizes.channels + channel;
  const ScanPath path = scan_path(direction, sizes.height, sizes.width);
  for (int64_t line = 0; line < path.lines; ++line) {
    int64_t token = path.first + line * path.line_stride;
    for (int64_t step = 0; step < path.steps; ++step, token += path.step_stride) {
      const T* dt_low = params_map + token * kDirections * params;
      const T* B = dt_low + sizes.dt_rank;
      const T* C = B + d_state;
      Vector<T> u[kVectors], dt[kVectors], out[kVectors];
      channels.load(u_map + token * sizes.channels, u);
      weights.dt(dt_low, sizes.dt_rank, dt);
      if constexpr (kOneState) {
        for (int v = 0; v < kVectors; ++v) {
          h[v] = exp(dt[v] * A[v]) * h[v] + dt[v] * u[v] * B[0];
          out[v] = weights.D[v] * u[v] + h[v] * C[0];
        }
      } else {
        for (int v = 0; v < kVectors; ++v) out[v] = weights.D[v] * u[v];
        for (int64_t n = 0; n < d_state; ++n) {
          for (int v = 0; v < kVectors; ++v) {
            const int64_t at = n * kStride + v * kLanes<T>;
            const Vector<T> state =
                exp(dt[v] * load_vector(weights.A + at)) * load_vector(states + at) +
                dt[v] * u[v] * B[n];
            store_vector(states + at, state);
            out[v] += state * C[n];
          }
        }
      }
      T* target = y_map + token * sizes.channels;
      if (add) {
        Vector<T> before[kVectors];
        channels.load(target, before);
        for (int v = 0; v < kVectors; ++v) out[v] += before[v];
      }
      channels.store(target, out);
    }
  }
}

template <typename T, int kVectors, bool kPart>
void scan_channels(const ScanArguments<T>& arguments, int64_t sample, int64_t channel,
                   int direction, int directions, Channels<T, kVectors, kPart> channels, T* y,
                   T* scratch) {
  for (int k = 0; k < directions; ++k) {
    if (arguments.sizes.d_state == 1) {
      scan_direction<T, kVectors, kPart, true>(arguments, sample, channel, direction + k, k > 0,
                                               channels, y, scratch);
    } else {
      scan_direction<T, kVectors, kPart, false>(arguments, sample, channel, direction + k, k > 0,
                                                channels, y, scratch);
    }
  }
}

template <typename T>
int64_t scan_block_end(const ScanSizes& sizes, int64_t channel) {
  const int64_t end = channel + kMaxChannels<T>;
  return end < sizes.channels ? end : sizes.channels;
}

template <typename T>
int64_t scan_scratch(const ScanSizes& sizes) {
  return BlockWeights<T, 2>::scratch(sizes) + sizes.d_state * kMaxChannels<T>;
}

template <typename T>
void scan(const ScanArguments<T>& arguments, int64_t sample, int64_t channel, int direction,
          int directions, T* y, T* scratch) {
  for_each_channels<T>(
      channel, scan_block_end<T>(arguments.sizes, channel), [&](int64_t first, auto channels) {
        scan_channels(arguments, sample, first, direction, directions, channels, y, scratch);
      });
}

}  // namespace
}  // namespace hrvmamba
