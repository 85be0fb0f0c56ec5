_base_ = [
    "../_base_/schedule_adamw_300e.py",
    "../_base_/imagenet_256.py",
]

model = dict(
    backbone=dict(arch="nano", drop_path_rate=0.1),
    neck=dict(in_channels=(8, 16, 32, 64)),
)
