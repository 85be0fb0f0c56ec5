_base_ = [
    "../_base_/schedule_adamw_300e.py",
    "../_base_/imagenet_224.py",
]

model = dict(
    backbone=dict(arch="base", drop_path_rate=0.2),
    neck=dict(in_channels=(80, 160, 320, 640)),
)
