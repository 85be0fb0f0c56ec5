# MMSegmentation's own data: 512x512 crops, scale 0.5 to 2.0, flips and photometric distortion. It
# tests on whole images, or by its tta_pipeline at six scales with flips.
_base_ = ["mmseg::_base_/datasets/ade20k.py"]

train_dataloader = dict(batch_size=2)
