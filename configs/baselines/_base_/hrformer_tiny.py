# HRFormer-Tiny: half of Small's widths with as many heads.
_base_ = ["./hrformer_small.py"]

backbone = dict(
    extra=dict(
        stage1=dict(num_channels=(32,)),
        stage2=dict(num_channels=(16, 32)),
        stage3=dict(num_channels=(16, 32, 64)),
        stage4=dict(num_channels=(16, 32, 64, 128)),
    )
)
