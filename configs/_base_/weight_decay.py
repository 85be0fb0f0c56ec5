# None on norms, biases and the scan's own parameters.
optim_wrapper = dict(
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys=dict(
            A_log=dict(decay_mult=0.0),
            Dskip=dict(decay_mult=0.0),
            dt_bias=dict(decay_mult=0.0),
        ),
    ),
)
