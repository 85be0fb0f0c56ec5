// The gradients of selective_scan_2d on the CPU: tasks are a sample and a block of channels.
#include <tuple>

#include "../common/selective_scan_2d_tensors.h"
#include "kernels.h"
#include "tasks.h"

namespace hrvmamba {
namespace {

template <typename T>
void run(const ScanTensors& tensors, const Tensor& grad_y, const ScanGradientTensors& gradients) {
  const ScanArguments<T> arguments = tensors.arguments<T>();
  const ScanSizes& sizes = arguments.sizes;
  const Kernels<T>& cpu = kernels<T>();
  const int64_t blocks = (sizes.channels + cpu.max_channels - 1) / cpu.max_channels;
  const ScalarType type = grad_y.scalar_type();
  const int64_t rows = sizes.dt_rank + sizes.d_state + 2;
  const Tensor params = blocks == 1 ? gradients.ssm_params
                                    : empty(grad_y, {blocks, gradients.ssm_params.numel()}, type);
  const Tensor weights = empty(grad_y, {sizes.batch, kDirections, rows, sizes.channels}, type);
  const ScanGradients<T> parts{grad_y.const_data_ptr<T>(), gradients.u.mutable_data_ptr<T>(),
                               params.mutable_data_ptr<T>(), weights.mutable_data_ptr<T>()};
  for_each_task<T>(sizes.batch * blocks, cpu.scan_backward_scratch(sizes),
                   [&](int64_t task, T* scratch) {
                     cpu.scan_backward(arguments, parts, task / blocks,
                                       task % blocks * cpu.max_channels, scratch);
                   });
  if (blocks > 1) {
    add_up(params.const_data_ptr<T>(), blocks, gradients.ssm_params.numel(),
           gradients.ssm_params.mutable_data_ptr<T>());
  }
  const Tensor total = empty(grad_y, {kDirections, rows, sizes.channels}, type);
  add_up(weights.const_data_ptr<T>(), sizes.batch, total.numel(), total.mutable_data_ptr<T>());
  // From (direction, row, channel) to the layouts of the weights.
  const T* row = total.const_data_ptr<T>();
  const auto write = [&](const Tensor& gradient, int direction, int64_t columns) {
    T* target = gradient.mutable_data_ptr<T>() + direction * sizes.channels * columns;
    for (int64_t column = 0; column < columns; ++column, row += sizes.channels) {
      for (int64_t channel = 0; channel < sizes.channels; ++channel) {
        target[channel * columns + column] = row[channel];
      }
    }
  };
  for (int direction = 0; direction < kDirections; ++direction) {
    write(gradients.dt_weight, direction, sizes.dt_rank);
    write(gradients.dt_bias, direction, 1);
    write(gradients.A_log, direction, sizes.d_state);
    write(gradients.D, direction, 1);
  }
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
