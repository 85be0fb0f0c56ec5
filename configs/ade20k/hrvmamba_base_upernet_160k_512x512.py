# From an ImageNet classifier, whose backbone and neck fit: --cfg-options load_from=FILE
_base_ = [
    "../_base_/schedule_adamw_160k.py",
    "../_base_/ade20k_512x512.py",
    "../_base_/upernet_512x512.py",
]

model = dict(
    backbone=dict(
        type="HRVMamba",
        arch="base",
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.15,
        esinb_drop_path=True,
    ),
    neck=dict(in_channels=(80, 160, 320, 640)),
)
