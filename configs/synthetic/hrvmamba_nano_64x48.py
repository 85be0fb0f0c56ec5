# A short training on drawn people, for a CPU: small crops, and MMPose's SimCC head, whose sub-pixel
# bins suit them. It shows that everything works, not what HRVMamba can do.
_base_ = [
    "../_base_/schedule_adamw_210e.py",
    "../_base_/coco_256x192.py",
]

train_cfg = dict(max_epochs=9, val_interval=9)
optim_wrapper = dict(optimizer=dict(lr=3e-3))
param_scheduler = [
    dict(type="LinearLR", begin=0, end=30, start_factor=0.01, by_epoch=False),
    dict(
        type="CosineAnnealingLR",
        begin=0,
        end=9,
        eta_min=1e-5,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(base_batch_size=64)
default_hooks = dict(logger=dict(interval=10))
randomness = dict(seed=0)

codec = dict(type="SimCCLabel", input_size=(48, 64), sigma=2.0, simcc_split_ratio=2.0)

model = dict(
    backbone=dict(type="HRVMamba", arch="nano", drop_path_rate=0.0, drop_rate=0.0),
    head=dict(
        _delete_=True,
        type="SimCCHead",
        in_channels=8,
        out_channels=17,
        input_size=codec["input_size"],
        in_featuremap_size=(12, 16),
        simcc_split_ratio=codec["simcc_split_ratio"],
        deconv_out_channels=None,
        loss=dict(type="KLDiscretLoss", use_target_weight=True),
        decoder=codec,
    ),
    test_cfg=dict(_delete_=True, flip_test=True),
)

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="GetBBoxCenterScale"),
    dict(type="RandomFlip", direction="horizontal"),
    dict(type="TopdownAffine", input_size=codec["input_size"]),
    dict(type="GenerateTarget", encoder=codec),
    dict(type="PackPoseInputs"),
]
val_pipeline = [
    dict(type="LoadImage"),
    dict(type="GetBBoxCenterScale"),
    dict(type="TopdownAffine", input_size=codec["input_size"]),
    dict(type="PackPoseInputs"),
]

data_root = "data/synthetic_people/"
train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/person_keypoints_train.json",
        data_prefix=dict(img="train/"),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    num_workers=1,
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/person_keypoints_val.json",
        bbox_file=None,
        data_prefix=dict(img="val/"),
        pipeline=val_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(ann_file=data_root + "annotations/person_keypoints_val.json")
test_evaluator = val_evaluator
