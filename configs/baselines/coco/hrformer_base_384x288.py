_base_ = [
    "../../_base_/schedule_adamw_210e.py",
    "../../_base_/coco_384x288.py",
    "../_base_/hrformer_base.py",
]

optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys=dict(relative_position_bias_table=dict(decay_mult=0.0)))
)

model = dict(backbone=_base_.backbone, head=dict(in_channels=78))
