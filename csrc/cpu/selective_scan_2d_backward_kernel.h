// The gradients of the scan of one sample and one block of channels.
//
// For each direction, a walk along the path stores dt and the states, and a walk against it carries
// dL/dh. The states of the block's channels stay in cache; nothing of a walk is kept between the
// forward scan and this one.
#pragma once

#include "selective_scan_2d_kernel.h"

namespace hrvmamba {
namespace {

// Of a tile: as many as the registers hold sums of.
constexpr int kBackwardTokens = HRVMAMBA_VECTOR_BYTES == 64 ? 8 : 4;

template <typename T>
int64_t scan_backward_scratch(const ScanSizes& sizes) {
  const int64_t rows = 2 * (sizes.dt_rank + sizes.d_state) + 2 * sizes.d_state +
                       sizes.length() * (1 + sizes.d_state);
  return rows * kMaxChannels<T> +
         round_up_to_lanes<T>(sizes.dt_rank) * (kMaxChannels<T> + kBackwardTokens) +
         round_up_to_lanes<T>(kBackwardTokens * 2 * sizes.d_state) * (kLanes<T> + 1);
}

template <typename T, int kVectors, bool kPart, bool kOneState>
class ScanBackward {
 public:
  ScanBackward(const ScanArguments<T>& arguments, const ScanGradients<T>& gradients, int64_t sample,
               int64_t channel, int64_t part, Channels<T, kVectors, kPart> channels, T* scratch)
      : sizes_(arguments.sizes),
        channels_(channels),
        arguments_(arguments),
        channel_(channel),
        sample_(sample),
        gradients_(gradients) {
    const int64_t map = sample * sizes_.length() * sizes_.channels + channel;
    u_ = arguments.u + map;
    grad_y_ = gradients.grad_y + map;
    grad_u_ = gradients.grad_u + map;
    params_ = arguments.ssm_params + sample * sizes_.length() * row();
    grad_params_ = gradients.grad_params + (part * sizes_.batch + sample) * sizes_.length() * row();
    weights_ = scratch;
    carry_ = weights_ + BlockWeights<T, kVectors>::scratch(sizes_);
    grad_A_ = carry_ + sizes_.d_state * kStride;
    grad_dt_weight_ = grad_A_ + sizes_.d_state * kStride;
    dt_ = grad_dt_weight_ + sizes_.dt_rank * kStride;
    states_ = dt_ + sizes_.length() * kStride;
    dt_weight_ = states_ + sizes_.length() * sizes_.d_state * kStride;
    const int64_t ranks = round_up_to_lanes<T>(sizes_.dt_rank);
    grad_dt_low_ = dt_weight_ + kStride * ranks;
    products_ = grad_dt_low_ + kBackwardTokens * ranks;
    sums_ = products_ + round_up_to_lanes<T>(kBackwardTokens * 2 * sizes_.d_state) * kLanes<T>;
  }

  void run(bool first_of_part) {
    for (int direction = 0; direction < kDirections; ++direction) {
      const BlockWeights<T, kVectors> weights(arguments_, direction, channel_, channels_, weights_);
      walk(direction, weights);
      walk_back(direction, weights, first_of_part);
    }
  }

 private:
  static constexpr int64_t kStride = kVectors * kLanes<T>;

  int64_t row() const { return kDirections * sizes_.params(); }  // of ssm_params, for a token
  int64_t d_state() const { return kOneState ? 1 : sizes_.d_state; }

  // Store dt and the states of every step.
  void walk(int direction, const BlockWeights<T, kVectors>& weights) {
    const int64_t d_state = this->d_state(), state_row = d_state * kStride;
    const T* dt_low_map = params_ + direction * sizes_.params();
    for (int64_t i = 0; i < state_row; ++i) carry_[i] = 0;
    const T* before = carry_;
    PathTokens path(scan_path(direction, sizes_.height, sizes_.width));
    T* dt_row = dt_;
    T* states = states_;
    for (int64_t left = sizes_.length(); left > 0; left -= kBackwardTokens) {
      const TokenTile<kBackwardTokens> tile(path, left);
      Vector<T> dt_tile[kBackwardTokens][kVectors];
      weights.dt(dt_low_map, row(), sizes_.dt_rank, tile, dt_tile);
      for (int i = 0; i < tile.count; ++i) {
        const int64_t token = tile.tokens[i];
        const Vector<T>* dt = dt_tile[i];
        const T* B = dt_low_map + token * row() + sizes_.dt_rank;
        Vector<T> u[kVectors];
        channels_.load(u_ + token * sizes_.channels, u);
        for (int v = 0; v < kVectors; ++v) store_vector(dt_row + v * kLanes<T>, dt[v]);
        for (int64_t n = 0; n < d_state; ++n) {
          for (int v = 0; v < kVectors; ++v) {
            const int64_t at = n * kStride + v * kLanes<T>;
            store_vector(states + at,
                         exp(dt[v] * load_vector(weights.A + at)) * load_vector(before + at) +
                             dt[v] * u[v] * B[n]);
          }
        }
        before = states;
        dt_row += kStride;
        states += state_row;
      }
    }
  }

  void walk_back(int direction, const BlockWeights<T, kVectors>& weights, bool first_of_part) {
    const int64_t d_state = this->d_state(), state_row = d_state * kStride;
    const int64_t dt_rank = sizes_.dt_rank;
    Vector<T> grad_dt_bias[kVectors] = {}, grad_D[kVectors] = {};
    T local_carry[kStride], local_grad_A[kStride];  // kept in registers
    T* const carry = kOneState ? local_carry : carry_;
    T* const grad_A = kOneState ? local_grad_A : grad_A_;
    for (int64_t i = 0; i < state_row; ++i) carry[i] = grad_A[i] = 0;
    for (int64_t i = 0; i < dt_rank * kStride; ++i) grad_dt_weight_[i] = 0;
    copy_dt_weight(direction);
    // Against a path is along its opposite.
    PathTokens path(scan_path((direction + 2) % kDirections, sizes_.height, sizes_.width));
    int64_t time = sizes_.length() - 1;
    for (int64_t left = sizes_.length(); left > 0; left -= kBackwardTokens) {
      const TokenTile<kBackwardTokens> tile(path, left);
      Vector<T> grad_dt_tile[kBackwardTokens][kVectors];
      for (int i = 0; i < tile.count; ++i, --time) {
        const int64_t token = tile.tokens[i];
        const T* B = params_ + token * row() + direction * sizes_.params() + dt_rank;
        const T* C = B + d_state;
        const T* dt_row = dt_ + time * kStride;
        const T* states = states_ + time * state_row;
        T* products = products_ + i * 2 * d_state * kLanes<T>;
        Vector<T> u[kVectors], grad_y[kVectors], dt[kVectors], grad_u[kVectors];
        Vector<T> grad_inflow[kVectors] = {}, grad_dt[kVectors] = {};
        channels_.load(u_ + token * sizes_.channels, u);
        channels_.load(grad_y_ + token * sizes_.channels, grad_y);
        for (int v = 0; v < kVectors; ++v) {
          dt[v] = load_vector(dt_row + v * kLanes<T>);
          grad_D[v] += grad_y[v] * u[v];
        }
        for (int64_t n = 0; n < d_state; ++n) {
          Vector<T> grad_B = {}, grad_C = {};
          for (int v = 0; v < kVectors; ++v) {
            const int64_t at = n * kStride + v * kLanes<T>;
            const Vector<T> A = load_vector(weights.A + at);
            const Vector<T> decay = exp(dt[v] * A);
            const Vector<T> grad_h = grad_y[v] * C[n] + load_vector(carry + at);
            const Vector<T> before = time > 0 ? load_vector(states - state_row + at) : Vector<T>{};
            const Vector<T> grad_before = decay * grad_h;
            const Vector<T> grad_exponent = grad_before * before;  // of dt * A
            grad_C += grad_y[v] * load_vector(states + at);
            grad_B += grad_h * dt[v] * u[v];
            grad_inflow[v] += grad_h * B[n];
            grad_dt[v] += grad_exponent * A;
            store_vector(grad_A + at, load_vector(grad_A + at) + grad_exponent * dt[v]);
            store_vector(carry + at, grad_before);
          }
          store_vector(products + n * kLanes<T>, grad_B);
          store_vector(products + (d_state + n) * kLanes<T>, grad_C);
        }
        T* target = grad_u_ + token * sizes_.channels;
        if (direction > 0) {
          channels_.load(target, grad_u);
        } else {
          for (int v = 0; v < kVectors; ++v) grad_u[v] = Vector<T>{};
        }
        for (int v = 0; v < kVectors; ++v) {
          grad_u[v] += grad_y[v] * weights.D[v] + grad_inflow[v] * dt[v];
          // The derivative of softplus, sigmoid, from softplus itself.
          grad_dt[v] = (grad_dt[v] + grad_inflow[v] * u[v]) * one_minus_exp(-dt[v]);
          grad_dt_bias[v] += grad_dt[v];
          grad_dt_tile[i][v] = grad_dt[v];
        }
        channels_.store(target, grad_u);
      }
      for (int i = tile.count; i < kBackwardTokens; ++i) {
        for (int v = 0; v < kVectors; ++v) grad_dt_tile[i][v] = Vector<T>{};
      }
      add_grad_dt_weight(direction, tile, grad_dt_tile);
      write_grad_params(direction, tile, grad_dt_tile, first_of_part);
    }
    if constexpr (kOneState) __builtin_memcpy(grad_A_, grad_A, sizeof(local_grad_A));
    write_weights(direction, weights, grad_dt_bias, grad_D);
  }

  // The direction's dt_weight for the block, (kStride, ranks), in padded rows, with rows of zeros
  // for channels beyond those given.
  void copy_dt_weight(int direction) {
    const int64_t dt_rank = sizes_.dt_rank, ranks = round_up_to_lanes<T>(dt_rank);
    const T* source = arguments_.dt_weight + (direction * sizes_.channels + channel_) * dt_rank;
    for (int64_t channel = 0; channel < kStride; ++channel) {
      const int64_t filled = channel < channels_.size() ? dt_rank : 0;
      T* target = dt_weight_ + channel * ranks;
      for (int64_t rank = 0; rank < filled; ++rank) target[rank] = source[channel * dt_rank + rank];
      for (int64_t rank = filled; rank < ranks; ++rank) target[rank] = 0;
    }
  }

  void add_grad_dt_weight(int direction, const TokenTile<kBackwardTokens>& tile,
                          const Vector<T> (&grad_dt)[kBackwardTokens][kVectors]) {
    const T* dt_low[kBackwardTokens];
    for (int i = 0; i < kBackwardTokens; ++i) {
      dt_low[i] = params_ + tile.tokens[i] * row() + direction * sizes_.params();
    }
    for (int64_t rank = 0; rank < sizes_.dt_rank; ++rank) {
      for (int v = 0; v < kVectors; ++v) {
        T* target = grad_dt_weight_ + rank * kStride + v * kLanes<T>;
        Vector<T> total = load_vector(target);
        for (int i = 0; i < kBackwardTokens; ++i) total += grad_dt[i][v] * dt_low[i][rank];
        store_vector(target, total);
      }
    }
  }

  // The tile's rows of the gradients of dt_low, B and C. Those of dt_low, products of grad_dt with
  // dt_weight, are in vectors over ranks: channels are added up without a sum across lanes.
  void write_grad_params(int direction, const TokenTile<kBackwardTokens>& tile,
                         const Vector<T> (&grad_dt)[kBackwardTokens][kVectors],
                         bool first_of_part) {
    const int64_t dt_rank = sizes_.dt_rank, ranks = round_up_to_lanes<T>(dt_rank);
    const int64_t states = 2 * d_state();
    T grad_dt_of[kBackwardTokens][kStride];
    __builtin_memcpy(grad_dt_of, grad_dt, sizeof(grad_dt));
    for (int64_t rank = 0; rank < ranks; rank += kLanes<T>) {
      Vector<T> even[kBackwardTokens] = {}, odd[kBackwardTokens] = {};  // two chains of additions
      for (int64_t channel = 0; channel < kStride; channel += 2) {
        const T* weight = dt_weight_ + channel * ranks + rank;
        const Vector<T> even_weight = load_vector(weight), odd_weight = load_vector(weight + ranks);
        for (int i = 0; i < kBackwardTokens; ++i) {
          even[i] += even_weight * grad_dt_of[i][channel];
          odd[i] += odd_weight * grad_dt_of[i][channel + 1];
        }
      }
      for (int i = 0; i < kBackwardTokens; ++i) {
        store_vector(grad_dt_low_ + i * ranks + rank, even[i] + odd[i]);
      }
    }
    sum_lanes_each<T>(products_, kBackwardTokens * states, sums_);
    for (int i = 0; i < tile.count; ++i) {
      T* target = grad_params_ + tile.tokens[i] * row() + direction * sizes_.params();
      write(grad_dt_low_ + i * ranks, dt_rank, first_of_part, target);
      write(sums_ + i * states, states, first_of_part, target + dt_rank);
    }
  }

  // A part of the gradient is shared by the channels of one task, in turn.
  static void write(const T* source, int64_t count, bool first_of_part, T* target) {
    for (int64_t i = 0; i < count; ++i) {
      target[i] = first_of_part ? source[i] : target[i] + source[i];
    }
  }

  void write_weights(int direction, const BlockWeights<T, kVectors>& weights,
                     const Vector<T>* grad_dt_bias, const Vector<T>* grad_D) {
    const int64_t first = (sample_ * kDirections + direction) * sizes_.channels + channel_;
    transpose(grad_dt_weight_, kStride, sizes_.dt_rank, channels_.size(),
              gradients_.grad_dt_weight + first * sizes_.dt_rank, sizes_.dt_rank);
    for (int64_t i = 0; i < d_state() * kStride; i += kLanes<T>) {  // dA/dA_log = A
      store_vector(grad_A_ + i, load_vector(grad_A_ + i) * load_vector(weights.A + i));
    }
    transpose(grad_A_, kStride, d_state(), channels_.size(),
              gradients_.grad_A_log + first * d_state(), d_state());
    channels_.store(gradients_.grad_dt_bias + first, grad_dt_bias);
    channels_.store(gradients_.grad_D + first, grad_D);
  }

  const ScanSizes sizes_;
  const Channels<T, kVectors, kPart> channels_;
  const ScanArguments<T>& arguments_;
  const int64_t channel_;
  const int64_t sample_;
  const ScanGradients<T>& gradients_;
  const T* u_;
  const T* grad_y_;
  const T* params_;
  T* grad_u_;
  T* grad_params_;
  T* weights_;         // BlockWeights' scratch
  T* carry_;           // (d_state, kStride): decay * dL/dh of the step after
  T* grad_A_;          // (d_state, kStride)
  T* grad_dt_weight_;  // (dt_rank, kStride)
  T* dt_;              // (length, kStride)
  T* states_;          // (length, d_state, kStride)
  T* dt_weight_;       // (kStride, ranks), ranks being dt_rank, padded
  T* grad_dt_low_;     // (tile, ranks)
  T* products_;        // (tile, 2 * d_state, lanes), padded: their lanes' sums are grad B and C
  T* sums_;            // (tile, 2 * d_state), padded
};

template <typename T, int kVectors, bool kPart>
void scan_backward_channels(const ScanArguments<T>& arguments, const ScanGradients<T>& gradients,
                            int64_t sample, int64_t channel, int64_t part, bool first_of_part,
                            Channels<T, kVectors, kPart> channels, T* scratch) {
  if (arguments.sizes.d_state == 1) {
    ScanBackward<T, kVectors, kPart, true>(arguments, gradients, sample, channel, part, channels,
                                           scratch)
        .run(first_of_part);
  } else {
    ScanBackward<T, kVectors, kPart, false>(arguments, gradients, sample, channel, part, channels,
                                            scratch)
        .run(first_of_part);
  }
}

template <typename T>
void scan_backward(const ScanArguments<T>& arguments, const ScanGradients<T>& gradients,
                   int64_t sample, int64_t channel, int64_t part, bool first_of_part, T* scratch) {
  for_each_channels<T>(
      channel, scan_block_end<T>(arguments.sizes, channel), [&](int64_t first, auto channels) {
        scan_backward_channels(arguments, gradients, sample, first, part,
                               first_of_part && first == channel, channels, scratch);
      });
}

}  // namespace
}  // namespace hrvmamba
