# ViTPose-B with the classic decoder, under its own optimiser settings (arXiv 2204.12484).
_base_ = [
    "../../_base_/schedule_adamw_210e.py",
    "../../_base_/coco_256x192.py",
]

optim_wrapper = dict(
    constructor="LayerDecayOptimWrapperConstructor",
    optimizer=dict(weight_decay=0.1),
    # This constructor exempts biases, norms and the position embedding by itself.
    paramwise_cfg=dict(_delete_=True, num_layers=12, layer_decay_rate=0.75),
    clip_grad=dict(max_norm=1.0),
)
train_dataloader = dict(batch_size=64)
auto_scale_lr = dict(base_batch_size=512)  # 8 GPUs of 64

model = dict(
    backbone=dict(
        type="mmpretrain.VisionTransformer",
        arch="base",
        img_size=(256, 192),
        patch_size=16,
        patch_cfg=dict(padding=2),
        qkv_bias=True,
        with_cls_token=False,
        out_type="featmap",
        drop_path_rate=0.3,
    ),
    head=dict(in_channels=768, deconv_out_channels=(256, 256), deconv_kernel_sizes=(4, 4)),
)
