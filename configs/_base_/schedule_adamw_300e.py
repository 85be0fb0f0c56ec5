_base_ = ["mmpretrain::_base_/default_runtime.py", "./weight_decay.py"]

custom_imports = dict(imports=["hrvmamba"], allow_failed_imports=False)

train_cfg = dict(by_epoch=True, max_epochs=300, val_interval=1)
val_cfg = dict()
test_cfg = dict()

optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=2e-3, betas=(0.9, 0.999), weight_decay=0.05),
    clip_grad=dict(max_norm=5.0),
)

param_scheduler = [
    dict(
        type="LinearLR",
        begin=0,
        end=20,
        start_factor=0.001,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type="CosineAnnealingLR",
        begin=20,
        end=300,
        eta_min=2e-5,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]

# What is tested and saved are the averaged weights, with batch statistics averaged alike.
custom_hooks = [
    dict(type="mmengine.EMAHook", momentum=1e-4, update_buffers=True, priority="ABOVE_NORMAL"),
]

# A checkpoint after every epoch, for a run that is cut short.
default_hooks = dict(
    checkpoint=dict(interval=1, max_keep_ckpts=3, save_best="accuracy/top1", rule="greater")
)

# The learning rate is for 2048 images an iteration, 8 GPUs of 256; --auto-scale-lr fits it to
# others.
auto_scale_lr = dict(base_batch_size=2048)
