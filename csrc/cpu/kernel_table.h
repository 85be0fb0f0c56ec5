// The body of each kernels_<instruction set>.cpp. HRVMAMBA_INSTRUCTION_SET names its namespace.
#include "deform_sample_backward_kernel.h"
#include "deform_sample_kernel.h"
#include "selective_scan_2d_backward_kernel.h"
#include "selective_scan_2d_kernel.h"

namespace hrvmamba {
namespace HRVMAMBA_INSTRUCTION_SET {

template <typename T>
const Kernels<T>& kernels() {
  static constexpr Kernels<T> table{
      kMaxChannels<T>,  scan_scratch<T>, scan_backward_scratch<T>, scan<T>,
      scan_backward<T>, sample<T>,       sample_backward<T>,
  };
  return table;
}

template const Kernels<float>& kernels<float>();
template const Kernels<double>& kernels<double>();

}  // namespace HRVMAMBA_INSTRUCTION_SET
}  // namespace hrvmamba
