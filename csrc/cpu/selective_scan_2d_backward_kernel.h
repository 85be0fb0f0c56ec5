// The gradients of the scan of one sample and one block of channels.
//
// For each direction, a walk along the path stores dt and the states, and a walk against it carries
// dL/dh. The states of the block's channels stay in cache; nothing of a walk is kept between the
// forward scan and this one.
#pragma once

#include "selective_scan_2d_kernel.h"

namespace hrvmamba {
namespace {

template <typename T>
int64_t scan_backward_scratch(const ScanSizes& sizes) {
  const int64_t rows = 2 * (sizes.dt_rank + sizes.d_state) + 2 * sizes.d_state +
                       sizes.length() * (1 + sizes.d_state);
  return rows * kMaxChannels<T> + round_up_to_lanes<T>(sizes.params()) * (kLanes<T> + 1);
}

template <typename T, int kVectors, bool kPart>
class ScanBackward {
 public:
  ScanBackward(const ScanArguments<T>& arguments, const ScanGradients<T>& gradients, int64_t sample,
               int64_t channel, Channels<T, kVectors, kPart> channels, T* scratch)
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
    const int64_t part = channel / kMaxChannels<T> * sizes_.batch + sample;
    grad_params_ = gradients.grad_params + part * sizes_.length() * row();
    weights_ = scratch;
    carry_ = weights_ + BlockWeights<T, kVectors>::scratch(sizes_);
    grad_A_ = carry_ + sizes_.d_state * kStride;
    grad_dt_weight_ = grad_A_ + sizes_.d_state * kStride;
    dt_ = grad_dt_weight_ + sizes_.dt_rank * kStride;
    states_ = dt_ + sizes_.length() * kStride;
    products_ = states_ + sizes_.length() * sizes_.d_state * kStride;
    sums_ = products_ + round_up_to_lanes<T>(sizes_.params()) * kLanes<T>;
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

  // Store dt and the states of every step.
  void walk(int direction, const BlockWeights<T, kVectors>& weights) {
    const int64_t d_state = sizes_.d_state, state_row = d_state * kStride;
    const T* dt_low_map = params_ + direction * sizes_.params();
    for (int64_t i = 0; i < state_row; ++i) carry_[i] = 0;
    const T* before = carry_;
    const ScanPath path = scan_path(direction, sizes_.height, sizes_.width);
    T* dt_row = dt_;
    T* states = states_;
    for (int64_t line = 0; line < path.lines; ++line) {
      int64_t token = path.first + line * path.line_stride;
      for (int64_t step = 0; step < path.steps; ++step, token += path.step_stride) {
        const T* dt_low = dt_low_map + token * row();
        const T* B = dt_low + sizes_.dt_rank;
        Vector<T> u[kVectors], dt[kVectors];
        channels_.load(u_ + token * sizes_.channels, u);
        weights.dt(dt_low, sizes_.dt_rank, dt);
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
    const int64_t d_state = sizes_.d_state, state_row = d_state * kStride;
    const int64_t dt_rank = sizes_.dt_rank;
    Vector<T> grad_dt_bias[kVectors] = {}, grad_D[kVectors] = {};
    for (int64_t i = 0; i < state_row; ++i) carry_[i] = grad_A_[i] = 0;
    for (int64_t i = 0; i < dt_rank * kStride; ++i) grad_dt_weight_[i] = 0;
    const int64_t rows = round_up_to_lanes<T>(sizes_.params());
    for (int64_t i = 0; i < rows * kLanes<T>; ++i) products_[i] = 0;
    // Against a path is along its opposite.
    const ScanPath path = scan_path((direction + 2) % kDirections, sizes_.height, sizes_.width);
    int64_t time = sizes_.length() - 1;
    for (int64_t line = 0; line < path.lines; ++line) {
      int64_t token = path.first + line * path.line_stride;
      for (int64_t step = 0; step < path.steps; ++step, --time, token += path.step_stride) {
        const int64_t column = token * row() + direction * sizes_.params();
        const T* dt_low = params_ + column;
        const T* B = dt_low + dt_rank;
        const T* C = B + d_state;
        const T* dt_row = dt_ + time * kStride;
        const T* states = states_ + time * state_row;
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
            const Vector<T> grad_h = grad_y[v] * C[n] + load_vector(carry_ + at);
            const Vector<T> before = time > 0 ? load_vector(states - state_row + at) : Vector<T>{};
            const Vector<T> carry = decay * grad_h;
            const Vector<T> grad_exponent = carry * before;  // of dt * A
            grad_C += grad_y[v] * load_vector(states + at);
            grad_B += grad_h * dt[v] * u[v];
            grad_inflow[v] += grad_h * B[n];
            grad_dt[v] += grad_exponent * A;
            store_vector(grad_A_ + at, load_vector(grad_A_ + at) + grad_exponent * dt[v]);
            store_vector(carry_ + at, carry);
          }
          store_vector(products_ + (dt_rank + n) * kLanes<T>, grad_B);
          store_vector(products_ + (dt_rank + d_state + n) * kLanes<T>, grad_C);
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
        }
        channels_.store(target, grad_u);
        for (int64_t rank = 0; rank < dt_rank; ++rank) {
          const Vector<T> low = broadcast(dt_low[rank]);
          Vector<T> grad_low = {};
          for (int v = 0; v < kVectors; ++v) {
            const int64_t at = rank * kStride + v * kLanes<T>;
            grad_low += load_vector(weights.dt_weight + at) * grad_dt[v];
            store_vector(grad_dt_weight_ + at,
                         load_vector(grad_dt_weight_ + at) + grad_dt[v] * low);
          }
          store_vector(products_ + rank * kLanes<T>, grad_low);
        }
        sum_lanes_each<T>(products_, sizes_.params(), sums_);
        T* grad_params = grad_params_ + column;
        // A part of the gradient is shared by the blocks of one task, in turn.
        for (int64_t i = 0; i < sizes_.params(); ++i) {
          grad_params[i] = first_of_part ? sums_[i] : grad_params[i] + sums_[i];
        }
      }
    }
    write_weights(direction, weights, grad_dt_bias, grad_D);
  }

  void write_weights(int direction, const BlockWeights<T, kVectors>& weights,
                     const Vector<T>* grad_dt_bias, const Vector<T>* grad_D) {
    const int64_t rows = sizes_.dt_rank + sizes_.d_state + 2;
    T* target = gradients_.grad_weights +
                (sample_ * kDirections + direction) * rows * sizes_.channels + channel_;
    Vector<T> x[kVectors];
    for (int64_t rank = 0; rank < sizes_.dt_rank; ++rank, target += sizes_.channels) {
      for (int v = 0; v < kVectors; ++v) {
        x[v] = load_vector(grad_dt_weight_ + rank * kStride + v * kLanes<T>);
      }
      channels_.store(target, x);
    }
    channels_.store(target, grad_dt_bias);
    target += sizes_.channels;
    for (int64_t n = 0; n < sizes_.d_state; ++n, target += sizes_.channels) {
      for (int v = 0; v < kVectors; ++v) {  // dA/dA_log = A
        const int64_t at = n * kStride + v * kLanes<T>;
        x[v] = load_vector(grad_A_ + at) * load_vector(weights.A + at);
      }
      channels_.store(target, x);
    }
    channels_.store(target, grad_D);
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
  T* products_;        // (params, lanes), padded: what the lanes' sums are the gradients of
  T* sums_;            // (params), padded
};

template <typename T>
void scan_backward(const ScanArguments<T>& arguments, const ScanGradients<T>& gradients,
                   int64_t sample, int64_t channel, T* scratch) {
  for_each_channels<T>(
      channel, scan_block_end<T>(arguments.sizes, channel), [&](int64_t first, auto channels) {
        ScanBackward backward(arguments, gradients, sample, first, channels, scratch);
        backward.run(first == channel);
      });
}

}  // namespace
}  // namespace hrvmamba
