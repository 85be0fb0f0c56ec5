// The tensors of deformable sampling as its CUDA kernels take them, and the stream to start those
// on.
#pragma once

#include <cuda_runtime.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/macros.h>

#include "../common/deform_sample_tensors.h"
#include "deform_sample_kernel.cuh"

namespace hrvmamba {
namespace {

// The type that kernels read and write: the tensors' own, or float32 where they are of several.
inline ScalarType element_type(std::initializer_list<Tensor> tensors) {
  const Tensor& first = *tensors.begin();
  bool same = true;
  for (const Tensor& x : tensors) {
    const ScalarType type = x.scalar_type();
    STD_TORCH_CHECK(
        type == ScalarType::Float || type == ScalarType::Half || type == ScalarType::BFloat16,
        "deform_sample takes float32, float16 and bfloat16 on CUDA; float64 needs "
        "hrvmamba.ops.backend(\"reference\")");
    STD_TORCH_CHECK(x.is_cuda() && x.get_device_index() == first.get_device_index(),
                    "the arguments of deform_sample are on different devices");
    same = same && type == first.scalar_type();
  }
  return same ? first.scalar_type() : ScalarType::Float;
}

// What function(element) returns, given an element of the type that the kernels have for this one.
template <typename Function>
auto with_element(ScalarType type, const Function& function) {
  if (type == ScalarType::Half) return function(__half());
  if (type == ScalarType::BFloat16) return function(__nv_bfloat16());
  return function(float());
}

template <typename Element>
SampleArguments<Element> device_arguments(const SampleTensors& tensors) {
  // The kernels count channels and columns in 32 bits.
  STD_TORCH_CHECK(
      tensors.sizes.offset_mask_columns <= INT32_MAX / 2 && tensors.sizes.channels <= INT32_MAX / 2,
      "the maps have too many channels");
  return {tensors.sizes, static_cast<const Element*>(tensors.value.const_data_ptr()),
          static_cast<const Element*>(tensors.offset_mask.const_data_ptr())};
}

inline cudaStream_t current_stream(const Tensor& x) {
  void* stream = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(x.get_device_index(), &stream));
  return static_cast<cudaStream_t>(stream);
}

}  // namespace
}  // namespace hrvmamba
