// selective_scan_2d on the CPU: tasks are a sample and a block of channels, and where those are
// fewer than the threads, a direction too.
#include "../common/selective_scan_2d_tensors.h"
#include "kernels.h"
#include "tasks.h"

namespace hrvmamba {
namespace {

template <typename T>
void run(const ScanTensors& tensors, const Tensor& y) {
  const ScanArguments<T> arguments = tensors.arguments<T>();
  const ScanSizes& sizes = arguments.sizes;
  const Kernels<T>& cpu = kernels<T>();
  const int64_t blocks = (sizes.channels + cpu.max_channels - 1) / cpu.max_channels;
  const int64_t tasks = sizes.batch * blocks;
  T* y_map = y.mutable_data_ptr<T>();
  if (tasks >= torch::stable::get_num_threads()) {
    for_each_task<T>(tasks, cpu.scan_scratch(sizes), [&](int64_t task, T* scratch) {
      cpu.scan(arguments, task / blocks, task % blocks * cpu.max_channels, 0, kDirections, y_map,
               scratch);
    });
    return;
  }
  const Tensor planes = empty(y, {kDirections, y.numel()}, y.scalar_type());
  T* plane = planes.mutable_data_ptr<T>();
  for_each_task<T>(tasks * kDirections, cpu.scan_scratch(sizes), [&](int64_t task, T* scratch) {
    const int64_t direction = task % kDirections, block = task / kDirections % blocks;
    cpu.scan(arguments, task / kDirections / blocks, block * cpu.max_channels,
             static_cast<int>(direction), 1, plane + direction * y.numel(), scratch);
  });
  add_up(plane, kDirections, y.numel(), y_map);
}

Tensor selective_scan_2d(const Tensor& u, const Tensor& ssm_params, const Tensor& dt_weight,
                         const Tensor& dt_bias, const Tensor& A_log, const Tensor& D) {
  const ScalarType type = compute_type({u, ssm_params, dt_weight, dt_bias, A_log, D});
  const ScanTensors tensors(u, ssm_params, dt_weight, dt_bias, A_log, D, type);
  const ScanSizes& sizes = tensors.sizes;
  const Tensor y = empty(tensors.u, {sizes.batch, sizes.height, sizes.width, sizes.channels}, type);
  if (y.numel() > 0) type == ScalarType::Double ? run<double>(tensors, y) : run<float>(tensors, y);
  return as_type(y, u.scalar_type());
}

}  // namespace
}  // namespace hrvmamba

STABLE_TORCH_LIBRARY_IMPL(hrvmamba, CPU, m) {
  m.impl("selective_scan_2d", TORCH_BOX(&hrvmamba::selective_scan_2d));
}
