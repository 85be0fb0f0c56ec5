#include "kernels.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace hrvmamba {
namespace {

enum class InstructionSet { kPortable, kAvx2, kAvx512 };

InstructionSet best_instruction_set() {
#ifdef HRVMAMBA_X86
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
    return InstructionSet::kAvx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return InstructionSet::kAvx2;
#endif
  return InstructionSet::kPortable;
}

// The best that this machine has, or a lesser one that HRVMAMBA_CPU_CAPABILITY names: so that each
// can be tested where there is a better one.
InstructionSet choose_instruction_set() {
  const InstructionSet best = best_instruction_set();
  const char* wanted = std::getenv("HRVMAMBA_CPU_CAPABILITY");
  if (wanted == nullptr) return best;
  const std::string name = wanted;
  const InstructionSet set = name == "portable" ? InstructionSet::kPortable
                             : name == "avx2"   ? InstructionSet::kAvx2
                                                : InstructionSet::kAvx512;
  if ((set == InstructionSet::kAvx512 && name != "avx512") || set > best) {
    throw std::runtime_error("HRVMAMBA_CPU_CAPABILITY: got " + name +
                             ", needs portable, avx2 or avx512, and no more than the machine has");
  }
  return set;
}

}  // namespace

template <typename T>
const Kernels<T>& kernels() {
  static const InstructionSet set = choose_instruction_set();
#ifdef HRVMAMBA_X86
  if (set == InstructionSet::kAvx512) return avx512::kernels<T>();
  if (set == InstructionSet::kAvx2) return avx2::kernels<T>();
#endif
  return portable::kernels<T>();
}

template const Kernels<float>& kernels<float>();
template const Kernels<double>& kernels<double>();

}  // namespace hrvmamba
