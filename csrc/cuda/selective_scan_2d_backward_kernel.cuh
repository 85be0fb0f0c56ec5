// The gradients of the scan of one sample, for a block's tiles of channels in turn.
//
// For each direction, a walk along the path stores the states that enter the chunks, and a walk
// against it recomputes the states within a chunk and carries dL/dh. A thread takes the same chunks
// in both.
#pragma once

#include "selective_scan_2d_kernel.cuh"

namespace hrvmamba {

template <typename T>
struct ScanBackward {
  DeviceScanArguments<T> arguments;
  ScanGeometry geometry;
  const T* grad_y;      // (batch, height, width, channels)
  int directions;       // that a block walks: all four, or one
  int groups;           // of tiles: a block takes each groups-th
  T* grad_u;            // (batch, height, width, channels); where the plane is in shared memory
  float* planes;        // (4 / directions, batch, height, width, channels); where it is not
  float* states;        // (blocks, chunks, d_state, tile channels)
  float* grad_params;   // (groups, batch, 4, params, tokens along the path)
  float* grad_weights;  // (batch, 4, rows, channels): dt_weight, dt_bias, A_log, D
};

// Rows of the weights' gradients.
struct WeightRows {
  int dt_rank, d_state;

  HRVMAMBA_HOST_DEVICE int dt_bias() const { return dt_rank; }
  HRVMAMBA_HOST_DEVICE int A_log(int n) const { return dt_rank + 1 + n; }
  HRVMAMBA_HOST_DEVICE int D() const { return dt_rank + 1 + d_state; }
  HRVMAMBA_HOST_DEVICE int size() const { return dt_rank + d_state + 2; }
};

using BackwardShape = ScanShape<4, 4>;

// A warp's lanes are 8 chunks by 4 quads of channels, and a chunk has 4 tokens. Each function sums
// four values each over one of the two, and leaves every lane with one of the sums.

// x[i] is for token i. Lane l of a chunk returns the sum over the channels for token l.
HRVMAMBA_DEVICE float sum_channels(const float (&x)[4], int lane) {
  const bool high = lane & 2, odd = lane & 1;
  float even_sum = high ? x[2] : x[0], odd_sum = high ? x[3] : x[1];
  even_sum += shuffle_xor(high ? x[0] : x[2], 2);
  odd_sum += shuffle_xor(high ? x[1] : x[3], 2);
  return (odd ? odd_sum : even_sum) + shuffle_xor(odd ? even_sum : odd_sum, 1);
}

// x[c] is for the thread's channel c. Returns the sum over the chunks for channel
// chunk_sum_channel(lane).
HRVMAMBA_DEVICE float sum_chunks(const Channels4& x, int lane) {
  const bool high = lane & 16, odd = lane & 8;
  float even_sum = high ? x[2] : x[0], odd_sum = high ? x[3] : x[1];
  even_sum += shuffle_xor(high ? x[0] : x[2], 16);
  odd_sum += shuffle_xor(high ? x[1] : x[3], 16);
  const float sum = (odd ? odd_sum : even_sum) + shuffle_xor(odd ? even_sum : odd_sum, 8);
  return sum + shuffle_xor(sum, 4);
}

HRVMAMBA_DEVICE int chunk_sum_channel(int lane) { return lane >> 4 << 1 | (lane >> 3 & 1); }

template <typename T, bool kOneState, bool kSharedPlane>
class BlockBackward : public BlockScan<BackwardShape> {
 public:
  HRVMAMBA_DEVICE BlockBackward(const ScanBackward<T>& backward, float* shared)
      : BlockScan<BackwardShape>(backward.geometry, shared),
        backward_(backward),
        arguments_(backward.arguments),
        rows_{g_.dt_rank, g_.d_state},
        d_state_(kOneState ? 1 : g_.d_state),
        group_(static_cast<int>(blockIdx.x) % backward.groups),
        sample_(static_cast<int>(blockIdx.x) / backward.groups % g_.batch),
        part_(static_cast<int>(blockIdx.x) / backward.groups / g_.batch) {}

  HRVMAMBA_DEVICE void run() {
    clear();
#pragma unroll 1
    for (tile_ = group_; tile_ < g_.tiles; tile_ += backward_.groups) {
      channels_ = thread_channels(tile_, arguments_.aligned);
      map_ = sample_ * map_size() + channels_.first;
#pragma unroll 1
      for (int k = 0; k < backward_.directions; ++k) {
        const int direction = part_ * backward_.directions + k;
        const ThreadWeights weights(arguments_, direction * g_.channels + channels_.first,
                                    channels_.count);
        walk(direction, weights);
        walk_back(direction, weights, k > 0);
        write_weights(direction);
      }
      if constexpr (kSharedPlane) write_plane(backward_.grad_u + sample_ * map_size(), channels_);
    }
  }

 private:
  HRVMAMBA_DEVICE int64_t map_size() const { return static_cast<int64_t>(g_.length) * g_.channels; }

  // Where the state that enters the thread's chunk is kept.
  HRVMAMBA_DEVICE float* chunk_state(int begin, int n) const {
    const int chunks = (g_.length + g_.span - 1) / g_.span * (g_.span / kTokens);
    const int64_t chunk = static_cast<int64_t>(blockIdx.x) * chunks + begin / kTokens + chunk_;
    return backward_.states + (chunk * d_state_ + n) * kTile + column_;
  }

  // Stores the states that enter the chunks.
  HRVMAMBA_DEVICE void walk(int direction, const ThreadWeights& weights) {
    load_weights(arguments_, direction, tile_);
    clear_carry();
    int step = 0;
#pragma unroll 1
    for (int begin = 0; begin < g_.length; begin += g_.span, ++step) {
      const int time = chunk_time(begin);
      Pack<T, 4> u[kTokens];
      channels_.load_chunk(arguments_.u + map_, g_.channels, Walk(g_.paths[direction], time),
                           g_.length - time, u);
      stage_rows(arguments_, sample_, direction, begin);
      __syncthreads();
      Chunk dt;
      project_dt(weights.dt_bias, dt);
#pragma unroll
      for (int i = 0; i < kTokens; ++i) {
#pragma unroll
        for (int c = 0; c < kThreadChannels; ++c) {
          dt[i][c] = softplus2(dt[i][c], exp2_fast(-fabsf(dt[i][c])));
        }
      }
#pragma unroll 1
      for (int n = 0; n < d_state_; ++n, ++turn_) {
        Channels4 decay_rate, product = {1.0f, 1.0f, 1.0f, 1.0f}, h = {}, state;
        load_four(A(n), decay_rate);
#pragma unroll
        for (int i = 0; i < kTokens; ++i) {
          const float B = row(i)[g_.state_place(n)];
#pragma unroll
          for (int c = 0; c < kThreadChannels; ++c) {
            const float decay = exp2_fast(dt[i][c] * decay_rate[c]);
            h[c] = fmaf(decay, h[c], dt[i][c] * to_float(u[i].x[c]) * B);
            product[c] *= decay;
          }
        }
        enter<false>(product, h, turn_, step, n, state);
        store_four(chunk_state(begin, n), state);
      }
    }
    __syncthreads();
    clear_carry();
  }

  HRVMAMBA_DEVICE void walk_back(int direction, const ThreadWeights& weights, bool add) {
    Channels4 grad_dt_bias = {}, grad_A = {}, grad_D = {};
    int step = 0;
#pragma unroll 1
    for (int begin = (g_.length - 1) / g_.span * g_.span; begin >= 0; begin -= g_.span, ++step) {
      const int time = chunk_time(begin);
      const int tokens = g_.length - time;
      const Walk start(g_.paths[direction], time);
      Pack<T, 4> u[kTokens], grad_y[kTokens];
      channels_.load_chunk(arguments_.u + map_, g_.channels, start, tokens, u);
      channels_.load_chunk(backward_.grad_y + map_, g_.channels, start, tokens, grad_y);
      __syncthreads();  // the rows are free
      stage_rows(arguments_, sample_, direction, begin);
      __syncthreads();
      Chunk dt, slope, grad_u, grad_dt;  // dt and slope, its derivative, in units of ln(2)
      project_dt(weights.dt_bias, dt);
#pragma unroll
      for (int i = 0; i < kTokens; ++i) {
#pragma unroll
        for (int c = 0; c < kThreadChannels; ++c) {
          const float x = dt[i][c], t = exp2_fast(-fabsf(x));
          dt[i][c] = softplus2(x, t);
          slope[i][c] = divide_fast(x < 0.0f ? t : 1.0f, 1.0f + t);
        }
      }
#pragma unroll 1
      for (int n = 0; n < d_state_; ++n, ++turn_) {
        if constexpr (!kOneState) {
          for (int c = 0; c < kThreadChannels; ++c) grad_A[c] = 0.0f;
        }
        state_back(n, begin, step, direction, weights, dt, u, grad_y, grad_u, grad_dt, grad_A,
                   grad_D);
        if constexpr (!kOneState) add_weight_row(rows_.A_log(n), grad_A);
      }
#pragma unroll
      for (int i = 0; i < kTokens; ++i) {
#pragma unroll
        for (int c = 0; c < kThreadChannels; ++c) {
          grad_dt[i][c] *= slope[i][c];
          grad_dt_bias[c] += grad_dt[i][c];
        }
      }
      add_to_plane(start, tokens, add, grad_u);
      project_dt_back(direction, time, tokens, grad_dt);
    }
    add_weight_row(rows_.dt_bias(), grad_dt_bias);
    if constexpr (kOneState) add_weight_row(rows_.A_log(0), grad_A);
    add_weight_row(rows_.D(), grad_D);
    __syncthreads();
  }

  // One state's part of a chunk.
  HRVMAMBA_DEVICE void state_back(int n, int begin, int step, int direction,
                                  const ThreadWeights& weights, const Chunk& dt,
                                  const Pack<T, 4> (&u)[kTokens],
                                  const Pack<T, 4> (&grad_y)[kTokens], Chunk& grad_u,
                                  Chunk& grad_dt, Channels4& grad_A, Channels4& grad_D) {
    Channels4 decay_rate, state, after, product = {1.0f, 1.0f, 1.0f, 1.0f}, sum = {};
    load_four(A(n), decay_rate);
    load_four(chunk_state(begin, n), state);
    const int place = g_.state_place(n);
    Chunk before;  // the state before each token
#pragma unroll
    for (int i = 0; i < kTokens; ++i) {
      const Pack<float, 2> BC = load_pack<2>(row(i) + place);
#pragma unroll
      for (int c = 0; c < kThreadChannels; ++c) {
        const float decay = exp2_fast(dt[i][c] * decay_rate[c]);
        before[i][c] = state[c];
        state[c] = fmaf(decay, state[c], dt[i][c] * to_float(u[i].x[c]) * BC.x[0]);
        // sum = decay * dL/dh of the chunk's first token, as if none came after the chunk.
        product[c] *= decay;
        sum[c] = fmaf(product[c] * BC.x[1], to_float(grad_y[i].x[c]), sum[c]);
      }
    }
    enter<true>(product, sum, turn_, step, n, after);
    float grad_B[kTokens], grad_C[kTokens];
#pragma unroll
    for (int i = kTokens - 1; i >= 0; --i) {
      const Pack<float, 2> BC = load_pack<2>(row(i) + place);
      grad_B[i] = grad_C[i] = 0.0f;
#pragma unroll
      for (int c = 0; c < kThreadChannels; ++c) {
        const float grad = to_float(grad_y[i].x[c]), input = to_float(u[i].x[c]);
        if (n == 0) {
          grad_D[c] = fmaf(grad, input, grad_D[c]);
          grad_u[i][c] = grad * weights.D[c];
          grad_dt[i][c] = 0.0f;
        }
        grad_C[i] = fmaf(grad, state[c], grad_C[i]);
        state[c] = before[i][c];
        const float grad_h = fmaf(grad, BC.x[1], after[c]);
        // Computed twice: kept, the decays would not leave registers enough.
        after[c] = exp2_fast(dt[i][c] * decay_rate[c]) * grad_h;
        const float grad_exponent = after[c] * before[i][c];  // of dt * A
        const float grad_inflow = grad_h * dt[i][c];          // of B * u
        grad_B[i] = fmaf(grad_inflow, input, grad_B[i]);
        grad_u[i][c] = fmaf(grad_inflow, BC.x[0], grad_u[i][c]);
        grad_A[c] = fmaf(grad_exponent, dt[i][c], grad_A[c]);
        grad_dt[i][c] =
            fmaf(grad_exponent, decay_rate[c] * kLn2, fmaf(grad_h, input * BC.x[0], grad_dt[i][c]));
      }
    }
    const int time = chunk_time(begin), tokens = g_.length - time;
    add_params_column(g_.dt_rank + n, direction, time, tokens, kLn2 * sum_channels(grad_B, lane_));
    add_params_column(g_.dt_rank + g_.d_state + n, direction, time, tokens,
                      sum_channels(grad_C, lane_));
  }

  // What the gradient of dt before softplus (in units of ln(2)) gives dt_low and dt_weight.
  HRVMAMBA_DEVICE void project_dt_back(int direction, int time, int tokens, const Chunk& grad_dt) {
#pragma unroll 1
    for (int rank = 0; rank < g_.dt_rank; ++rank) {
      Channels4 weight, grad_weight = {};
      load_four(dt_weight(rank), weight);
      float grad_low[kTokens] = {};
#pragma unroll
      for (int i = 0; i < kTokens; ++i) {
        const float low = row(i)[2 + rank];
#pragma unroll
        for (int c = 0; c < kThreadChannels; ++c) {
          grad_low[i] = fmaf(weight[c], grad_dt[i][c], grad_low[i]);
          grad_weight[c] = fmaf(grad_dt[i][c], low, grad_weight[c]);
        }
      }
      add_weight_row(rank, grad_weight);
      add_params_column(rank, direction, time, tokens, sum_channels(grad_low, lane_));
    }
  }

  // x is the sum over the tile's channels for the token that the lane stands for. The tiles of a
  // group add up here, each token and column in the same thread.
  HRVMAMBA_DEVICE void add_params_column(int column, int direction, int time, int tokens, float x) {
    const int lane = lane_ % kLanes;
    if (lane >= tokens) return;
    const int64_t plane = (group_ * g_.batch + sample_) * kDirections + direction;
    float* target = backward_.grad_params + (plane * g_.columns + column) * g_.length + time + lane;
    *target = tile_ == group_ ? x : *target + x;
  }

  HRVMAMBA_DEVICE void add_weight_row(int row, const Channels4& x) {
    const float sum = sum_chunks(x, lane_);
    if ((lane_ & 4) == 0) {
      shared_[g_.weight_sums + (warp_ * rows_.size() + row) * kTile + column_ +
              chunk_sum_channel(lane_)] += sum;
    }
  }

  // Sums the warps' sums in order, and clears them.
  HRVMAMBA_DEVICE void write_weights(int direction) {
    const int size = rows_.size() * kTile;
    float* sums = shared_ + g_.weight_sums;
    for (int i = threadIdx.x; i < size; i += blockDim.x) {
      float total = 0.0f;
      for (int warp = 0; warp < warps_; ++warp) {
        total += sums[warp * size + i];
        sums[warp * size + i] = 0.0f;
      }
      const int row = i / kTile, channel = i % kTile;
      if (row <= rows_.dt_bias()) {
        total *= kLog2e;
      } else if (row < rows_.D()) {  // dA/dA_log = A
        total *= kLn2 * shared_[g_.A + (row - rows_.A_log(0)) * kTile + channel];
      }
      const int64_t line =
          static_cast<int64_t>(sample_ * kDirections + direction) * rows_.size() + row;
      const int target = tile_ * kTile + channel;
      if (target < g_.channels) backward_.grad_weights[line * g_.channels + target] = total;
    }
    __syncthreads();
  }

  HRVMAMBA_DEVICE void add_to_plane(Walk walk, int tokens, bool add, const Chunk& x) {
    float* map = backward_.planes + part_ * g_.batch * map_size() + map_;
#pragma unroll
    for (int i = 0; i < kTokens; ++i, walk.next()) {
      if (i >= tokens) break;
      if constexpr (kSharedPlane) {
        add_four(plane(walk.token()), x[i], add);
      } else {
        channels_.add(map + walk.token() * g_.channels, x[i], add);
      }
    }
  }

  const ScanBackward<T>& backward_;
  const DeviceScanArguments<T>& arguments_;
  const WeightRows rows_;
  const int d_state_;
  const int group_, sample_, part_;
  int tile_ = 0, turn_ = 0;
  int64_t map_ = 0;  // of the thread's channels of the sample, in maps of the batch
  ThreadChannels channels_{};
};

constexpr int kBackwardThreads = 256;  // of a block, at most

// Block (direction, or none where all are walked; sample; group of tiles).
template <typename T, bool kOneState, bool kSharedPlane>
__global__ void __launch_bounds__(kBackwardThreads)
    scan_backward_kernel(const ScanBackward<T> backward) {
  BlockBackward<T, kOneState, kSharedPlane>(backward, shared_floats()).run();
}

// Sums the groups' parts in order, and puts tokens in image order. A thread's work is a token of a
// direction of a sample.
template <typename P>
__global__ void __launch_bounds__(256)
    add_params_kernel(const float* parts, int groups, const ScanGeometry g, P* grad_params) {
  const int64_t count = static_cast<int64_t>(g.batch) * kDirections * g.length;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += stride) {
    const int64_t plane = i / g.length;  // (sample, direction)
    const int time = static_cast<int>(i - plane * g.length);
    const int direction = static_cast<int>(plane % kDirections);
    const int64_t token = plane / kDirections * g.length + Walk(g.paths[direction], time).token();
    const float* source = parts + plane * g.columns * g.length + time;
    P* target = grad_params + (token * kDirections + direction) * g.columns;
    for (int column = 0; column < g.columns; ++column, source += g.length) {
      float sum = source[0];
      for (int group = 1; group < groups; ++group) sum += source[group * count * g.columns];
      target[column] = from_float<P>(sum);
    }
  }
}

struct WeightGradients {
  float* dt_weight;  // (4, channels, dt_rank)
  float* dt_bias;    // (4, channels)
  float* A_log;      // (4, channels, d_state)
  float* D;          // (4, channels)
};

// Sums the samples' parts in order, and writes the weights' own layouts.
static __global__ void __launch_bounds__(256)
    add_weights_kernel(const float* parts, const ScanGeometry g, const WeightGradients gradients) {
  const WeightRows rows{g.dt_rank, g.d_state};
  const int64_t count = static_cast<int64_t>(kDirections) * rows.size() * g.channels;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += stride) {
    float sum = parts[i];
    for (int sample = 1; sample < g.batch; ++sample) sum += parts[sample * count + i];
    const int64_t line = i / g.channels;  // (direction, row)
    const int64_t channel = line / rows.size() * g.channels + i % g.channels;
    const int row = static_cast<int>(line % rows.size());
    if (row < rows.dt_bias()) {
      gradients.dt_weight[channel * g.dt_rank + row] = sum;
    } else if (row == rows.dt_bias()) {
      gradients.dt_bias[channel] = sum;
    } else if (row < rows.D()) {
      gradients.A_log[channel * g.d_state + row - rows.A_log(0)] = sum;
    } else {
      gradients.D[channel] = sum;
    }
  }
}

struct BackwardPlan : ScanPlan {
  int groups;  // of tiles
  int64_t blocks;
  int64_t states;  // in floats, of all blocks
};

inline bool plan_backward(const ScanSizes& sizes, const Device& device, BackwardPlan& plan) {
  using Shape = BackwardShape;
  const int weight_rows =
      WeightRows{static_cast<int>(sizes.dt_rank), static_cast<int>(sizes.d_state)}.size();
  const int64_t tiles = (sizes.channels + Shape::kTileChannels - 1) / Shape::kTileChannels;
  const bool few = sizes.batch * tiles * 2 <= device.processors;
  plan.one_state = sizes.d_state == 1;
  const auto fit = [&](bool shared_plane) {
    return fit_threads<Shape>(sizes, device, kBackwardThreads, weight_rows, shared_plane, plan);
  };
  plan.directions = few ? 1 : kDirections;
  if (!fits_32_bits(sizes) || !((plan.one_state && !few && fit(true)) || fit(false))) return false;
  // As few groups as keep the processors as busy as any number would: fewer parts to sum up.
  const int64_t by_memory = device.shared_bytes / plan.shared_bytes;
  const int64_t by_threads = kBackwardThreads / plan.threads;
  const int64_t at_a_time = device.processors * (by_memory < by_threads ? by_memory : by_threads);
  const int64_t maps = sizes.batch * kDirections / plan.directions;
  int64_t least = INT64_MAX;
  for (int64_t groups = 1; groups <= tiles; ++groups) {
    const int64_t turns =
        (maps * groups + at_a_time - 1) / at_a_time * ((tiles + groups - 1) / groups);
    if (turns >= least) continue;
    least = turns;
    plan.groups = static_cast<int>(groups);
  }
  plan.blocks = maps * plan.groups;
  const ScanGeometry& g = plan.geometry;
  const int64_t chunks = (g.length + g.span - 1) / g.span * (g.span / Shape::kTokens);
  plan.states = plan.blocks * chunks * sizes.d_state * Shape::kTileChannels;
  return true;
}

template <typename T>
using BackwardKernel = void (*)(ScanBackward<T>);

template <typename T>
BackwardKernel<T> backward_kernel(const BackwardPlan& plan) {
  if (!plan.one_state) return scan_backward_kernel<T, false, false>;
  return plan.shared_plane ? scan_backward_kernel<T, true, true>
                           : scan_backward_kernel<T, true, false>;
}

}  // namespace hrvmamba
