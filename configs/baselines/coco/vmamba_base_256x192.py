_base_ = ["./vmamba_tiny_256x192.py"]

model = dict(
    backbone=dict(arch="base", drop_path_rate=0.6),
    head=dict(in_channels=1024),
)
