# Four kernels of one size, in place of 3, 5, 7 and 9.
_base_ = ["./sampling_deformable.py"]

model = dict(backbone=dict(arch=dict(esinb_kernel_sizes=(3, 3, 3, 3))))
