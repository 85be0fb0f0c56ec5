import dataclasses

import numpy as np
import pytest

from hrvmamba.inference.pose_card import PoseCard


@pytest.fixture
def card():
    return PoseCard(
        input_size=(48, 64),
        heatmap_size=(12, 16),
        channels="RGB",
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        box_padding=1.25,
        udp_crop=False,
        decoder="MSRAHeatmap",
        unbiased=False,
        blur_kernel_size=11,
        flip_test=True,
        shift_heatmap=True,
        keypoint_names=("left", "right"),
        flip_indices=(1, 0),
        sigmas=(0.025, 0.025),
        skeleton_links=((0, 1),),
        keypoint_colours=((0, 255, 0), (255, 128, 0)),
        link_colours=((51, 153, 255),),
    )


def test_it_comes_back_from_its_properties(card):
    properties = card.properties()
    assert all(isinstance(value, str) for value in properties.values())
    assert properties["input_size"] == "[48, 64]" and properties["hrvmamba"] == "1"
    assert PoseCard.of_properties({**properties, "something": "else"}) == card
    skeleton = card.skeleton
    assert skeleton.names == ("left", "right") and skeleton.links == ((0, 1),)
    np.testing.assert_array_equal(skeleton.keypoint_colours, [[0, 255, 0], [255, 128, 0]])
    assert skeleton.link_colours.shape == (1, 3)
    alone = dataclasses.replace(card, skeleton_links=(), link_colours=())
    assert PoseCard.of_properties(alone.properties()).skeleton.link_colours.shape == (0, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.pop("hrvmamba"), "not a pose model that `hrvmamba export` wrote"),
        (lambda p: p.update(hrvmamba="2"), "of version 2 .* knows 1: install a later one"),
        (lambda p: p.pop("mean"), "lacks the property mean"),
        (lambda p: p.update(std="[1,"), "properties are damaged"),
    ],
)
def test_other_properties_are_refused(card, change, message):
    properties = card.properties()
    change(properties)
    with pytest.raises(ValueError, match=message):
        PoseCard.of_properties(properties)
