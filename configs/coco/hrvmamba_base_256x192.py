_base_ = [
    "../_base_/schedule_adamw_210e.py",
    "../_base_/coco_256x192.py",
]

model = dict(
    backbone=dict(type="HRVMamba", arch="base", drop_path_rate=0.2, drop_rate=0.0),
    head=dict(in_channels=80),
)
