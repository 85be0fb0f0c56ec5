_base_ = ["mmseg::_base_/default_runtime.py", "./weight_decay.py"]

custom_imports = dict(imports=["hrvmamba"], allow_failed_imports=False)

train_cfg = dict(type="IterBasedTrainLoop", max_iters=160000, val_interval=16000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=6e-5, betas=(0.9, 0.999), weight_decay=5e-4),
)

param_scheduler = [
    dict(type="LinearLR", begin=0, end=1500, start_factor=1e-5, by_epoch=False),
    dict(type="PolyLR", begin=1500, end=160000, power=1.0, eta_min=0.0, by_epoch=False),
]

# The learning rate is for 16 images an iteration, 8 GPUs of 2; --auto-scale-lr fits it to others.
auto_scale_lr = dict(base_batch_size=16)

# Batch norms share their statistics between GPUs; a single process keeps its own.
sync_bn = "torch"

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(
        type="CheckpointHook",
        by_epoch=False,
        interval=4000,
        max_keep_ckpts=3,
        save_best="mIoU",
        rule="greater",
    ),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    visualization=dict(type="SegVisualizationHook"),
)
