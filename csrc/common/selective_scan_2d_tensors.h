// The tensors of a selective scan as its kernels take them.
#pragma once

#include <tuple>

#include "selective_scan_2d.h"
#include "tensors.h"

namespace hrvmamba {

// The sizes of arguments whose shapes fit one another.
inline ScanSizes scan_sizes(const Tensor& u, const Tensor& ssm_params, const Tensor& dt_weight,
                            const Tensor& dt_bias, const Tensor& A_log, const Tensor& D) {
  STD_TORCH_CHECK(u.dim() == 4 && dt_weight.dim() == 3 && A_log.dim() == 3,
                  "u, dt_weight or A_log has the wrong number of dimensions");
  const ScanSizes sizes{u.size(0), u.size(1),         u.size(2),
                        u.size(3), dt_weight.size(2), A_log.size(2)};
  check_shape("ssm_params", ssm_params,
              {sizes.batch, sizes.height, sizes.width, kDirections, sizes.params()});
  check_shape("dt_weight", dt_weight, {kDirections, sizes.channels, sizes.dt_rank});
  check_shape("dt_bias", dt_bias, {kDirections, sizes.channels});
  check_shape("A_log", A_log, {kDirections, sizes.channels, sizes.d_state});
  check_shape("D", D, {kDirections, sizes.channels});
  return sizes;
}

// The gradients of the arguments, to be filled: zero where the map is empty.
struct ScanGradientTensors {
  Tensor u, ssm_params, dt_weight, dt_bias, A_log, D;

  ScanGradientTensors(const ScanSizes& sizes, const Tensor& grad_y, ScalarType u_type,
                      ScalarType params_type, ScalarType weight_type) {
    const auto make = [&](std::initializer_list<int64_t> shape, ScalarType type) {
      return grad_y.numel() == 0 ? zeros(grad_y, shape, type) : empty(grad_y, shape, type);
    };
    u = make({sizes.batch, sizes.height, sizes.width, sizes.channels}, u_type);
    ssm_params =
        make({sizes.batch, sizes.height, sizes.width, kDirections, sizes.params()}, params_type);
    dt_weight = make({kDirections, sizes.channels, sizes.dt_rank}, weight_type);
    dt_bias = make({kDirections, sizes.channels}, weight_type);
    A_log = make({kDirections, sizes.channels, sizes.d_state}, weight_type);
    D = make({kDirections, sizes.channels}, weight_type);
  }

  // Each in the type of its argument.
  std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> as_types_of(
      const Tensor& u_, const Tensor& ssm_params_, const Tensor& dt_weight_, const Tensor& dt_bias_,
      const Tensor& A_log_, const Tensor& D_) const {
    return {as_type(u, u_.scalar_type()),
            as_type(ssm_params, ssm_params_.scalar_type()),
            as_type(dt_weight, dt_weight_.scalar_type()),
            as_type(dt_bias, dt_bias_.scalar_type()),
            as_type(A_log, A_log_.scalar_type()),
            as_type(D, D_.scalar_type())};
  }
};

// Contiguous arguments of one type. They must outlive what is made of their pointers.
struct ScanTensors {
  ScanSizes sizes;
  Tensor u, ssm_params, dt_weight, dt_bias, A_log, D;

  ScanTensors(const Tensor& u_, const Tensor& ssm_params_, const Tensor& dt_weight_,
              const Tensor& dt_bias_, const Tensor& A_log_, const Tensor& D_, ScalarType type)
      : sizes(scan_sizes(u_, ssm_params_, dt_weight_, dt_bias_, A_log_, D_)),
        u(contiguous_as(u_, type)),
        ssm_params(contiguous_as(ssm_params_, type)),
        dt_weight(contiguous_as(dt_weight_, type)),
        dt_bias(contiguous_as(dt_bias_, type)),
        A_log(contiguous_as(A_log_, type)),
        D(contiguous_as(D_, type)) {}

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
