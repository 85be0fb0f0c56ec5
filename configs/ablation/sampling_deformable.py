# HRVMamba-Small as the paper proposes it, which every other file here changes in one thing: the
# sampling of DSS2D (Table VII) or ESInB (Table VIII). All are trained from scratch.
_base_ = ["../coco/hrvmamba_small_256x192.py"]

# Small's widths, so that the others can add to them.
model = dict(
    backbone=dict(arch=dict(_delete_=True, bottleneck_channels=64, channels=(32, 64, 128, 256)))
)
