// The operators' schemas, each once. Their kernels are registered beside their host functions.
#include <torch/csrc/stable/library.h>

#define PY_SSIZE_T_CLEAN
#include <Python.h>

STABLE_TORCH_LIBRARY(hrvmamba, m) {
  m.def("deform_sample(Tensor value, Tensor offset_mask, SymInt groups, bool silu) -> Tensor");
  m.def(
      "deform_sample_backward(Tensor grad_out, Tensor value, Tensor offset_mask, SymInt groups, "
      "bool silu, bool deterministic) -> (Tensor, Tensor)");
  m.def(
      "selective_scan_2d(Tensor u, Tensor ssm_params, Tensor dt_weight, Tensor dt_bias, "
      "Tensor A_log, Tensor D) -> Tensor");
  m.def(
      "selective_scan_2d_backward(Tensor grad_y, Tensor u, Tensor ssm_params, Tensor dt_weight, "
      "Tensor dt_bias, Tensor A_log, Tensor D) -> "
      "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)");
}

// Importing hrvmamba._C loads the library, which registers the operators; the module is empty.
PyMODINIT_FUNC PyInit__C(void) {
  static PyModuleDef definition = {
      PyModuleDef_HEAD_INIT, "_C", nullptr, -1, nullptr, nullptr, nullptr, nullptr, nullptr};
  return PyModule_Create(&definition);
}
