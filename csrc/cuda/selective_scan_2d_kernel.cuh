// The scan of one sample and one tile of channels.
//
// A thread holds four channels of a chunk: a few consecutive tokens of the path. A block takes
// `span` tokens at a time. Each thread scans its chunk from a zero state, which gives the linear
// map of the chunk, h -> product * h + sum; the block combines the maps of its chunks, and a second
// pass adds what the state before the chunk contributes. ssm_params of the span lie in shared
// memory, as does y while the directions are added up, where it fits.
#pragma once

#include "../common/selective_scan_2d.h"
#include "device.cuh"

namespace hrvmamba {

constexpr int kThreadChannels = 4;
using Channels4 = float[kThreadChannels];

enum class ElementType { kFloat, kHalf, kBFloat16 };

HRVMAMBA_HOST_DEVICE constexpr int round_up(int x, int multiple) {
  return (x + multiple - 1) / multiple * multiple;
}

// How a block's threads share the work: kLanes of a warp side by side hold a token's channels, and
// each takes kTokens of them in turn.
template <int kLanes_, int kTokens_>
struct ScanShape {
  static constexpr int kLanes = kLanes_;
  static constexpr int kTokens = kTokens_;
  static constexpr int kTileChannels = kLanes * kThreadChannels;
  static constexpr int kWarpChunks = kWarpLanes / kLanes;
  static constexpr int kWarpTokens = kWarpChunks * kTokens;
};

// A direction's path in numbers for 32-bit arithmetic.
struct DevicePath {
  int first, steps, line_stride, step_stride;
  int next_line;  // from the token after a line's last to the next line's first
  int shift;      // with `magic`: division by `steps` as a product
  uint32_t magic;

  DevicePath() = default;
  explicit DevicePath(const ScanPath& path)
      : first(static_cast<int>(path.first)),
        steps(static_cast<int>(path.steps)),
        line_stride(static_cast<int>(path.line_stride)),
        step_stride(static_cast<int>(path.step_stride)),
        next_line(line_stride - steps * step_stride),
        shift(0) {
    while ((int64_t{1} << shift) < steps) ++shift;
    magic = static_cast<uint32_t>((((int64_t{1} << shift) - steps) << 32) / steps + 1);
  }

  HRVMAMBA_DEVICE int line(int time) const {
    const uint32_t n = static_cast<uint32_t>(time);
    return static_cast<int>((static_cast<uint32_t>(static_cast<uint64_t>(n) * magic >> 32) + n) >>
                            shift);
  }
};

// A place on a path.
class Walk {
 public:
  HRVMAMBA_DEVICE Walk(const DevicePath& path, int time)
      : steps_(path.steps), step_stride_(path.step_stride), next_line_(path.next_line) {
    const int line = path.line(time);
    step_ = time - line * steps_;
    token_ = path.first + line * path.line_stride + step_ * step_stride_;
  }

  HRVMAMBA_DEVICE int token() const { return token_; }

  HRVMAMBA_DEVICE void next() {
    token_ += step_stride_;
    if (++step_ == steps_) {
      step_ = 0;
      token_ += next_line_;
    }
  }

 private:
  int token_, step_, steps_, step_stride_, next_line_;
};

// A scan's sizes, and where its arrays lie in a block's shared memory, in floats. All of it comes
// from the host: a kernel reads its parameters at no cost.
struct ScanGeometry {
  int batch, length, channels, dt_rank, d_state;
  int columns;  // of ssm_params, for a direction
  int tiles;    // of channels
  int span;     // tokens that a block takes at a time
  DevicePath paths[kDirections];

  // The columns of ssm_params of one token and direction, as a row: B and C of the first state,
  // dt_low, zeros up to a multiple of four, B and C of each further state, zeros. B is in units
  // that go with dt in units of ln(2).
  int rank_end, row_size;
  int chunk_stride;  // from a chunk's rows to the next chunk's

  int dt_weight;    // (rank_end - 2, tile channels)
  int A;            // (d_state, tile channels)
  int carry;        // (2, d_state, tile channels)
  int totals;       // (2, warps, 2, tile channels)
  int rows;         // (chunks, chunk_stride)
  int weight_sums;  // (warps, weight_rows, tile channels): for gradients
  int plane;        // (length, tile channels), if it is in shared memory

  // Where B of a state is in a row. C follows it.
  HRVMAMBA_HOST_DEVICE int state_place(int n) const { return n == 0 ? 0 : rank_end + 2 * (n - 1); }
  // Where a column of ssm_params is in a row.
  HRVMAMBA_HOST_DEVICE int column_place(int column) const {
    if (column < dt_rank) return 2 + column;
    const int n = column - dt_rank;
    return n < d_state ? state_place(n) : state_place(n - d_state) + 1;
  }
};

template <typename Shape>
ScanGeometry scan_geometry(const ScanSizes& sizes, int warps, int weight_rows) {
  constexpr int kTile = Shape::kTileChannels;
  const auto path = [&](int direction) {
    return DevicePath(scan_path(direction, sizes.height, sizes.width));
  };
  ScanGeometry g{static_cast<int>(sizes.batch),
                 static_cast<int>(sizes.length()),
                 static_cast<int>(sizes.channels),
                 static_cast<int>(sizes.dt_rank),
                 static_cast<int>(sizes.d_state),
                 static_cast<int>(sizes.params()),
                 (static_cast<int>(sizes.channels) + kTile - 1) / kTile,
                 warps * Shape::kWarpTokens,
                 {path(0), path(1), path(2), path(3)},
                 0,
                 0,
                 0,
                 0,
                 0,
                 0,
                 0,
                 0,
                 0,
                 0};
  g.rank_end = round_up(2 + g.dt_rank, 4);
  g.row_size = round_up(g.rank_end + 2 * (g.d_state - 1), 4);
  // Four floats apart, so that a warp's loads of a row each touch all banks.
  g.chunk_stride = Shape::kTokens * g.row_size + 4;
  g.dt_weight = 0;
  g.A = g.dt_weight + (g.rank_end - 2) * kTile;
  g.carry = g.A + g.d_state * kTile;
  g.totals = g.carry + 2 * g.d_state * kTile;
  g.rows = g.totals + 4 * warps * kTile;
  g.weight_sums = g.rows + warps * Shape::kWarpChunks * g.chunk_stride;
  g.plane = g.weight_sums + warps * weight_rows * kTile;
  return g;
}

template <typename T>
struct DeviceScanArguments {
  const T* u;              // (batch, height, width, channels)
  const void* ssm_params;  // (batch, height, width, 4, params)
  ElementType params_type;
  const float* dt_weight;  // (4, channels, dt_rank)
  const float* dt_bias;    // (4, channels)
  const float* A_log;      // (4, channels, d_state)
  const float* D;          // (4, channels)
  bool aligned;            // whether four channels can be loaded and stored at once
};

template <typename T>
struct ScanForward {
  DeviceScanArguments<T> arguments;
  ScanGeometry geometry;
  int directions;  // that a block walks: all four, or one
  T* y;            // (batch, height, width, channels); where the plane is in shared memory
  float* planes;   // (4 / directions, batch, height, width, channels); where it is not
};

// log2(1 + 2^x): softplus where x and the result are in units of ln(2). t is 2^-|x|. The relative
// error is about 2^-22 for every x.
HRVMAMBA_DEVICE float softplus2(float x, float t) {
  // Minimax polynomial of log2(1 + t) / t on [0, 1]; relative error 1.8e-8.
  float p = 0.00713168085f;
  p = fmaf(p, t, -0.0408149883f);
  p = fmaf(p, t, 0.109838799f);
  p = fmaf(p, t, -0.194381371f);
  p = fmaf(p, t, 0.274248451f);
  p = fmaf(p, t, -0.358020216f);
  p = fmaf(p, t, 0.48064056f);
  p = fmaf(p, t, -0.721337914f);
  p = fmaf(p, t, 1.44269502f);
  return fmaf(p, t, fmaxf(x, 0.0f));
}

HRVMAMBA_DEVICE void load_four(const float* shared, Channels4& x) {
  const Pack<float, 4> pack = load_pack<4>(shared);
  for (int c = 0; c < kThreadChannels; ++c) x[c] = pack.x[c];
}

HRVMAMBA_DEVICE void store_four(float* target, const Channels4& x) {
  store_pack<4>(target, Pack<float, 4>{{x[0], x[1], x[2], x[3]}});
}

// target += x, or = x.
HRVMAMBA_DEVICE void add_four(float* target, const Channels4& x, bool add) {
  Channels4 sum = {};
  if (add) load_four(target, sum);
  for (int c = 0; c < kThreadChannels; ++c) sum[c] += x[c];
  store_four(target, sum);
}

// A thread's four channels of the maps in global memory.
struct ThreadChannels {
  int first;     // channel of the map
  int count;     // of them that are in the map, from 0 to 4
  bool aligned;  // whether all four are, and lie aligned

  template <typename T>
  HRVMAMBA_DEVICE Pack<T, 4> load_part(const T* source) const {
    Pack<T, 4> pack{};
    for (int c = 0; c < kThreadChannels; ++c) {
      if (c < count) pack.x[c] = source[c];
    }
    return pack;
  }

  template <typename T>
  HRVMAMBA_DEVICE void store(T* target, const Channels4& x) const {
    if (aligned) {
      store_pack<4>(target, Pack<T, 4>{{from_float<T>(x[0]), from_float<T>(x[1]),
                                        from_float<T>(x[2]), from_float<T>(x[3])}});
    } else {
      for (int c = 0; c < kThreadChannels; ++c) {
        if (c < count) target[c] = from_float<T>(x[c]);
      }
    }
  }

  // target += x, or = x.
  HRVMAMBA_DEVICE void add(float* target, const Channels4& x, bool add) const {
    if (aligned) return add_four(target, x, add);
    for (int c = 0; c < kThreadChannels; ++c) {
      if (c < count) target[c] = (add ? target[c] : 0.0f) + x[c];
    }
  }

  // The chunk that a walk enters, zero from `tokens` on. `map` is at these channels of a sample.
  template <int kTokens, typename T>
  HRVMAMBA_DEVICE void load_chunk(const T* map, int map_channels, Walk walk, int tokens,
                                  Pack<T, 4> (&chunk)[kTokens]) const {
    if (aligned) {
#pragma unroll
      for (int i = 0; i < kTokens; ++i, walk.next()) {
        chunk[i] = Pack<T, 4>{};
        if (i < tokens) chunk[i] = load_pack<4>(map + walk.token() * map_channels);
      }
    } else {
#pragma unroll
      for (int i = 0; i < kTokens; ++i, walk.next()) {
        chunk[i] = Pack<T, 4>{};
        if (i < tokens) chunk[i] = load_part(map + walk.token() * map_channels);
      }
    }
  }
};

// What the forward scan and its gradients do alike, for one block.
template <typename Shape>
class BlockScan {
 public:
  static constexpr int kLanes = Shape::kLanes;
  static constexpr int kTokens = Shape::kTokens;
  static constexpr int kTile = Shape::kTileChannels;
  using Chunk = float[kTokens][kThreadChannels];

  HRVMAMBA_DEVICE BlockScan(const ScanGeometry& geometry, float* shared)
      : g_(geometry),
        shared_(shared),
        warps_(static_cast<int>(blockDim.x) / kWarpLanes),
        warp_(static_cast<int>(threadIdx.x) / kWarpLanes),
        lane_(static_cast<int>(threadIdx.x) % kWarpLanes),
        column_(lane_ % kLanes * kThreadChannels),
        chunk_(warp_ * Shape::kWarpChunks + lane_ / kLanes) {}

  // Padding in rows and weights is zero throughout, and sums start from zero.
  HRVMAMBA_DEVICE void clear() {
    for (int i = threadIdx.x; i < g_.plane; i += blockDim.x) shared_[i] = 0.0f;
    __syncthreads();
  }

  HRVMAMBA_DEVICE ThreadChannels thread_channels(int tile, bool aligned) const {
    const int first = tile * kTile + column_;
    const int left = g_.channels - first;
    const int count = left < 0 ? 0 : left > kThreadChannels ? kThreadChannels : left;
    return {first, count, aligned && count == kThreadChannels};
  }

  // The time of the thread's first token where the block's is `begin`.
  HRVMAMBA_DEVICE int chunk_time(int begin) const { return begin + chunk_ * kTokens; }
  HRVMAMBA_DEVICE const float* row(int token) const {
    return shared_ + g_.rows + chunk_ * g_.chunk_stride + token * g_.row_size;
  }
  HRVMAMBA_DEVICE const float* dt_weight(int rank) const {
    return shared_ + g_.dt_weight + rank * kTile + column_;
  }
  HRVMAMBA_DEVICE const float* A(int n) const { return shared_ + g_.A + n * kTile + column_; }
  // The thread's channels of a token in the plane.
  HRVMAMBA_DEVICE float* plane(int token) const {
    return shared_ + g_.plane + token * kTile + column_;
  }

  // Clears the carry of the first step.
  HRVMAMBA_DEVICE void clear_carry() {
    for (int i = threadIdx.x; i < kTile * g_.d_state; i += blockDim.x) {
      shared_[g_.carry + i] = 0.0f;
    }
  }

  // Brings a direction's weights to shared memory, those of dt in units of ln(2). No barrier
  // follows: the rows' is after it.
  template <typename T>
  HRVMAMBA_DEVICE void load_weights(const DeviceScanArguments<T>& arguments, int direction,
                                    int tile) {
    const int64_t first = static_cast<int64_t>(direction) * g_.channels + tile * kTile;
    const int channels = g_.channels - tile * kTile;
    for (int i = threadIdx.x; i < kTile * g_.dt_rank; i += blockDim.x) {
      const int channel = i / g_.dt_rank, rank = i - channel * g_.dt_rank;
      shared_[g_.dt_weight + rank * kTile + channel] =
          channel < channels ? arguments.dt_weight[first * g_.dt_rank + i] * kLog2e : 0.0f;
    }
    for (int i = threadIdx.x; i < kTile * g_.d_state; i += blockDim.x) {
      const int channel = i / g_.d_state, n = i - channel * g_.d_state;
      shared_[g_.A + n * kTile + channel] =
          channel < channels ? -expf(arguments.A_log[first * g_.d_state + i]) : 0.0f;
    }
  }

  // Brings ssm_params of the tokens from `begin` on to shared memory; zero past the path's end.
  template <typename P>
  HRVMAMBA_DEVICE void stage_rows(const P* params, int direction, int begin) {
    const int threads = static_cast<int>(blockDim.x);
    const int side = g_.columns < threads ? g_.columns : threads;  // threads for one token
    const int tokens = threads / side;                             // at a time
    const int first = static_cast<int>(threadIdx.x) / side;
    if (first >= tokens) return;
    const DevicePath& path = g_.paths[direction];
    const int stride = kDirections * g_.columns;
#pragma unroll 1
    for (int column = static_cast<int>(threadIdx.x) - first * side; column < g_.columns;
         column += side) {
      const bool is_B = column >= g_.dt_rank && column < g_.dt_rank + g_.d_state;
      const float scale = is_B ? kLn2 : 1.0f;
      const P* source = params + direction * g_.columns + column;
      float* target = shared_ + g_.rows + g_.column_place(column);
#pragma unroll 4
      for (int i = first; i < g_.span; i += tokens) {
        float x = 0.0f;
        if (begin + i < g_.length) {
          x = to_float(source[Walk(path, begin + i).token() * stride]) * scale;
        }
        target[i / kTokens * g_.chunk_stride + i % kTokens * g_.row_size] = x;
      }
    }
  }

  template <typename T>
  HRVMAMBA_DEVICE void stage_rows(const DeviceScanArguments<T>& arguments, int sample,
                                  int direction, int begin) {
    const int64_t first = static_cast<int64_t>(sample) * g_.length * kDirections * g_.columns;
    switch (arguments.params_type) {
      case ElementType::kFloat:
        return stage_rows(static_cast<const float*>(arguments.ssm_params) + first, direction,
                          begin);
      case ElementType::kHalf:
        return stage_rows(static_cast<const __half*>(arguments.ssm_params) + first, direction,
                          begin);
      case ElementType::kBFloat16:
        return stage_rows(static_cast<const __nv_bfloat16*>(arguments.ssm_params) + first,
                          direction, begin);
    }
  }

  // dt_weight @ dt_low + bias for the thread's chunk.
  HRVMAMBA_DEVICE void project_dt(const Channels4& bias, Chunk& x) const {
    Channels4 weight[4];
    load_four(dt_weight(0), weight[0]);
    load_four(dt_weight(1), weight[1]);
#pragma unroll
    for (int i = 0; i < kTokens; ++i) {
      const Pack<float, 2> low = load_pack<2>(row(i) + 2);
#pragma unroll
      for (int c = 0; c < kThreadChannels; ++c) {
        x[i][c] = fmaf(weight[1][c], low.x[1], fmaf(weight[0][c], low.x[0], bias[c]));
      }
    }
#pragma unroll 1
    for (int rank = 2; rank < g_.dt_rank; rank += 4) {
#pragma unroll
      for (int r = 0; r < 4; ++r) load_four(dt_weight(rank + r), weight[r]);
#pragma unroll
      for (int i = 0; i < kTokens; ++i) {
        const Pack<float, 4> low = load_pack<4>(row(i) + 2 + rank);
#pragma unroll
        for (int r = 0; r < 4; ++r) {
#pragma unroll
          for (int c = 0; c < kThreadChannels; ++c) {
            x[i][c] = fmaf(weight[r][c], low.x[r], x[i][c]);
          }
        }
      }
    }
  }

  // Combines the chunks' maps h -> product * h + sum along the path, or against it, and returns the
  // state that enters the thread's chunk. `turn` counts the calls: memory is used in turns, so that
  // one barrier is enough. carry(n) of this step is read and that of the next written.
  template <bool kAgainst>
  HRVMAMBA_DEVICE void enter(Channels4& product, Channels4& sum, int turn, int step, int n,
                             Channels4& state) {
    const int place = kAgainst ? kWarpLanes - 1 - lane_ : lane_;
#pragma unroll
    for (int lanes = kLanes; lanes < kWarpLanes; lanes *= 2) {
#pragma unroll
      for (int c = 0; c < kThreadChannels; ++c) {
        const float before_product = neighbour<kAgainst>(product[c], lanes);
        const float before_sum = neighbour<kAgainst>(sum[c], lanes);
        if (place >= lanes) {
          sum[c] = fmaf(product[c], before_sum, sum[c]);
          product[c] *= before_product;
        }
      }
    }
    float* totals = shared_ + g_.totals + turn % 2 * warps_ * 2 * kTile + column_;
    const bool is_last = place >= kWarpLanes - kLanes;
    if (is_last) {
      store_four(totals + warp_ * 2 * kTile, product);
      store_four(totals + warp_ * 2 * kTile + kTile, sum);
    }
    float* carry = shared_ + g_.carry + n * kTile + column_;
    const int next_carry = (step + 1) % 2 * g_.d_state * kTile;
    __syncthreads();
    load_four(carry + step % 2 * g_.d_state * kTile, state);
#pragma unroll 1
    for (int i = 0; i < (kAgainst ? warps_ - 1 - warp_ : warp_); ++i) {
      const int warp = kAgainst ? warps_ - 1 - i : i;
      Channels4 warp_product, warp_sum;
      load_four(totals + warp * 2 * kTile, warp_product);
      load_four(totals + warp * 2 * kTile + kTile, warp_sum);
#pragma unroll
      for (int c = 0; c < kThreadChannels; ++c) {
        state[c] = fmaf(warp_product[c], state[c], warp_sum[c]);
      }
    }
    if (is_last && warp_ == (kAgainst ? 0 : warps_ - 1)) {
      Channels4 end;
#pragma unroll
      for (int c = 0; c < kThreadChannels; ++c) end[c] = fmaf(product[c], state[c], sum[c]);
      store_four(carry + next_carry, end);
    }
#pragma unroll
    for (int c = 0; c < kThreadChannels; ++c) {
      const float before_product = neighbour<kAgainst>(product[c], kLanes);
      const float before_sum = neighbour<kAgainst>(sum[c], kLanes);
      if (place >= kLanes) state[c] = fmaf(before_product, state[c], before_sum);
    }
  }

  // Writes the plane in shared memory to a map of a sample.
  template <typename T>
  HRVMAMBA_DEVICE void write_plane(T* map, const ThreadChannels& channels) const {
    for (int token = threadIdx.x / kLanes; token < g_.length; token += blockDim.x / kLanes) {
      Channels4 x;
      load_four(plane(token), x);
      channels.store(map + token * g_.channels + channels.first, x);
    }
  }

 protected:
  template <bool kAgainst>
  static HRVMAMBA_DEVICE float neighbour(float x, int lanes) {
    return kAgainst ? shuffle_down(x, lanes) : shuffle_up(x, lanes);
  }

  const ScanGeometry& g_;
  float* const shared_;
  const int warps_, warp_, lane_;
  const int column_;  // of the thread's first channel in the tile
  const int chunk_;   // of the thread in the span
};

// A direction's weights of a thread's channels, dt's in units of ln(2).
struct ThreadWeights {
  Channels4 dt_bias, D;

  template <typename T>
  HRVMAMBA_DEVICE ThreadWeights(const DeviceScanArguments<T>& arguments, int64_t first, int count) {
#pragma unroll
    for (int c = 0; c < kThreadChannels; ++c) {
      dt_bias[c] = c < count ? arguments.dt_bias[first + c] * kLog2e : 0.0f;
      D[c] = c < count ? arguments.D[first + c] : 0.0f;
    }
  }
};

template <int kLanes, bool kOneState>
using ForwardShape = ScanShape<kLanes, kOneState ? 8 : 4>;

// Of a block, at most. More would not have registers enough.
template <bool kSharedPlane>
constexpr int kForwardThreads = kSharedPlane ? 384 : 256;

// Block (direction, or none where all are walked; sample; tile).
template <typename T, int kLanes, bool kOneState, bool kSharedPlane>
__global__ void __launch_bounds__(kForwardThreads<kSharedPlane>)
    scan_kernel(const ScanForward<T> forward) {
  using Scan = BlockScan<ForwardShape<kLanes, kOneState>>;
  constexpr int kTokens = Scan::kTokens;
  const DeviceScanArguments<T>& arguments = forward.arguments;
  const ScanGeometry& g = forward.geometry;
  const int tile = static_cast<int>(blockIdx.x) % g.tiles;
  const int part = static_cast<int>(blockIdx.x) / g.tiles / g.batch;
  const int sample = static_cast<int>(blockIdx.x) / g.tiles % g.batch;

  Scan scan(g, shared_floats());
  scan.clear();
  const ThreadChannels channels = scan.thread_channels(tile, arguments.aligned);
  const int64_t map = static_cast<int64_t>(g.length) * g.channels;
  const T* u_map = arguments.u + sample * map + channels.first;
  float* plane = forward.planes + (part * g.batch + sample) * map + channels.first;
  const int d_state = kOneState ? 1 : g.d_state;
  int turn = 0;
#pragma unroll 1
  for (int k = 0; k < forward.directions; ++k) {
    const int direction = part * forward.directions + k;
    const ThreadWeights weights(arguments, direction * g.channels + channels.first, channels.count);
    scan.load_weights(arguments, direction, tile);
    scan.clear_carry();
    int step = 0;
#pragma unroll 1
    for (int begin = 0; begin < g.length; begin += g.span, ++step) {
      const int time = scan.chunk_time(begin);
      const int tokens = g.length - time;  // of the path from here on
      Pack<T, 4> u[kTokens];
      channels.load_chunk(u_map, g.channels, Walk(g.paths[direction], time), tokens, u);
      scan.stage_rows(arguments, sample, direction, begin);
      __syncthreads();
      typename Scan::Chunk dt, y, influence;  // influence: of the state before the chunk on y
      scan.project_dt(weights.dt_bias, dt);
#pragma unroll 1
      for (int n = 0; n < d_state; ++n, ++turn) {
        Channels4 A, product = {1.0f, 1.0f, 1.0f, 1.0f}, h = {}, state;
        load_four(scan.A(n), A);
#pragma unroll
        for (int i = 0; i < kTokens; ++i) {
          const Pack<float, 2> BC = load_pack<2>(scan.row(i) + g.state_place(n));
#pragma unroll
          for (int c = 0; c < kThreadChannels; ++c) {
            const float input = to_float(u[i].x[c]);
            if (n == 0) {
              dt[i][c] = softplus2(dt[i][c], exp2_fast(-fabsf(dt[i][c])));
              y[i][c] = weights.D[c] * input;
            }
            const float decay = exp2_fast(dt[i][c] * A[c]);
            h[c] = fmaf(decay, h[c], dt[i][c] * input * BC.x[0]);
            product[c] *= decay;
            y[i][c] = fmaf(BC.x[1], h[c], y[i][c]);
            influence[i][c] = BC.x[1] * product[c];
          }
        }
        scan.template enter<false>(product, h, turn, step, n, state);
#pragma unroll
        for (int i = 0; i < kTokens; ++i) {
#pragma unroll
          for (int c = 0; c < kThreadChannels; ++c) {
            y[i][c] = fmaf(influence[i][c], state[c], y[i][c]);
          }
        }
      }
      // Only this thread writes these tokens of these channels while the direction lasts.
      Walk walk(g.paths[direction], time);
#pragma unroll
      for (int i = 0; i < kTokens; ++i, walk.next()) {
        if (i >= tokens) break;
        if constexpr (kSharedPlane) {
          add_four(scan.plane(walk.token()), y[i], k > 0);
        } else {
          channels.add(plane + walk.token() * g.channels, y[i], k > 0);
        }
      }
    }
    __syncthreads();
  }
  if constexpr (kSharedPlane) scan.write_plane(forward.y + sample * map, channels);
}

// target[i] = parts[0][i] + parts[1][i] + ..., in that order.
template <typename T>
__global__ void __launch_bounds__(256)
    add_up_kernel(const float* parts, int count, int64_t length, T* target) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < length;
       i += stride) {
    float sum = parts[i];
    for (int part = 1; part < count; ++part) sum += parts[part * length + i];
    target[i] = from_float<T>(sum);
  }
}

// What a device offers.
struct Device {
  int processors;
  int shared_bytes;  // for one block at most
};

// How a scan's blocks are laid out.
struct ScanPlan {
  ScanGeometry geometry;
  bool one_state;
  bool shared_plane;
  int lanes;         // for a token's channels
  int directions;    // of a block
  int threads;       // of a block
  int shared_bytes;  // of a block
};

// Offsets within a sample are 32-bit numbers.
inline bool fits_32_bits(const ScanSizes& sizes) {
  const int64_t columns = kDirections * sizes.params();
  const int64_t row = columns > sizes.channels ? columns : sizes.channels;
  return sizes.length() * row < INT32_MAX && sizes.batch * sizes.channels < INT32_MAX / kDirections;
}

// The most threads, in equal turns, for which shared memory suffices. Fewer than a few warps would
// leave too much of a processor idle beside a plane that fills its memory.
template <typename Shape>
bool fit_threads(const ScanSizes& sizes, const Device& device, int max_threads, int weight_rows,
                 bool shared_plane, ScanPlan& plan) {
  constexpr int kFewestBesidePlane = 4;
  const int64_t all = (sizes.length() + Shape::kWarpTokens - 1) / Shape::kWarpTokens;
  const int64_t most = max_threads / kWarpLanes;
  const int64_t fewest = !shared_plane ? 1 : all < kFewestBesidePlane ? all : kFewestBesidePlane;
  const int64_t plane = shared_plane ? sizes.length() * Shape::kTileChannels : 0;
  for (int64_t turns = (all + most - 1) / most;; ++turns) {
    const int warps = static_cast<int>((all + turns - 1) / turns);
    if (warps < fewest) return false;
    plan.geometry = scan_geometry<Shape>(sizes, warps, weight_rows);
    const int64_t bytes = (plan.geometry.plane + plane) * static_cast<int64_t>(sizeof(float));
    if (bytes <= device.shared_bytes) {
      plan.shared_plane = shared_plane;
      plan.lanes = Shape::kLanes;
      plan.threads = warps * kWarpLanes;
      plan.shared_bytes = static_cast<int>(bytes);
      return true;
    }
    if (warps == 1) return false;
  }
}

// False where a row of ssm_params is too long for the device. A block walks one direction where
// blocks for all four would be too few.
inline bool plan_forward(const ScanSizes& sizes, const Device& device, ScanPlan& plan) {
  const auto fit = [&](auto shape, bool shared_plane) {
    const int most = shared_plane ? kForwardThreads<true> : kForwardThreads<false>;
    return fit_threads<decltype(shape)>(sizes, device, most, 0, shared_plane, plan);
  };
  constexpr ForwardShape<4, true> kWide{};
  constexpr ForwardShape<2, true> kNarrow{};
  constexpr ForwardShape<4, false> kStates{};
  const int64_t tiles = (sizes.channels + kWide.kTileChannels - 1) / kWide.kTileChannels;
  const bool few = sizes.batch * tiles * 2 <= device.processors;
  plan.one_state = sizes.d_state == 1;
  plan.directions = few ? 1 : kDirections;
  if (!fits_32_bits(sizes)) return false;
  if (!plan.one_state) return fit(kStates, false);
  return (!few && (fit(kWide, true) || fit(kNarrow, true))) || fit(kWide, false);
}

inline int64_t forward_blocks(const ScanPlan& plan) {
  return static_cast<int64_t>(plan.geometry.tiles) * plan.geometry.batch * kDirections /
         plan.directions;
}

template <typename T>
using ForwardKernel = void (*)(ScanForward<T>);

template <typename T>
ForwardKernel<T> forward_kernel(const ScanPlan& plan) {
  if (!plan.one_state) return scan_kernel<T, 4, false, false>;
  if (!plan.shared_plane) return scan_kernel<T, 4, true, false>;
  return plan.lanes == 4 ? scan_kernel<T, 4, true, true> : scan_kernel<T, 2, true, true>;
}

}  // namespace hrvmamba
