// The tensors of deformable sampling as its kernels take them.
#pragma once

#include "deform_sample.h"
#include "tensors.h"

namespace hrvmamba {

// Contiguous arguments of one type. They must outlive what is made of their pointers.
struct SampleTensors {
  Tensor value, offset_mask;
  SampleSizes sizes;

  SampleTensors(const Tensor& value_, const Tensor& offset_mask_, int64_t groups, bool silu,
                ScalarType type)
      : value(contiguous_as(value_, type)), offset_mask(contiguous_as(offset_mask_, type)) {
    STD_TORCH_CHECK(value.dim() == 4 && offset_mask.dim() == 4,
                    "value and offset_mask need 4 dimensions");
    sizes = {value.size(0), value.size(1),       value.size(2), value.size(3),
             groups,        offset_mask.size(3), silu};
    STD_TORCH_CHECK(groups > 0 && sizes.channels % groups == 0,
                    "groups must divide the channels of value");
    STD_TORCH_CHECK(sizes.offset_mask_columns >= groups * kOffsetMaskColumns,
                    "offset_mask has too few columns");
    // Positions within a map are kept in 32 bits.
    STD_TORCH_CHECK(sizes.length() < (int64_t{1} << 30), "the map is too large");
    check_shape("offset_mask", offset_mask,
                {sizes.batch, sizes.height, sizes.width, sizes.offset_mask_columns});
  }

  template <typename T>
  SampleArguments<T> arguments() const {
    return {sizes, value.const_data_ptr<T>(), offset_mask.const_data_ptr<T>()};
  }
};

}  // namespace hrvmamba
