_base_ = [
    "../_base_/schedule_adamw_210e.py",
    "../_base_/coco_384x288.py",
]

model = dict(
    backbone=dict(type="HRVMamba", arch="base", drop_path_rate=0.6, drop_rate=0.2),
    head=dict(in_channels=80),
)
