# HRNet-W48 (arXiv 1908.07919), with Adam and without weight decay, as there.
_base_ = [
    "../../_base_/schedule_adamw_210e.py",
    "../../_base_/coco_256x192.py",
]

optim_wrapper = dict(optimizer=dict(type="Adam", weight_decay=0.0))

model = dict(
    backbone=dict(
        type="HRNet",
        in_channels=3,
        extra=dict(
            stage1=dict(
                num_modules=1,
                num_branches=1,
                block="BOTTLENECK",
                num_blocks=(4,),
                num_channels=(64,),
            ),
            stage2=dict(
                num_modules=1,
                num_branches=2,
                block="BASIC",
                num_blocks=(4, 4),
                num_channels=(48, 96),
            ),
            stage3=dict(
                num_modules=4,
                num_branches=3,
                block="BASIC",
                num_blocks=(4, 4, 4),
                num_channels=(48, 96, 192),
            ),
            stage4=dict(
                num_modules=3,
                num_branches=4,
                block="BASIC",
                num_blocks=(4, 4, 4, 4),
                num_channels=(48, 96, 192, 384),
            ),
        ),
    ),
    head=dict(in_channels=48),
)
