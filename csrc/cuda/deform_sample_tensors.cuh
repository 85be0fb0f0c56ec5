// The tensors of deformable sampling as its CUDA kernels take them.
#pragma once

#include "../common/deform_sample_tensors.h"
#include "deform_sample_kernel.cuh"
#include "tensors.cuh"

namespace hrvmamba {
namespace {

// The type that kernels read and write: the tensors' own, or float32 where they are of several.
inline ScalarType element_type(std::initializer_list<Tensor> tensors) {
  const Tensor& first = *tensors.begin();
  bool same = true;
  for (const Tensor& x : tensors) {
    check_device_tensor("deform_sample", x, first);
    same = same && x.scalar_type() == first.scalar_type();
  }
  return same ? first.scalar_type() : ScalarType::Float;
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

}  // namespace
}  // namespace hrvmamba
