# Swin-B (arXiv 2103.14030). Its maps are at 1/32, so that the classic decoder needs a third
# deconvolution for heatmaps at 1/4.
_base_ = [
    "../../_base_/schedule_adamw_210e.py",
    "../../_base_/coco_256x192.py",
]

optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys=dict(relative_position_bias_table=dict(decay_mult=0.0)))
)

model = dict(
    backbone=dict(
        type="SwinTransformer",
        embed_dims=128,
        depths=(2, 2, 18, 2),
        num_heads=(4, 8, 16, 32),
        window_size=7,
        out_indices=(3,),
        drop_path_rate=0.3,
    ),
    head=dict(in_channels=1024, deconv_out_channels=(256, 256, 256)),
)
