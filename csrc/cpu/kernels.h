// The CPU kernels, compiled once for each instruction set. None includes a torch header.
#pragma once

#include <cstdint>

#include "../common/deform_sample.h"
#include "../common/selective_scan_2d.h"

namespace hrvmamba {

template <typename T>
struct ScanGradients {
  const T* grad_y;  // (batch, height, width, channels)
  T* grad_u;        // (batch, height, width, channels)
  T* grad_params;   // (parts, batch, height, width, 4, params): a part for some blocks of channels
  // For each sample of the batch:
  T* grad_dt_weight;  // (batch, 4, channels, dt_rank)
  T* grad_dt_bias;    // (batch, 4, channels)
  T* grad_A_log;      // (batch, 4, channels, d_state)
  T* grad_D;          // (batch, 4, channels)
};

template <typename T>
struct SampleGradients {
  const T* grad_out;    // (batch, height, width, channels)
  T* grad_value;        // (batch, height, width, channels), zero on entry
  T* grad_offset_mask;  // (batch, height, width, offset_mask_columns), zero on entry
};

// The kernels for one element type and one instruction set. Each does one task, whose result does
// not depend on which thread does it or on what is done beside it.
template <typename T>
struct Kernels {
  // Channels that a scan's task holds at most: a task is a sample and a block of channels.
  int64_t max_channels;
  // Elements of scratch memory for a task of the scan, forward and backward.
  int64_t (*scan_scratch)(const ScanSizes&);
  int64_t (*scan_backward_scratch)(const ScanSizes&);
  // Walk `directions` of them from `direction` on, and store (first of them) or add to y, of u's
  // shape.
  void (*scan)(const ScanArguments<T>&, int64_t sample, int64_t channel, int direction,
               int directions, T* y, T* scratch);
  // The gradients of one block of channels. It stores (first of its part) or adds to a part of
  // grad_params.
  void (*scan_backward)(const ScanArguments<T>&, const ScanGradients<T>&, int64_t sample,
                        int64_t channel, int64_t part, bool first_of_part, T* scratch);
  // Sample tokens begin to end (over the whole batch) into out, of value's shape.
  void (*sample)(const SampleArguments<T>&, int64_t begin, int64_t end, T* out);
  // The gradients that come from tokens [first_token, end_token) of one group of one sample.
  void (*sample_backward)(const SampleArguments<T>&, const SampleGradients<T>&, int64_t sample,
                          int64_t group, int64_t first_token, int64_t end_token);
};

// The best that this machine runs; HRVMAMBA_CPU_CAPABILITY in the environment may name a lesser
// one.
template <typename T>
const Kernels<T>& kernels();

namespace portable {
template <typename T>
const Kernels<T>& kernels();
}
#ifdef HRVMAMBA_X86
namespace avx2 {
template <typename T>
const Kernels<T>& kernels();
}
namespace avx512 {
template <typename T>
const Kernels<T>& kernels();
}
#endif

}  // namespace hrvmamba
