_base_ = ["mmpretrain::_base_/datasets/imagenet_bs64_swin_256.py"]

model = dict(
    type="ImageClassifier",
    backbone=dict(type="HRVMamba", out_indices=(0, 1, 2, 3), esinb_drop_path=True),
    neck=dict(type="HRNetNeck"),
    head=dict(
        type="LinearClsHead",
        num_classes=1000,
        in_channels=2048,
        init_cfg=None,  # the model's own is for it too
        loss=dict(type="LabelSmoothLoss", label_smooth_val=0.1, mode="original"),
    ),
    init_cfg=[
        dict(type="Kaiming", layer="Conv2d"),
        dict(type="TruncNormal", layer="Linear", std=0.02),
    ],
    train_cfg=dict(augments=[dict(type="Mixup", alpha=0.8), dict(type="CutMix", alpha=1.0)]),
)

# Any folder with a folder of images for each class, train/CLASS/NAME.jpg and val/CLASS/NAME.jpg.
data_root = "data/imagenet"
train_dataloader = dict(
    batch_size=256,
    num_workers=8,
    persistent_workers=True,
    dataset=dict(
        _delete_=True,
        type="CustomDataset",
        data_root=data_root,
        data_prefix="train",
        pipeline=_base_.train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=8,
    persistent_workers=True,
    dataset=dict(
        _delete_=True,
        type="CustomDataset",
        data_root=data_root,
        data_prefix="val",
        pipeline=_base_.test_pipeline,
    ),
)
test_dataloader = val_dataloader
