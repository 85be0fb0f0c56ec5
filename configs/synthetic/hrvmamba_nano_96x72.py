# A short training on drawn people, for a CPU: small crops, and one deconvolution in the head, since
# heatmaps of a quarter of so small a crop would be too coarse for faces. It shows that everything
# works, not what HRVMamba can do.
_base_ = [
    "../_base_/schedule_adamw_210e.py",
    "../_base_/coco_256x192.py",
]

train_cfg = dict(max_epochs=6, val_interval=6)
# Quicker than the recipe: a higher rate, a shorter memory of the gradients' size, and one fused
# update, since a step of so small a model is mostly that.
optim_wrapper = dict(optimizer=dict(lr=2e-3, betas=(0.9, 0.99), fused=True))
param_scheduler = [
    dict(type="LinearLR", begin=0, end=30, start_factor=0.01, by_epoch=False),
    dict(
        type="CosineAnnealingLR",
        begin=0,
        end=6,
        eta_min=1e-5,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(base_batch_size=24)
default_hooks = dict(logger=dict(interval=10))
randomness = dict(seed=0)

codec = dict(
    type="UDPHeatmap",
    input_size=(72, 96),
    heatmap_size=(36, 48),
    sigma=2,
)

model = dict(
    backbone=dict(type="HRVMamba", arch="nano", drop_path_rate=0.0, drop_rate=0.0),
    head=dict(
        in_channels=8,
        deconv_out_channels=(32,),
        deconv_kernel_sizes=(4,),
        # The mean over a heatmap is so small that Adam's epsilon would drown its gradients.
        loss=dict(loss_weight=1000.0),
        decoder=codec,
    ),
    test_cfg=dict(shift_heatmap=False),
)

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="GetBBoxCenterScale"),
    dict(type="RandomFlip", direction="horizontal"),
    dict(type="TopdownAffine", input_size=codec["input_size"], use_udp=True),
    dict(type="GenerateTarget", encoder=codec),
    dict(type="PackPoseInputs"),
]
val_pipeline = [
    dict(type="LoadImage"),
    dict(type="GetBBoxCenterScale"),
    dict(type="TopdownAffine", input_size=codec["input_size"], use_udp=True),
    dict(type="PackPoseInputs"),
]

data_root = "data/synthetic_people/"
train_dataloader = dict(
    batch_size=12,
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
