// Deformable sampling's CUDA kernels on the host, behind a C interface for ctypes. As a program it
// runs them on some maps: a build with -fsanitize=thread then reports races between their threads.
#include "cuda_emulation.h"

#ifdef HRVMAMBA_WITHOUT_BARRIERS  // to see that races are found
#define __syncthreads() ((void)0)
#endif

#include "../../csrc/cuda/deform_sample_backward_kernel.cuh"

#include <algorithm>
#include <random>

namespace hrvmamba {
namespace {

// Elements at a multiple of 16 bytes, or `shift` elements after one.
template <typename Element>
class Elements {
 public:
  Elements(const float* source, int64_t count, int64_t shift)
      : storage_(count + shift + 16), count_(count) {
    const auto past = reinterpret_cast<uintptr_t>(storage_.data()) % 16 / sizeof(Element);
    data_ = storage_.data() + (past == 0 ? 0 : 16 / sizeof(Element) - past) + shift;
    for (int64_t i = 0; source != nullptr && i < count; ++i) {
      data_[i] = from_float<Element>(source[i]);
    }
  }

  Element* data() { return data_; }

  void copy_to(float* target) const {
    for (int64_t i = 0; i < count_; ++i) target[i] = to_float(data_[i]);
  }

 private:
  std::vector<Element> storage_;
  int64_t count_;
  Element* data_;
};

struct Run {
  SampleSizes sizes;
  unsigned max_blocks;  // of a launch
  int64_t shift;        // of the maps from a multiple of 16 bytes, in elements

  int64_t map() const { return sizes.batch * sizes.length() * sizes.channels; }
  int64_t offset_mask() const { return sizes.batch * sizes.length() * sizes.offset_mask_columns; }
};

template <typename Element, int kChannels>
void run_sample(const Run& run, const SampleArguments<Element>& arguments, Element* out) {
  const SampleTiling tiling = sample_tiling<kChannels>(run.sizes);
  emulation::launch(sample_kernel<Element, kChannels>, std::min(tiling.blocks, run.max_blocks),
                    tiling.threads(), 0, arguments, tiling, out);
}

template <typename Element>
void sample(const Run& run, const float* value, const float* offset_mask, float* out) {
  Elements<Element> values(value, run.map(), run.shift);
  Elements<Element> offset_masks(offset_mask, run.offset_mask(), run.shift);
  Elements<Element> outs(nullptr, run.map(), 0);
  const SampleArguments<Element> arguments{run.sizes, values.data(), offset_masks.data()};
  if (whole_packs<Element>(run.sizes, {values.data()})) {
    run_sample<Element, kPackChannels<Element>>(run, arguments, outs.data());
  } else {
    run_sample<Element, 1>(run, arguments, outs.data());
  }
  outs.copy_to(out);
}

template <typename Element, typename Sums>
void run_backward(const Run& run, const SampleArguments<Element>& arguments,
                  const Element* grad_out, Sums sums, Element* grad_offset_mask) {
  const auto start = [&](auto kernel, const SampleTiling& tiling) {
    emulation::launch(kernel, std::min(tiling.blocks, run.max_blocks), tiling.threads(), 0,
                      arguments, tiling, grad_out, sums, grad_offset_mask);
  };
  constexpr int kChannels = kPackChannels<Element>;
  if (whole_packs(run.sizes, {arguments.value, grad_out})) {
    start(sample_backward_kernel<Element, kChannels, Sums>, sample_tiling<kChannels>(run.sizes));
  } else {
    start(sample_backward_kernel<Element, 1, Sums>, sample_tiling<1>(run.sizes));
  }
}

template <typename Element>
void sample_backward(const Run& run, bool deterministic, const float* grad_out, const float* value,
                     const float* offset_mask, float* grad_value, float* grad_offset_mask) {
  Elements<Element> grad_outs(grad_out, run.map(), run.shift);
  Elements<Element> values(value, run.map(), run.shift);
  Elements<Element> offset_masks(offset_mask, run.offset_mask(), run.shift);
  const std::vector<float> zeros(run.offset_mask());
  Elements<Element> grad_offset_masks(zeros.data(), run.offset_mask(), 0);
  const SampleArguments<Element> arguments{run.sizes, values.data(), offset_masks.data()};
  if (deterministic) {
    std::vector<unsigned long long> integers(run.map());
    std::vector<SampleBounds> bounds(run.sizes.batch);
    const IntegerSums sums{integers.data(), bounds.data(), contribution_bits(run.sizes)};
    const dim3 grid(2, 2);
    emulation::launch(sample_bounds_kernel<Element>, grid, 64, 0, arguments, grad_outs.data(),
                      bounds.data());
    run_backward(run, arguments, grad_outs.data(), sums, grad_offset_masks.data());
    Elements<Element> grad_values(nullptr, run.map(), 0);
    emulation::launch(sample_sums_kernel<Element>, grid, 64, 0, run.sizes, sums,
                      grad_values.data());
    grad_values.copy_to(grad_value);
  } else {
    Elements<float> sums(std::vector<float>(run.map()).data(), run.map(), 0);
    run_backward(run, arguments, grad_outs.data(), FloatSums{sums.data()},
                 grad_offset_masks.data());
    sums.copy_to(grad_value);
  }
  grad_offset_masks.copy_to(grad_offset_mask);
}

}  // namespace
}  // namespace hrvmamba

using hrvmamba::Run;

// `type`: 0 float32, 1 float16, 2 bfloat16, which the arrays are converted to.
extern "C" void deform_sample(int type, const Run* run, const float* value,
                              const float* offset_mask, float* out) {
  const auto sample = type == 0   ? hrvmamba::sample<float>
                      : type == 1 ? hrvmamba::sample<__half>
                                  : hrvmamba::sample<__nv_bfloat16>;
  sample(*run, value, offset_mask, out);
}

extern "C" void deform_sample_backward(int type, const Run* run, bool deterministic,
                                       const float* grad_out, const float* value,
                                       const float* offset_mask, float* grad_value,
                                       float* grad_offset_mask) {
  const auto backward = type == 0   ? hrvmamba::sample_backward<float>
                        : type == 1 ? hrvmamba::sample_backward<__half>
                                    : hrvmamba::sample_backward<__nv_bfloat16>;
  backward(*run, deterministic, grad_out, value, offset_mask, grad_value, grad_offset_mask);
}

int main() {
  std::mt19937 generator(0);
  std::normal_distribution<float> normal;
  for (const auto& [channels, groups] : {std::pair<int64_t, int64_t>{64, 2}, {21, 3}}) {
    const Run run{{2, 3, 5, channels, groups, groups * hrvmamba::kOffsetMaskColumns, true}, 3, 0};
    std::vector<float> value(run.map()), grad_out(run.map()), offset_mask(run.offset_mask());
    for (auto* array : {&value, &grad_out, &offset_mask}) {
      for (float& x : *array) x = normal(generator);
    }
    std::vector<float> map(run.map()), grad_offset_mask(run.offset_mask());
    deform_sample(0, &run, value.data(), offset_mask.data(), map.data());
    for (const bool deterministic : {false, true}) {
      deform_sample_backward(0, &run, deterministic, grad_out.data(), value.data(),
                             offset_mask.data(), map.data(), grad_offset_mask.data());
    }
  }
}
