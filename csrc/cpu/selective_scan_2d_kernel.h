// The forward scan of one sample and one block of channels: channels in vectors, tokens in turn,
// but for dt, which is computed for a tile of tokens at a time, so that dt_weight is read once for
// all of them.
#pragma once

#include "channels.h"
#include "kernels.h"

namespace hrvmamba {
namespace {

constexpr int kScanTokens = 4;  // of a tile

// Tokens that follow one another on a path. Where the path ends within a tile, its last token
// stands in for those missing, and what is computed for them is not used.
template <int kTokens>
struct TokenTile {
  int64_t tokens[kTokens];
  int count;

  TokenTile(PathTokens& path, int64_t left)
      : count(left < kTokens ? static_cast<int>(left) : kTokens) {
    for (int i = 0; i < kTokens; ++i) tokens[i] = i < count ? path.next() : tokens[i - 1];
  }
};

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
    fill(arguments.dt_weight + first * sizes.dt_rank, channels.size(), sizes.dt_rank, dt_weight);
    fill(arguments.A_log + first * sizes.d_state, channels.size(), sizes.d_state, A);
    for (int64_t i = 0; i < sizes.d_state * kStride; i += kLanes<T>)
      store_vector(A + i, -exp(load_vector(A + i)));
    channels.load(arguments.dt_bias + first, dt_bias);
    channels.load(arguments.D + first, D);
  }

  // Channels beyond those given get zeros.
  static void fill(const T* source, int64_t channels, int64_t columns, T* target) {
    if (channels < kStride) {
      for (int64_t i = 0; i < columns * kStride; ++i) target[i] = 0;
    }
    transpose(source, columns, channels, columns, target, kStride);
  }

  // softplus(dt_weight @ dt_low + dt_bias), where a token's dt_low is at params + token * row.
  template <int kTokens>
  void dt(const T* params, int64_t row, int64_t dt_rank, const TokenTile<kTokens>& tile,
          Vector<T> (&result)[kTokens][kVectors]) const {
    const T* dt_low[kTokens];
    for (int i = 0; i < kTokens; ++i) {
      dt_low[i] = params + tile.tokens[i] * row;
      for (int v = 0; v < kVectors; ++v) result[i][v] = dt_bias[v];
    }
    for (int64_t rank = 0; rank < dt_rank; ++rank) {
      Vector<T> weight[kVectors];
      for (int v = 0; v < kVectors; ++v) {
        weight[v] = load_vector(dt_weight + rank * kStride + v * kLanes<T>);
      }
      for (int i = 0; i < kTokens; ++i) {
        const Vector<T> low = broadcast(dt_low[i][rank]);
        for (int v = 0; v < kVectors; ++v) result[i][v] += weight[v] * low;
      }
    }
    for (int i = 0; i < kTokens; ++i) {
      for (int v = 0; v < kVectors; ++v) result[i][v] = softplus(result[i][v]);
    }
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
  PathTokens path(scan_path(direction, sizes.height, sizes.width));
  for (int64_t left = sizes.length(); left > 0; left -= kScanTokens) {
    const TokenTile<kScanTokens> tile(path, left);
    Vector<T> dt_tile[kScanTokens][kVectors];
    weights.dt(params_map, kDirections * params, sizes.dt_rank, tile, dt_tile);
    for (int i = 0; i < tile.count; ++i) {
      const int64_t token = tile.tokens[i];
      const Vector<T>* dt = dt_tile[i];
      const T* B = params_map + token * kDirections * params + sizes.dt_rank;
      const T* C = B + d_state;
      Vector<T> u[kVectors], out[kVectors];
      channels.load(u_map + token * sizes.channels, u);
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
