norm_cfg = dict(type="BN")

model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size=(512, 512),
        pad_val=0,
        seg_pad_val=255,
    ),
    neck=dict(type="HRNetPyramid"),
    decode_head=dict(
        type="UPerHead",
        in_channels=[128, 256, 512, 2048],
        in_index=[0, 1, 2, 3],
        channels=512,
        num_classes=150,
        norm_cfg=norm_cfg,
        align_corners=False,
    ),
    auxiliary_head=dict(
        type="FCNHead",
        in_channels=512,
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        num_classes=150,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", loss_weight=0.4),
    ),
    test_cfg=dict(mode="whole"),
)
