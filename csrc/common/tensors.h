// Checks and conversions of the operators' tensors, on the host.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <initializer_list>

namespace hrvmamba {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// The shape is the caller's to check with the names its users know; this guards the memory.
inline void check_shape(const char* name, const Tensor& x, std::initializer_list<int64_t> shape) {
  bool fits = x.dim() == static_cast<int64_t>(shape.size());
  int64_t dimension = 0;
  for (int64_t size : shape) fits = fits && x.size(dimension++) == size;
  STD_TORCH_CHECK(fits, name, " does not have the shape that the other arguments need");
}

// The type to compute in: double where an argument is double, else float.
inline ScalarType compute_type(std::initializer_list<Tensor> tensors) {
  for (const Tensor& x : tensors) {
    if (x.scalar_type() == ScalarType::Double) return ScalarType::Double;
  }
  return ScalarType::Float;
}

inline Tensor as_type(const Tensor& x, ScalarType type) {
  return x.scalar_type() == type ? x : torch::stable::to(x, type);
}

inline Tensor contiguous_as(const Tensor& x, ScalarType type) {
  return torch::stable::contiguous(as_type(x, type));
}

inline Tensor empty(const Tensor& like, std::initializer_list<int64_t> shape, ScalarType type) {
  return torch::stable::new_empty(like, torch::headeronly::IntHeaderOnlyArrayRef(shape), type);
}

inline Tensor zeros(const Tensor& like, std::initializer_list<int64_t> shape, ScalarType type) {
  return torch::stable::new_zeros(like, torch::headeronly::IntHeaderOnlyArrayRef(shape), type);
}

}  // namespace hrvmamba
