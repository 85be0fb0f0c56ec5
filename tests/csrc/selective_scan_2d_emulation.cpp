// The scan's CUDA kernels on the host, behind functions that ctypes can call. Arrays are of floats,
// and converted to the kernels' types here.
// Compiled with -I of the kernels' folder, so that a test can give it another copy of them.
#include "cuda_emulation.h"

#include "selective_scan_2d_backward_kernel.cuh"

using namespace hrvmamba;

namespace {

struct Run {
  ScanSizes sizes;
  Device device;
  const float* const* inputs;  // u, ssm_params, dt_weight, dt_bias, A_log and D

  int64_t map() const { return sizes.batch * sizes.length() * sizes.channels; }
  int64_t params() const { return sizes.batch * sizes.length() * kDirections * sizes.params(); }
};

template <typename T>
std::vector<T> converted(const float* source, int64_t length) {
  std::vector<T> result(length);
  for (int64_t i = 0; i < length; ++i) result[i] = from_float<T>(source[i]);
  return result;
}

// Filled with NaN: what is not written must not be read.
template <typename T = float>
std::vector<T> scratch(int64_t length) {
  return std::vector<T>(length, from_float<T>(NAN));
}

template <typename T>
void copy(const std::vector<T>& source, float* target) {
  for (size_t i = 0; i < source.size(); ++i) target[i] = to_float(source[i]);
}

// u and ssm_params in the kernels' type, float32 weights.
template <typename T>
struct Arguments : DeviceScanArguments<T> {
  std::vector<T> u_elements, params_elements;

  Arguments(const Run& run, ElementType type)
      : u_elements(converted<T>(run.inputs[0], run.map())),
        params_elements(converted<T>(run.inputs[1], run.params())) {
    static_cast<DeviceScanArguments<T>&>(*this) = {u_elements.data(),
                                                   params_elements.data(),
                                                   type,
                                                   run.inputs[2],
                                                   run.inputs[3],
                                                   run.inputs[4],
                                                   run.inputs[5],
                                                   run.sizes.channels % kThreadChannels == 0};
  }
};

template <typename T>
void add_up(const std::vector<float>& planes, const ScanPlan& plan, std::vector<T>& target) {
  emulation::launch(add_up_kernel<T>, 2, 64, 0, planes.data(), kDirections / plan.directions,
                    static_cast<int64_t>(target.size()), target.data());
}

template <typename T>
int forward(const Run& run, ElementType type, float* y) {
  ScanPlan plan;
  if (!plan_forward(run.sizes, run.device, plan)) return 1;
  const Arguments<T> arguments(run, type);
  std::vector<T> target = scratch<T>(run.map());
  std::vector<float> planes = scratch(kDirections / plan.directions * run.map());
  const ScanForward<T> scan{arguments, plan.geometry, plan.directions, target.data(),
                            planes.data()};
  emulation::launch(forward_kernel<T>(plan), forward_blocks(plan), plan.threads, plan.shared_bytes,
                    scan);
  if (!plan.shared_plane) add_up(planes, plan, target);
  copy(target, y);
  return 0;
}

template <typename T>
int backward(const Run& run, ElementType type, const float* grad_y, float* const* gradients) {
  const ScanSizes& sizes = run.sizes;
  BackwardPlan plan;
  if (!plan_backward(sizes, run.device, plan)) return 1;
  const Arguments<T> arguments(run, type);
  const std::vector<T> grad_map = converted<T>(grad_y, run.map());
  std::vector<T> grad_u = scratch<T>(run.map()), grad_params = scratch<T>(run.params());
  std::vector<float> planes = scratch(kDirections / plan.directions * run.map());
  std::vector<float> states = scratch(plan.states), params = scratch(plan.groups * run.params());
  std::vector<float> weights =
      scratch(sizes.batch * kDirections * (sizes.dt_rank + sizes.d_state + 2) * sizes.channels);
  const ScanBackward<T> scan{arguments,     plan.geometry, grad_map.data(), plan.directions,
                             plan.groups,   grad_u.data(), planes.data(),   states.data(),
                             params.data(), weights.data()};
  emulation::launch(backward_kernel<T>(plan), plan.blocks, plan.threads, plan.shared_bytes, scan);
  if (!plan.shared_plane) add_up(planes, plan, grad_u);
  emulation::launch(add_params_kernel<T>, 2, 64, 0, params.data(), plan.groups, plan.geometry,
                    grad_params.data());
  emulation::launch(add_weights_kernel, 2, 64, 0, weights.data(), plan.geometry,
                    WeightGradients{gradients[2], gradients[3], gradients[4], gradients[5]});
  copy(grad_u, gradients[0]);
  copy(grad_params, gradients[1]);
  return 0;
}

Run make_run(const int64_t* sizes, const float* const* inputs, int processors, int shared_bytes) {
  return {{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5]},
          {processors, shared_bytes},
          inputs};
}

}  // namespace

extern "C" {

// sizes: batch, height, width, channels, dt_rank and d_state. type: that of u and ssm_params, an
// ElementType. Each function returns 0, or 1 where the device is too small.
int scan_forward(const int64_t* sizes, const float* const* inputs, int type, int processors,
                 int shared_bytes, float* y) {
  const Run run = make_run(sizes, inputs, processors, shared_bytes);
  switch (static_cast<ElementType>(type)) {
    case ElementType::kHalf:
      return forward<__half>(run, ElementType::kHalf, y);
    case ElementType::kBFloat16:
      return forward<__nv_bfloat16>(run, ElementType::kBFloat16, y);
    default:
      return forward<float>(run, ElementType::kFloat, y);
  }
}

// gradients: of the inputs, in their order.
int scan_backward(const int64_t* sizes, const float* const* inputs, const float* grad_y, int type,
                  int processors, int shared_bytes, float* const* gradients) {
  const Run run = make_run(sizes, inputs, processors, shared_bytes);
  switch (static_cast<ElementType>(type)) {
    case ElementType::kHalf:
      return backward<__half>(run, ElementType::kHalf, grad_y, gradients);
    case ElementType::kBFloat16:
      return backward<__nv_bfloat16>(run, ElementType::kBFloat16, grad_y, gradients);
    default:
      return backward<float>(run, ElementType::kFloat, grad_y, gradients);
  }
}

}  // extern "C"
