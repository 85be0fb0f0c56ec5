_base_ = [
    "../_base_/schedule_adamw_210e.py",
    "../_base_/coco_256x192.py",
]

model = dict(
    backbone=dict(type="HRVMamba", arch="nano", drop_path_rate=0.1, drop_rate=0.0),
    head=dict(in_channels=8),
)
