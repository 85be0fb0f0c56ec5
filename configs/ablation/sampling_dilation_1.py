# A dilation of 1 is none: the same network as sampling_depthwise.
_base_ = ["./sampling_depthwise.py"]
