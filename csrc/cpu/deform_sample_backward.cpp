// The gradients of deform_sample on the CPU: tasks are a sample and a group.
#include <tuple>

#include "../common/deform_sample_tensors.h"
#include "kernels.h"

namespace hrvmamba {
namespace {

template <typename T>
void run(const SampleTensors& tensors, const Tensor& grad_out, const Tensor& grad_value,
         const Tensor& grad_offset_mask) {
  const SampleArguments<T> arguments = tensors.arguments<T>();
  const Kernels<T>& cpu = kernels<T>();
  const SampleGradients<T> gradients{grad_out.const_data_ptr<T>(), grad_value.mutable_data_ptr<T>(),
                                     grad_offset_mask.mutable_data_ptr<T>()};
  const int64_t groups = arguments.sizes.groups;
  torch::stable::parallel_for(
      0, arguments.sizes.batch * groups, 1, [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) {
          cpu.sample_backward(arguments, gradients, task / groups, task % groups);
        }
      });
}

std::tuple<Tensor, Tensor> deform_sample_backward(const Tensor& grad_out, const Tensor& value,
                                                  const Tensor& offset_mask, int64_t groups,
                                                  bool silu, bool /* deterministic: it is */) {
  const ScalarType type = compute_type({grad_out, value, offset_mask});
  const SampleTensors tensors(value, offset_mask, groups, silu, type);
  const SampleSizes& sizes = tensors.sizes;
  const Tensor grad_map = contiguous_as(grad_out, type);
  check_shape("grad_out", grad_map, {sizes.batch, sizes.height, sizes.width, sizes.channels});
  const Tensor grad_value =
      zeros(grad_map, {sizes.batch, sizes.height, sizes.width, sizes.channels}, type);
  const Tensor grad_offset_mask =
      zeros(grad_map, {sizes.batch, sizes.height, sizes.width, sizes.offset_mask_columns}, type);
  if (grad_map.numel() > 0) {
    type == ScalarType::Double ? run<double>(tensors, grad_map, grad_value, grad_offset_mask)
                               : run<float>(tensors, grad_map, grad_value, grad_offset_mask);
  }
  return {as_type(grad_value, value.scalar_type()),
          as_type(grad_offset_mask, offset_mask.scalar_type())};
}

}  // namespace
}  // namespace hrvmamba

STABLE_TORCH_LIBRARY_IMPL(hrvmamba, CPU, m) {
  m.impl("deform_sample_backward", TORCH_BOX(&hrvmamba::deform_sample_backward));
}
