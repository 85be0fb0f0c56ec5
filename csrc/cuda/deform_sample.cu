// deform_sample on a CUDA device.
#include "deform_sample_tensors.cuh"

namespace hrvmamba {
namespace {

template <int kChannels, typename Element>
void start(const SampleArguments<Element>& arguments, Element* out, cudaStream_t stream) {
  const SampleTiling tiling = sample_tiling<kChannels>(arguments.sizes);
  sample_kernel<Element, kChannels>
      <<<tiling.blocks, tiling.threads(), 0, stream>>>(arguments, tiling, out);
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

template <typename Element>
void run(const SampleTensors& tensors, const Tensor& out) {
  const SampleArguments<Element> arguments = device_arguments<Element>(tensors);
  Element* target = static_cast<Element*>(out.mutable_data_ptr());
  const cudaStream_t stream = current_stream(out);
  if (whole_packs<Element>(arguments.sizes, {arguments.value, target})) {
    start<kPackChannels<Element>>(arguments, target, stream);
  } else {
    start<1>(arguments, target, stream);
  }
}

Tensor deform_sample(const Tensor& value, const Tensor& offset_mask, int64_t groups, bool silu) {
  const ScalarType type = element_type({value, offset_mask});
  const torch::stable::accelerator::DeviceGuard guard(value.get_device_index());
  const SampleTensors tensors(value, offset_mask, groups, silu, type);
  const SampleSizes& sizes = tensors.sizes;
  const Tensor out =
      empty(tensors.value, {sizes.batch, sizes.height, sizes.width, sizes.channels}, type);
  if (out.numel() > 0) {
    with_element(type, [&](auto element) { run<decltype(element)>(tensors, out); });
  }
  return as_type(out, value.scalar_type());
}

}  // namespace
}  // namespace hrvmamba

STABLE_TORCH_LIBRARY_IMPL(hrvmamba, CUDA, m) {
  m.impl("deform_sample", TORCH_BOX(&hrvmamba::deform_sample));
}
