# PVTv2-B2 (arXiv 2106.13797). Its maps are at 1/32, so that the classic decoder needs a third
# deconvolution for heatmaps at 1/4.
_base_ = [
    "../../_base_/schedule_adamw_210e.py",
    "../../_base_/coco_256x192.py",
]

# The biases of PyTorch's attention, whose name MMEngine does not know for a bias's.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(in_proj_bias=dict(decay_mult=0.0))))

model = dict(
    backbone=dict(
        type="PyramidVisionTransformerV2",
        embed_dims=64,
        num_layers=(3, 4, 6, 3),
        out_indices=(3,),
        drop_path_rate=0.1,
    ),
    head=dict(in_channels=512, deconv_out_channels=(256, 256, 256)),
)
