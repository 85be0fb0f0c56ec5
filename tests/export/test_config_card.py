import pytest
from mmengine.config import Config

pytest.importorskip("mmpose")

from hrvmamba.export.config_card import config_card
from hrvmamba.inference import PoseInferencer
from hrvmamba.integrations.config import ConfigError


def card_of(weights, **options):
    config = Config.fromfile(weights[0])
    config.merge_from_dict(options)
    with pytest.warns(UserWarning, match="random"):
        infer = PoseInferencer(config)
    return config_card(infer)


def test_it_is_what_the_config_says(weights):
    card = card_of(weights)
    assert (card.input_size, card.heatmap_size) == ((48, 64), (12, 16))
    assert (card.channels, card.mean, card.std) == (
        "RGB",
        (123.675, 116.28, 103.53),
        (58.395, 57.12, 57.375),
    )
    assert (card.box_padding, card.udp_crop) == (1.25, False)
    assert (card.decoder, card.unbiased, card.blur_kernel_size) == ("MSRAHeatmap", False, 11)
    assert card.flip_test and card.shift_heatmap
    assert card.keypoint_names[:2] == ("nose", "left_eye")
    assert card.flip_indices[:3] == (0, 2, 1)
    assert card.sigmas[:2] == (0.026, 0.025)
    assert (15, 13) in card.skeleton_links and len(card.link_colours) == len(card.skeleton_links)
    assert len(card.keypoint_colours) == 17


def test_a_model_without_normalisation(weights):
    nothing = {"mean": None, "std": None, "bgr_to_rgb": False}
    card = card_of(weights, **{f"model.data_preprocessor.{k}": v for k, v in nothing.items()})
    assert (card.channels, card.mean, card.std) == ("BGR", (0, 0, 0), (1, 1, 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model.test_cfg.flip_mode": "offset"}, "flip_mode must be heatmap, got offset"),
        ({"model.test_cfg.output_keypoint_indices": [0]}, "output_keypoint_indices is not"),
        (
            {
                "model.head.decoder.type": "UDPHeatmap",
                "model.head.decoder.heatmap_type": "combined",
                "model.head.out_channels": 51,
            },
            "got UDPHeatmap with combined ones",
        ),
        (
            {"test_dataloader.dataset.pipeline.1": {"type": "RandomFlip"}},
            "the test pipeline must be LoadImage, GetBBoxCenterScale, .* got LoadImage, RandomFlip",
        ),
    ],
    ids=str,
)
def test_what_a_card_cannot_tell_is_refused(weights, options, message):
    with pytest.raises(ConfigError, match=message):
        card_of(weights, **options)


def test_another_head_is_refused(weights):
    config = Config.fromfile(weights[0])
    codec = {"type": "SimCCLabel", "input_size": (48, 64), "sigma": 6.0}
    config.model.head = {
        "type": "SimCCHead",
        "in_channels": 8,
        "out_channels": 17,
        "input_size": (48, 64),
        "in_featuremap_size": (12, 16),
        "decoder": codec,
    }
    with pytest.warns(UserWarning, match="random"):
        infer = PoseInferencer(config)
    with pytest.raises(ConfigError, match="must be a HeatmapHead to be exported, got SimCCHead"):
        config_card(infer)
