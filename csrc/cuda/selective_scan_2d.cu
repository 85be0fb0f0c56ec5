// selective_scan_2d on a CUDA device.
#include "selective_scan_2d_tensors.cuh"

namespace hrvmamba {
namespace {

template <typename T>
void run(const DeviceScanTensors& tensors, const Tensor& y) {
  const cudaStream_t stream = current_stream(y);
  ScanPlan plan;
  STD_TORCH_CHECK(plan_forward(tensors.sizes, this_device(), plan), kTooLarge);
  const Tensor planes = make_planes(y, plan);
  T* target = static_cast<T*>(y.mutable_data_ptr());
  float* sums = static_cast<float*>(planes.mutable_data_ptr());
  const ScanForward<T> forward{tensors.arguments<T>({target}), plan.geometry, plan.directions,
                               target, sums};
  launch(forward_kernel<T>(plan), forward_blocks(plan), plan.threads, plan.shared_bytes, stream,
         forward);
  if (!plan.shared_plane) add_up(sums, kDirections / plan.directions, y.numel(), target, stream);
}

Tensor selective_scan_2d(const Tensor& u, const Tensor& ssm_params, const Tensor& dt_weight,
                         const Tensor& dt_bias, const Tensor& A_log, const Tensor& D) {
  const torch::stable::accelerator::DeviceGuard guard(u.get_device_index());
  const DeviceScanTensors tensors(u, ssm_params, dt_weight, dt_bias, A_log, D);
  const ScanSizes& sizes = tensors.sizes;
  const Tensor y =
      empty(tensors.u, {sizes.batch, sizes.height, sizes.width, sizes.channels}, u.scalar_type());
  if (y.numel() > 0) {
    with_element(u.scalar_type(), [&](auto element) { run<decltype(element)>(tensors, y); });
  }
  return y;
}

}  // namespace
}  // namespace hrvmamba

STABLE_TORCH_LIBRARY_IMPL(hrvmamba, CUDA, m) {
  m.impl("selective_scan_2d", TORCH_BOX(&hrvmamba::selective_scan_2d));
}
