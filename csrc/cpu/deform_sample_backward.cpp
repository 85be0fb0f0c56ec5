// The gradients of deform_sample on the CPU: tasks are a sample, a group and some of its tokens.
#include <algorithm>
#include <tuple>

#include "../common/deform_sample_tensors.h"
#include "kernels.h"
#include "tasks.h"

namespace hrvmamba {
namespace {

// Where samples and groups are fewer than these, the tokens are cut into parts, each with its own
// part of the gradient of value, to be added up. The number depends on no thread, so that sums do
// not either.
constexpr int64_t kTasks = 4;

template <typename T>
void run(const SampleTensors& tensors, const Tensor& grad_out, const Tensor& grad_value,
         const Tensor& grad_offset_mask) {
  const SampleArguments<T> arguments = tensors.arguments<T>();
  const SampleSizes& sizes = arguments.sizes;
  const Kernels<T>& cpu = kernels<T>();
  const int64_t parts = std::max<int64_t>(1, kTasks / (sizes.batch * sizes.groups));
  const int64_t part_tokens = (sizes.length() + parts - 1) / parts;
  const int64_t length = grad_value.numel();
  const Tensor grad_value_parts =
      parts == 1 ? grad_value : zeros(grad_value, {parts, length}, grad_value.scalar_type());
  torch::stable::parallel_for(
      0, sizes.batch * sizes.groups * parts, 1, [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) {
          const int64_t part = task % parts, group = task / parts % sizes.groups;
          const int64_t first_token = part * part_tokens;
          const SampleGradients<T> gradients{grad_out.const_data_ptr<T>(),
                                             grad_value_parts.mutable_data_ptr<T>() + part * length,
                                             grad_offset_mask.mutable_data_ptr<T>()};
          cpu.sample_backward(arguments, gradients, task / parts / sizes.groups, group, first_token,
                              std::min(first_token + part_tokens, sizes.length()));
        }
      });
  if (parts > 1) {
    add_up(grad_value_parts.const_data_ptr<T>(), parts, length, grad_value.mutable_data_ptr<T>());
  }
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
