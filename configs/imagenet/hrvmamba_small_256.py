_base_ = [
    "../_base_/schedule_adamw_300e.py",
    "../_base_/imagenet_256.py",
]

model = dict(
    backbone=dict(arch="small", drop_path_rate=0.2),
    neck=dict(in_channels=(32, 64, 128, 256)),
)
