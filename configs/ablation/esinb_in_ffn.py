# ESInB's convolutions between the two layers of the FFN, in place of a block of their own.
_base_ = ["./sampling_deformable.py"]

model = dict(backbone=dict(arch=dict(esinb="ffn")))
