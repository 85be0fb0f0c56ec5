// The gradients of selective_scan_2d on the CPU: tasks are a sample and some blocks of channels.
#include <algorithm>
#include <tuple>

#include "../common/selective_scan_2d_tensors.h"
#include "kernels.h"
#include "tasks.h"

namespace hrvmamba {
namespace {

// A task takes more than one block of channels where there are more tasks than these: each task of
// a sample has its own part of the gradient of ssm_params, to be added up. The number depends on no
// thread, so that sums do not either.
constexpr int64_t kTasks = 16;

template <typename T>
void run(const ScanTensors& tensors, const Tensor& grad_y, const ScanGradientTensors& gradients) {
  const ScanArguments<T> arguments = tensors.arguments<T>();
  const ScanSizes& sizes = arguments.sizes;
  const Kernels<T>& cpu = kernels<T>();
  const int64_t blocks = (sizes.channels + cpu.max_channels - 1) / cpu.max_channels;
  const int64_t task_blocks = std::clamp<int64_t>(sizes.batch * blocks / kTasks, 1, blocks);
  const int64_t sample_tasks = (blocks + task_blocks - 1) / task_blocks;
  const ScalarType type = grad_y.scalar_type();
  // What several tasks add to, in a part for each of them: a part's first dimension.
  const auto parts_of = [&](const Tensor& gradient, int64_t parts) {
    return parts == 1 ? gradient : empty(grad_y, {parts, gradient.numel()}, type);
  };
  const Tensor params = parts_of(gradients.ssm_params, sample_tasks);
  const Tensor dt_weight = parts_of(gradients.dt_weight, sizes.batch);
  const Tensor dt_bias = parts_of(gradients.dt_bias, sizes.batch);
  const Tensor A_log = parts_of(gradients.A_log, sizes.batch);
  const Tensor D = parts_of(gradients.D, sizes.batch);
  const ScanGradients<T> parts{grad_y.const_data_ptr<T>(),    gradients.u.mutable_data_ptr<T>(),
                               params.mutable_data_ptr<T>(),  dt_weight.mutable_data_ptr<T>(),
                               dt_bias.mutable_data_ptr<T>(), A_log.mutable_data_ptr<T>(),
                               D.mutable_data_ptr<T>()};
  for_each_task<T>(
      sizes.batch * sample_tasks, cpu.scan_backward_scratch(sizes), [&](int64_t task, T* scratch) {
        const int64_t sample = task / sample_tasks, part = task % sample_tasks;
        const int64_t first = part * task_blocks, end = std::min(first + task_blocks, blocks);
        for (int64_t block = first; block < end; ++block) {
          cpu.scan_backward(arguments, parts, sample, block * cpu.max_channels, part,
                            block == first, scratch);
        }
      });
  const auto add_parts = [](const Tensor& parts, int64_t count, const Tensor& gradient) {
    if (count == 1) return;
    add_up(parts.const_data_ptr<T>(), count, gradient.numel(), gradient.mutable_data_ptr<T>());
  };
  add_parts(params, sample_tasks, gradients.ssm_params);
  add_parts(dt_weight, sizes.batch, gradients.dt_weight);
  add_parts(dt_bias, sizes.batch, gradients.dt_bias);
  add_parts(A_log, sizes.batch, gradients.A_log);
  add_parts(D, sizes.batch, gradients.D);
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> selective_scan_2d_backward(
    const Tensor& grad_y, const Tensor& u, const Tensor& ssm_params, const Tensor& dt_weight,
    const Tensor& dt_bias, const Tensor& A_log, const Tensor& D) {
  const ScalarType type = compute_type({grad_y, u, ssm_params, dt_weight, dt_bias, A_log, D});
  const ScanTensors tensors(u, ssm_params, dt_weight, dt_bias, A_log, D, type);
  const ScanSizes& sizes = tensors.sizes;
  const Tensor grad_map = contiguous_as(grad_y, type);
  check_shape("grad_y", grad_map, {sizes.batch, sizes.height, sizes.width, sizes.channels});
  const ScanGradientTensors gradients(sizes, grad_map, type, type, type);
  if (grad_map.numel() > 0) {
    type == ScalarType::Double ? run<double>(tensors, grad_map, gradients)
                               : run<float>(tensors, grad_map, gradients);
  }
  return gradients.as_types_of(u, ssm_params, dt_weight, dt_bias, A_log, D);
}

}  // namespace
}  // namespace hrvmamba

STABLE_TORCH_LIBRARY_IMPL(hrvmamba, CPU, m) {
  m.impl("selective_scan_2d_backward", TORCH_BOX(&hrvmamba::selective_scan_2d_backward));
}
