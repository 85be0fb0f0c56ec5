_base_ = ["./default_runtime.py", "./weight_decay.py"]

train_cfg = dict(max_epochs=210, val_interval=10)

optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=5e-4, betas=(0.9, 0.999), weight_decay=0.01),
)

param_scheduler = [
    dict(type="LinearLR", begin=0, end=500, start_factor=0.001, by_epoch=False),
    dict(type="MultiStepLR", begin=0, end=210, milestones=[170, 200], gamma=0.1, by_epoch=True),
]

# The learning rate is for 256 people an iteration, 8 GPUs of 32; --auto-scale-lr fits it to others.
auto_scale_lr = dict(base_batch_size=256)
