// Tensors on a CUDA device, and the stream to start kernels on.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/macros.h>

#include "../common/tensors.h"

namespace hrvmamba {
namespace {

// Refuses a type that the kernels lack, and another device than that of an operator's first tensor.
inline void check_device_tensor(const char* op, const Tensor& x, const Tensor& first) {
  const ScalarType type = x.scalar_type();
  STD_TORCH_CHECK(
      type == ScalarType::Float || type == ScalarType::Half || type == ScalarType::BFloat16, op,
      " takes float32, float16 and bfloat16 on CUDA; float64 needs "
      "hrvmamba.ops.backend(\"reference\")");
  STD_TORCH_CHECK(x.is_cuda() && x.get_device_index() == first.get_device_index(),
                  "the arguments of ", op, " are on different devices");
}

// What function(element) returns, given an element of the type that the kernels have for this one.
template <typename Function>
auto with_element(ScalarType type, const Function& function) {
  if (type == ScalarType::Half) return function(__half());
  if (type == ScalarType::BFloat16) return function(__nv_bfloat16());
  return function(float());
}

inline cudaStream_t current_stream(const Tensor& x) {
  void* stream = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(x.get_device_index(), &stream));
  return static_cast<cudaStream_t>(stream);
}

}  // namespace
}  // namespace hrvmamba
