# VMamba-T (arXiv 2401.10166). Its maps are at 1/32, so that the classic decoder needs a third
# deconvolution for heatmaps at 1/4.
_base_ = [
    "../../_base_/schedule_adamw_210e.py",
    "../../_base_/coco_256x192.py",
]

model = dict(
    backbone=dict(type="VMamba", arch="tiny", drop_path_rate=0.2),
    head=dict(in_channels=768, deconv_out_channels=(256, 256, 256)),
)
