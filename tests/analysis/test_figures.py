"""The figures: what they show is in its place, and legible whatever the values are."""

import itertools

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from hrvmamba.analysis.block_record import BlockIndex
from hrvmamba.analysis.block_view import BlockView
from hrvmamba.analysis.crop import Crop
from hrvmamba.analysis.figures import (
    draw_activation,
    draw_feature_energy,
    draw_heatmaps,
    draw_sampling_points,
)
from hrvmamba.analysis.sampling_points import SamplingPoints

HEIGHT, WIDTH = 8, 6
HOT = (6, 4)  # row and column of the one token that contributes
DRAW = (draw_activation, draw_sampling_points, draw_heatmaps, draw_feature_energy)


def make_view(
    map_size=(HEIGHT, WIDTH), model="a_config_256x192, best_coco_AP_epoch_210.pth", **own
):
    """A view with a crop of 48x64 pixels from (20, 10) on, at twice the size."""
    height, width = map_size
    rows = torch.zeros(4, height, width, 2, dtype=torch.float64)
    rows[:, 0, 0] = 1.0
    rows[:, min(HOT[0], height - 1), min(HOT[1], width - 1)] = 0.5
    view = {
        "model": model,
        "index": BlockIndex(4, 1, 0, 1),
        "scan": "DSS2D",
        "crop": Crop(
            image=np.full((100, 90, 3), 128, np.uint8),
            box=(24, 15, 40, 50),
            image_to_input=np.array([[2, 0, -39.5], [0, 2, -19.5]]),
            input_size=(128, 96),
        ),
        "query": (21.0, 11.0),
        "token": (0, 0),
        "rows": rows,
        "points": SamplingPoints(3 * torch.randn(2, 9, 2), torch.randn(2, 9)),
        "energies": [torch.rand(height, width) for _ in range(4)],
        "heatmaps": {f"left_shoulder_{i}": torch.rand(32, 24) for i in range(17)},
    }
    return BlockView(**view | own)


def extents(figure: Figure):
    """Where each text of a figure is, in its pixels."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    parts = [figure, *figure.subfigs]
    axes = [axes for axes in figure.get_axes() if axes.axison]
    texts = [part._suptitle for part in parts if part._suptitle]
    for one in axes:
        texts += [one.title, one.xaxis.label, one.yaxis.label]
        for axis in (one.xaxis, one.yaxis):
            if axis.get_visible():
                low, high = sorted(axis.get_view_interval())
                ticks = axis.get_major_ticks()
                texts += [tick.label1 for tick in ticks if low <= tick.get_loc() <= high]
                texts += [tick.label2 for tick in ticks if low <= tick.get_loc() <= high]
    shown = [text for text in texts if text.get_visible() and text.get_text().strip()]
    return {text.get_text(): text.get_window_extent(renderer) for text in shown}


@pytest.mark.parametrize("draw", DRAW, ids=lambda draw: draw.__name__)
@pytest.mark.parametrize(("count", "branches"), [(1, 2), (2, 4)])
def test_texts_are_on_the_figure_and_do_not_overlap(draw, count, branches):
    energies = [torch.rand(HEIGHT, WIDTH) for _ in range(branches)]
    names = [f"{number}, best_coco_AP_epoch_210.pth" for number in range(count)]
    figure = draw([make_view(model=name, energies=energies) for name in names])
    boxes = extents(figure)
    assert len(boxes) >= 6
    for name, box in boxes.items():
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, name
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1, name
    for (name, box), (other, other_box) in itertools.combinations(boxes.items(), 2):
        assert not box.padded(1).overlaps(other_box), (name, other)


def test_maps_are_drawn_where_the_tokens_are():
    """The one token of value 0.5 has the hottest colour, at its place in the image."""
    figure = draw_activation([make_view()])
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)
    merged = figure.subfigs[0].axes[1]
    assert merged.get_title().startswith("merged")

    def colour_at(row, column):
        # A token is 16x16 pixels of the input, 8x8 of the image.
        x, y = merged.transData.transform((19.5 + 8 * column + 4, 9.5 + 8 * row + 4))
        return pixels[pixels.shape[0] - 1 - round(y), round(x)]

    grey = np.array([128, 128, 128])
    red, green, blue = colour_at(*HOT)
    assert red > 90 and red > green + 40 and red > blue + 40
    for token in ((6, 1), (3, 4), (7, 1)):  # contribute nothing: no colour
        assert np.abs(colour_at(*token) - grey).max() <= 2


def test_sampling_points_are_drawn_where_they_are():
    positions = torch.tensor([2.0, 5.0]).expand(1, 9, 2)  # column 2, row 5
    view = make_view(points=SamplingPoints(positions, torch.linspace(-1, 1, 9)[None]))
    whole = draw_sampling_points([view]).subfigs[0].axes[0]
    points = whole.collections[0]
    drawn = points.get_offset_transform().transform(points.get_offsets())
    expected = whole.transData.transform((19.5 + 8 * 2 + 4, 9.5 + 8 * 5 + 4))
    np.testing.assert_allclose(drawn, np.tile(expected, (9, 1)))
    np.testing.assert_allclose(points.get_array(), np.linspace(-1, 1, 9), rtol=1e-6)
    sizes = points.get_sizes()
    assert sizes.argmin() == 4 and sizes[0] == pytest.approx(sizes[-1], rel=1e-5)


def test_values_of_an_untrained_model_and_of_one_token_are_drawn():
    view = make_view(
        map_size=(1, 1),
        points=SamplingPoints(torch.zeros(1, 9, 2), torch.zeros(1, 9)),
        energies=[torch.ones(1, 1)],
        heatmaps={"nose": -torch.ones(2, 2)},
    )
    for draw in DRAW:
        draw([view]).canvas.draw()


def test_axes_show_the_crop():
    axes = draw_activation([make_view()]).subfigs[0].axes[0]
    limits = [*axes.get_xlim(), *axes.get_ylim()]
    np.testing.assert_allclose(limits, [19.5, 67.5, 73.5, 9.5])
