_base_ = ["mmpose::_base_/default_runtime.py"]

custom_imports = dict(imports=["hrvmamba"], allow_failed_imports=False)

# A checkpoint after every epoch, for a run that is cut short.
default_hooks = dict(
    checkpoint=dict(interval=1, max_keep_ckpts=3, save_best="coco/AP", rule="greater")
)
