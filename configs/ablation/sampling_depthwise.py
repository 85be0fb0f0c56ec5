# VMamba's SS2D: a 3x3 depthwise convolution in the place of the deformable sampling.
_base_ = ["./sampling_deformable.py"]

model = dict(backbone=dict(arch=dict(dilations=(1,))))
