// The tensors of a selective scan as its CUDA kernels take them, and how kernels are launched.
#pragma once

#include "../common/selective_scan_2d_tensors.h"
#include "selective_scan_2d_kernel.cuh"
#include "tensors.cuh"

namespace hrvmamba {
namespace {

inline bool is_aligned(const void* address, ScalarType type) {
  const size_t bytes = kThreadChannels * (type == ScalarType::Float ? 4 : 2);
  return reinterpret_cast<uintptr_t>(address) % bytes == 0;
}

inline ElementType element_type(const Tensor& x) {
  switch (x.scalar_type()) {
    case ScalarType::Half:
      return ElementType::kHalf;
    case ScalarType::BFloat16:
      return ElementType::kBFloat16;
    default:
      return ElementType::kFloat;
  }
}

constexpr char kOp[] = "selective_scan_2d";
constexpr char kTooLarge[] =
    "selective_scan_2d: a map, dt_rank or d_state is too large for the CUDA kernels";

// The sizes of arguments that the CUDA kernels take.
inline ScanSizes check_scan(const Tensor& u, const Tensor& ssm_params, const Tensor& dt_weight,
                            const Tensor& dt_bias, const Tensor& A_log, const Tensor& D) {
  for (const Tensor& x : {u, ssm_params, dt_weight, dt_bias, A_log, D}) {
    check_device_tensor(kOp, x, u);
  }
  const ScanSizes sizes = scan_sizes(u, ssm_params, dt_weight, dt_bias, A_log, D);
  STD_TORCH_CHECK(sizes.d_state > 0, "A_log has no states");
  return sizes;
}

// Contiguous arguments: u and ssm_params each of its own type, which the kernels read as they are,
// and the small weights in float32. They must outlive what is made of their pointers.
struct DeviceScanTensors {
  ScanSizes sizes;
  Tensor u, ssm_params, dt_weight, dt_bias, A_log, D;

  DeviceScanTensors(const Tensor& u_, const Tensor& ssm_params_, const Tensor& dt_weight_,
                    const Tensor& dt_bias_, const Tensor& A_log_, const Tensor& D_)
      : sizes(check_scan(u_, ssm_params_, dt_weight_, dt_bias_, A_log_, D_)),
        u(torch::stable::contiguous(u_)),
        ssm_params(torch::stable::contiguous(ssm_params_)),
        dt_weight(contiguous_as(dt_weight_, ScalarType::Float)),
        dt_bias(contiguous_as(dt_bias_, ScalarType::Float)),
        A_log(contiguous_as(A_log_, ScalarType::Float)),
        D(contiguous_as(D_, ScalarType::Float)) {}

  // `others` are maps of u's shape and type that are loaded or stored beside u.
  template <typename T>
  DeviceScanArguments<T> arguments(std::initializer_list<const void*> others) const {
    bool aligned = sizes.channels % kThreadChannels == 0;
    aligned = aligned && is_aligned(u.const_data_ptr(), u.scalar_type());
    for (const void* other : others) aligned = aligned && is_aligned(other, u.scalar_type());
    return {static_cast<const T*>(u.const_data_ptr()),
            ssm_params.const_data_ptr(),
            element_type(ssm_params),
            dt_weight.const_data_ptr<float>(),
            dt_bias.const_data_ptr<float>(),
            A_log.const_data_ptr<float>(),
            D.const_data_ptr<float>(),
            aligned};
  }
};

inline Device this_device() {
  int number = 0;
  Device device{};
  STD_CUDA_CHECK(cudaGetDevice(&number));
  STD_CUDA_CHECK(
      cudaDeviceGetAttribute(&device.processors, cudaDevAttrMultiProcessorCount, number));
  STD_CUDA_CHECK(cudaDeviceGetAttribute(&device.shared_bytes,
                                        cudaDevAttrMaxSharedMemoryPerBlockOptin, number));
  return device;
}

template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), int64_t blocks, int threads, int shared_bytes,
            cudaStream_t stream, const Arguments&... arguments) {
  constexpr int kWithoutAsking = 48 * 1024;  // bytes of shared memory
  if (shared_bytes > kWithoutAsking) {
    STD_CUDA_CHECK(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes));
  }
  kernel<<<static_cast<unsigned>(blocks), threads, shared_bytes, stream>>>(arguments...);
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

// Blocks for kernels that stride over `count` elements.
constexpr int kStridingThreads = 256;
inline int64_t striding_blocks(int64_t count) {
  constexpr int64_t kMost = 1 << 16;
  const int64_t blocks = (count + kStridingThreads - 1) / kStridingThreads;
  return blocks < kMost ? blocks : kMost;
}

// Adds the directions' planes up into a map, unless they are the map.
template <typename T>
void add_up(const float* planes, int parts, int64_t length, T* target, cudaStream_t stream) {
  if (static_cast<const void*>(planes) == static_cast<const void*>(target)) return;
  launch(add_up_kernel<T>, striding_blocks(length), kStridingThreads, 0, stream, planes, parts,
         length, target);
}

// Where the directions are added up outside shared memory: in the map itself where that works.
inline Tensor make_planes(const Tensor& map, const ScanPlan& plan) {
  const int parts = kDirections / plan.directions;
  if (plan.shared_plane || (parts == 1 && map.scalar_type() == ScalarType::Float)) return map;
  return empty(map, {parts, map.numel()}, ScalarType::Float);
}

}  // namespace
}  // namespace hrvmamba
