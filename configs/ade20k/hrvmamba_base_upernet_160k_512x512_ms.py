# Tests at six scales, each as it is and flipped, on the mean of the twelve predictions.
_base_ = ["./hrvmamba_base_upernet_160k_512x512.py"]

test_dataloader = dict(dataset=dict(pipeline=_base_.tta_pipeline))
custom_hooks = [dict(type="SegTTAHook", tta_cfg=_base_.tta_model)]
