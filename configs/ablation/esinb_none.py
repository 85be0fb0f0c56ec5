_base_ = ["./sampling_deformable.py"]

model = dict(backbone=dict(arch=dict(esinb="none")))
