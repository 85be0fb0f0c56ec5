_base_ = ["./hrformer_small.py"]

backbone = dict(
    extra=dict(
        drop_path_rate=0.2,
        stage2=dict(num_channels=(78, 156), num_heads=(2, 4)),
        stage3=dict(num_channels=(78, 156, 312), num_heads=(2, 4, 8)),
        stage4=dict(num_channels=(78, 156, 312, 624), num_heads=(2, 4, 8, 16)),
    )
)
