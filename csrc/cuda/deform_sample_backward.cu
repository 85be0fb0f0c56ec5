// The gradients of deform_sample on a CUDA device.
#include <tuple>

#include "deform_sample_backward_kernel.cuh"
#include "deform_sample_tensors.cuh"

namespace hrvmamba {
namespace {

template <typename Element>
struct DeviceGradients {
  SampleArguments<Element> arguments;
  const Element* grad_out;
  Element* grad_offset_mask;
  cudaStream_t stream;

  template <typename Sums>
  void add_to(const Sums& sums) const {
    if (whole_packs(arguments.sizes, {arguments.value, grad_out})) {
      start<kPackChannels<Element>>(sums);
    } else {
      start<1>(sums);
    }
  }

 private:
  template <int kChannels, typename Sums>
  void start(const Sums& sums) const {
    const SampleTiling tiling = sample_tiling<kChannels>(arguments.sizes);
    sample_backward_kernel<Element, kChannels><<<tiling.blocks, tiling.threads(), 0, stream>>>(
        arguments, tiling, grad_out, sums, grad_offset_mask);
    STD_CUDA_KERNEL_LAUNCH_CHECK();
  }
};

// The gradient of value, of any floating type.
template <typename Element>
Tensor run(const SampleTensors& tensors, const Tensor& grad_out, const Tensor& grad_offset_mask,
           bool deterministic) {
  const SampleSizes& sizes = tensors.sizes;
  const cudaStream_t stream = current_stream(grad_out);
  const DeviceGradients<Element> gradients{
      device_arguments<Element>(tensors), static_cast<const Element*>(grad_out.const_data_ptr()),
      static_cast<Element*>(grad_offset_mask.mutable_data_ptr()), stream};
  const auto zero_map = [&](ScalarType type) {
    return zeros(grad_out, {sizes.batch, sizes.height, sizes.width, sizes.channels}, type);
  };
  if (!deterministic) {
    const Tensor grad_value = zero_map(ScalarType::Float);
    gradients.add_to(FloatSums{static_cast<float*>(grad_value.mutable_data_ptr())});
    return grad_value;
  }
  const Tensor integers = zero_map(ScalarType::Long);
  static_assert(sizeof(SampleBounds) == 3 * sizeof(int32_t), "bounds are rows of integers");
  const Tensor bounds = zeros(grad_out, {sizes.batch, 3}, ScalarType::Int);
  const Tensor grad_value = empty(
      grad_out, {sizes.batch, sizes.height, sizes.width, sizes.channels}, grad_out.scalar_type());
  const IntegerSums sums{static_cast<unsigned long long*>(integers.mutable_data_ptr()),
                         static_cast<SampleBounds*>(bounds.mutable_data_ptr()),
                         contribution_bits(sizes)};
  const dim3 grid = elementwise_grid(sizes);
  sample_bounds_kernel<<<grid, kElementwiseThreads, 0, stream>>>(gradients.arguments,
                                                                 gradients.grad_out, sums.bounds);
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  gradients.add_to(sums);
  sample_sums_kernel<<<grid, kElementwiseThreads, 0, stream>>>(
      sizes, sums, static_cast<Element*>(grad_value.mutable_data_ptr()));
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return grad_value;
}

std::tuple<Tensor, Tensor> deform_sample_backward(const Tensor& grad_out, const Tensor& value,
                                                  const Tensor& offset_mask, int64_t groups,
                                                  bool silu, bool deterministic) {
  const ScalarType type = element_type({value, offset_mask, grad_out});
  const torch::stable::accelerator::DeviceGuard guard(value.get_device_index());
  const SampleTensors tensors(value, offset_mask, groups, silu, type);
  const SampleSizes& sizes = tensors.sizes;
  const Tensor grad_map = contiguous_as(grad_out, type);
  check_shape("grad_out", grad_map, {sizes.batch, sizes.height, sizes.width, sizes.channels});
  // Zero in the columns of padding, which the kernel leaves.
  const Tensor grad_offset_mask =
      zeros(grad_map, {sizes.batch, sizes.height, sizes.width, sizes.offset_mask_columns}, type);
  const Tensor grad_value =
      grad_map.numel() == 0
          ? torch::stable::empty_like(grad_map)
          : with_element(type, [&](auto element) {
              return run<decltype(element)>(tensors, grad_map, grad_offset_mask, deterministic);
            });
  return {as_type(grad_value, value.scalar_type()),
          as_type(grad_offset_mask, offset_mask.scalar_type())};
}

}  // namespace
}  // namespace hrvmamba

STABLE_TORCH_LIBRARY_IMPL(hrvmamba, CUDA, m) {
  m.impl("deform_sample_backward", TORCH_BOX(&hrvmamba::deform_sample_backward));
}
