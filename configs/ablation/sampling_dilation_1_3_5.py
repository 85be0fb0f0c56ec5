# Each dilation on a third of the channels.
_base_ = ["./sampling_deformable.py"]

model = dict(backbone=dict(arch=dict(dilations=(1, 3, 5))))
