// deform_sample on the CPU: tokens in parallel.
#include "../common/deform_sample_tensors.h"
#include "kernels.h"

namespace hrvmamba {
namespace {

constexpr int64_t kGrain = 2048;  // channels and points that a thread should have at least

template <typename T>
void run(const SampleTensors& tensors, const Tensor& out) {
  const SampleArguments<T> arguments = tensors.arguments<T>();
  const Kernels<T>& cpu = kernels<T>();
  const SampleSizes& sizes = arguments.sizes;
  T* target = out.mutable_data_ptr<T>();
  torch::stable::parallel_for(
      0, sizes.batch * sizes.length(), 1 + kGrain / sizes.channels,
      [&](int64_t begin, int64_t end) { cpu.sample(arguments, begin, end, target); });
}

Tensor deform_sample(const Tensor& value, const Tensor& offset_mask, int64_t groups, bool silu) {
  const ScalarType type = compute_type({value, offset_mask});
  const SampleTensors tensors(value, offset_mask, groups, silu, type);
  const SampleSizes& sizes = tensors.sizes;
  const Tensor out =
      empty(tensors.value, {sizes.batch, sizes.height, sizes.width, sizes.channels}, type);
  if (out.numel() > 0) {
    type == ScalarType::Double ? run<double>(tensors, out) : run<float>(tensors, out);
  }
  return as_type(out, value.scalar_type());
}

}  // namespace
}  // namespace hrvmamba

STABLE_TORCH_LIBRARY_IMPL(hrvmamba, CPU, m) {
  m.impl("deform_sample", TORCH_BOX(&hrvmamba::deform_sample));
}
