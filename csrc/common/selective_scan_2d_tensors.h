// The tensors of a selective scan as its kernels take them.
#pragma once

#include "selective_scan_2d.h"
#include "tensors.h"

namespace hrvmamba {

// Contiguous arguments of one type. They must outlive what is made of their pointers.
struct ScanTensors {
  Tensor u, ssm_params, dt_weight, dt_bias, A_log, D;
  ScanSizes sizes;

  ScanTensors(const Tensor& u_, const Tensor& ssm_params_, const Tensor& dt_weight_,
              const Tensor& dt_bias_, const Tensor& A_log_, const Tensor& D_, ScalarType type)
      : u(contiguous_as(u_, type)),
        ssm_params(contiguous_as(ssm_params_, type)),
        dt_weight(contiguous_as(dt_weight_, type)),
        dt_bias(contiguous_as(dt_bias_, type)),
        A_log(contiguous_as(A_log_, type)),
        D(contiguous_as(D_, type)) {
    STD_TORCH_CHECK(u.dim() == 4 && dt_weight.dim() == 3 && A_log.dim() == 3,
                    "u, dt_weight or A_log has the wrong number of dimensions");
    sizes = {u.size(0), u.size(1), u.size(2), u.size(3), dt_weight.size(2), A_log.size(2)};
    const int64_t channels = sizes.channels;
    check_shape("ssm_params", ssm_params,
                {sizes.batch, sizes.height, sizes.width, kDirections, sizes.params()});
    check_shape("dt_weight", dt_weight, {kDirections, channels, sizes.dt_rank});
    check_shape("dt_bias", dt_bias, {kDirections, channels});
    check_shape("A_log", A_log, {kDirections, channels, sizes.d_state});
    check_shape("D", D, {kDirections, channels});
  }

  template <typename T>
  ScanArguments<T> arguments() const {
    return {sizes,
            u.const_data_ptr<T>(),
            ssm_params.const_data_ptr<T>(),
            dt_weight.const_data_ptr<T>(),
            dt_bias.const_data_ptr<T>(),
            A_log.const_data_ptr<T>(),
            D.const_data_ptr<T>()};
  }
};

}  // namespace hrvmamba
