# ESInB as a block of its own, ahead of DSS2D: the same network as sampling_deformable.
_base_ = ["./sampling_deformable.py"]
