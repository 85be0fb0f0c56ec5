// The gradients of selective_scan_2d on a CUDA device.
#include <tuple>

#include "selective_scan_2d_backward_kernel.cuh"
#include "selective_scan_2d_tensors.cuh"

namespace hrvmamba {
namespace {

template <typename T>
void run(const DeviceScanTensors& tensors, const Tensor& grad_y,
         const ScanGradientTensors& gradients) {
  const ScanSizes& sizes = tensors.sizes;
  const cudaStream_t stream = current_stream(grad_y);
  BackwardPlan plan;
  STD_TORCH_CHECK(plan_backward(sizes, this_device(), plan), kTooLarge);
  const int64_t rows = sizes.dt_rank + sizes.d_state + 2;
  const Tensor planes = make_planes(gradients.u, plan);
  const Tensor states = empty(grad_y, {plan.states}, ScalarType::Float);
  const Tensor params = empty(grad_y, {plan.groups, tensors.ssm_params.numel()}, ScalarType::Float);
  const Tensor weights =
      empty(grad_y, {sizes.batch, kDirections, rows, sizes.channels}, ScalarType::Float);
  const T* grad_map = static_cast<const T*>(grad_y.const_data_ptr());
  T* grad_u = static_cast<T*>(gradients.u.mutable_data_ptr());
  float* sums = static_cast<float*>(planes.mutable_data_ptr());
  const ScanBackward<T> backward{tensors.arguments<T>({grad_map, grad_u}),
                                 plan.geometry,
                                 grad_map,
                                 plan.directions,
                                 plan.groups,
                                 grad_u,
                                 sums,
                                 states.mutable_data_ptr<float>(),
                                 params.mutable_data_ptr<float>(),
                                 weights.mutable_data_ptr<float>()};
  launch(backward_kernel<T>(plan), plan.blocks, plan.threads, plan.shared_bytes, stream, backward);
  if (!plan.shared_plane) {
    add_up(sums, kDirections / plan.directions, grad_y.numel(), grad_u, stream);
  }
  with_element(gradients.ssm_params.scalar_type(), [&](auto element) {
    using P = decltype(element);
    launch(add_params_kernel<P>, striding_blocks(sizes.batch * kDirections * sizes.length()),
           kStridingThreads, 0, stream, backward.grad_params, plan.groups, plan.geometry,
           static_cast<P*>(gradients.ssm_params.mutable_data_ptr()));
  });
  launch(add_weights_kernel, striding_blocks(kDirections * rows * sizes.channels), kStridingThreads,
         0, stream, backward.grad_weights, plan.geometry,
         WeightGradients{gradients.dt_weight.mutable_data_ptr<float>(),
                         gradients.dt_bias.mutable_data_ptr<float>(),
                         gradients.A_log.mutable_data_ptr<float>(),
                         gradients.D.mutable_data_ptr<float>()});
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> selective_scan_2d_backward(
    const Tensor& grad_y, const Tensor& u, const Tensor& ssm_params, const Tensor& dt_weight,
    const Tensor& dt_bias, const Tensor& A_log, const Tensor& D) {
  const torch::stable::accelerator::DeviceGuard guard(u.get_device_index());
  const DeviceScanTensors tensors(u, ssm_params, dt_weight, dt_bias, A_log, D);
  const ScanSizes& sizes = tensors.sizes;
  check_device_tensor(kOp, grad_y, u);
  const Tensor grad_map = contiguous_as(grad_y, u.scalar_type());
  check_shape("grad_y", grad_map, {sizes.batch, sizes.height, sizes.width, sizes.channels});
  const ScanGradientTensors gradients(sizes, grad_map, u.scalar_type(), ssm_params.scalar_type(),
                                      ScalarType::Float);
  if (grad_map.numel() > 0) {
    with_element(u.scalar_type(),
                 [&](auto element) { run<decltype(element)>(tensors, grad_map, gradients); });
  }
  return gradients.as_types_of(u, ssm_params, dt_weight, dt_bias, A_log, D);
}

}  // namespace
}  // namespace hrvmamba

STABLE_TORCH_LIBRARY_IMPL(hrvmamba, CUDA, m) {
  m.impl("selective_scan_2d_backward", TORCH_BOX(&hrvmamba::selective_scan_2d_backward));
}
