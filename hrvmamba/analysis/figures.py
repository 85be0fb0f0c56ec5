"""Figures of what blocks do for one point of an image, one model below the other."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Affine2D, Transform

from hrvmamba.analysis.block_view import BlockView
from hrvmamba.analysis.crop import Crop
from hrvmamba.ops.deform_sample import POINTS

_MAPS = ("merged", "rows →", "columns ↓", "rows reversed ←", "columns reversed ↑")

_COLOURS = "turbo"  # its colours differ in hue, so that the image below may change their brightness
_MASK_COLOURS = "coolwarm"
_OPACITY = 0.55  # of a map over an image
_DECADES = 3  # of the activation maps' colours
_LEAST = 1e-6  # that a scale of what has one sign reaches up to
_PIXELS = 320  # at least, of an upsampled map's longer side
_BEYOND = "0.25"  # where a crop reaches beyond its image
_QUERY = "#00e5ff"
_MARGIN = 1.5  # tokens around the sampling points
_HEATMAPS_A_ROW = 6


def draw_activation(views: Sequence[BlockView]) -> Figure:
    """Draw the activation maps over the image: the merged scan's, then each direction's.

    All share one logarithmic scale, up to the largest value of a token other than the query: the
    query's own, which is mostly the skip D, is written above. Tokens behind the query, which
    contribute nothing, stay without colour.
    """
    maps = [view.maps.numpy() for view in views]
    top = max(_largest_other(values, view.token) for values, view in zip(maps, views, strict=True))
    top = max(top, _LEAST)
    norm = LogNorm(top / 10**_DECADES, top, clip=True)
    titles = [_block_title(view) for view in views]
    figure, parts = _figure(views, titles, 1, 1 + len(_MAPS), 2.2)
    for view, values, (part, grid) in zip(views, maps, parts, strict=True):
        first, *others = grid.flat
        _draw_place(first, view)
        for axes, name, value in zip(others, _MAPS, values, strict=True):
            _draw_image(axes, view.crop, grey=True)
            _overlay(axes, view.crop, np.ma.masked_equal(value, 0), norm)
            _mark_query(axes, view)
            axes.set_title(f"{name}\nquery itself: {value[view.token]:.3g}", fontsize=9)
        label = "mean over channels of\n|∂y(query) / ∂u(token)|"
        _colour_bar(part, others, norm, label, extend="both")
    return figure


def draw_sampling_points(views: Sequence[BlockView]) -> Figure:
    """Draw the sampling points of the query on the image, and enlarged, coloured by their mask.

    Args:
        views: of blocks with deformable sampling.
    """
    largest = max(float(view.points.masks.abs().max()) for view in views)
    largest = largest or 1.0  # untrained, all are 0
    norm = Normalize(-largest, largest)
    titles = [_block_title(view) for view in views]
    figure, parts = _figure(views, titles, 1, 2, 4.2)
    for view, (part, grid) in zip(views, parts, strict=True):
        whole, near = grid.flat
        for axes, size in ((whole, 25), (near, 150)):
            _draw_image(axes, view.crop, grey=True)
            _scatter_points(axes, view, norm, size)
        _mark_query(whole, view)
        groups = len(view.points.masks)
        plural = "s" if groups > 1 else ""
        title = f"the query's sampling points: {groups} group{plural} of {POINTS}"
        whole.set_title(title, fontsize=10)
        _enlarge(near, view)
        near.set_title("enlarged: the query's token is framed", fontsize=10)
        label = "mask weight (size: its magnitude)"
        _colour_bar(part, [whole, near], norm, label, colours=_MASK_COLOURS)
    return figure


def draw_heatmaps(views: Sequence[BlockView]) -> Figure:
    """Draw the heatmap of each keypoint over the image, all of a model on one scale.

    Args:
        views: of models with heatmaps.
    """
    rows = -(-max(len(view.heatmaps) for view in views) // _HEATMAPS_A_ROW)
    titles = [f"Heatmaps of {view.model}" for view in views]
    figure, parts = _figure(views, titles, rows, _HEATMAPS_A_ROW, 1.8)
    for view, (part, grid) in zip(views, parts, strict=True):
        peaks = {name: float(heatmap.max()) for name, heatmap in view.heatmaps.items()}
        norm = Normalize(0, max(*peaks.values(), _LEAST), clip=True)
        for axes, (name, heatmap) in zip(grid.flat, view.heatmaps.items(), strict=False):
            _draw_image(axes, view.crop, grey=True)
            _overlay(axes, view.crop, heatmap.numpy(), norm)
            axes.set_title(f"{name} {peaks[name]:.2g}", fontsize=9)
        for axes in grid.flat[len(view.heatmaps) :]:
            axes.set_axis_off()
        _colour_bar(part, grid, norm, "heatmap (its peak beside the name)")
    return figure


def draw_feature_energy(views: Sequence[BlockView]) -> Figure:
    """Draw the norm over channels of each branch of the block's module, each on its own scale."""
    titles = [
        f"Feature energy of {view.model}\nstage {view.index.stage}, module {view.index.module}"
        for view in views
    ]
    figure, parts = _figure(views, titles, 1, len(views[0].energies), 2.6, below=0.7)
    for view, (part, grid) in zip(views, parts, strict=True):
        for branch, (axes, energy) in enumerate(zip(grid.flat, view.energies, strict=True)):
            height, width = energy.shape
            norm = Normalize(float(energy.min()), float(energy.max()))
            _draw_image(axes, view.crop, grey=True)
            _overlay(axes, view.crop, energy.numpy(), norm)
            axes.set_title(f"branch {branch}: {height} x {width} tokens", fontsize=10)
            _colour_bar(part, [axes], norm, "L2 norm over channels", location="bottom")
    return figure


def _block_title(view: BlockView) -> str:
    height, width = view.rows.shape[1:3]
    return f"{view.scan} of {view.model}\n{view.index}: {height} x {width} tokens"


def _figure(
    views: Sequence[BlockView],
    titles: Sequence[str],
    rows: int,
    columns: int,
    panel: float,
    below: float = 0.0,
) -> tuple[Figure, list[tuple[SubFigure, np.ndarray]]]:
    """Lay out a figure with a part for each view.

    Args:
        views: the views.
        titles: of their parts.
        rows: of panels in a part.
        columns: of panels in a part.
        panel: a panel's width, in inches; its height follows the crop.
        below: the height of what is below a panel, in inches.

    Returns:
        The figure, and each part with its grid of axes.
    """
    sides = [np.ptp(view.crop.corners(), axis=0) for view in views]
    heights = [rows * (panel * height / width + 0.4 + below) + 0.7 for width, height in sides]
    figure = Figure((columns * panel + 1, sum(heights)), dpi=110, layout="constrained")
    figure.get_layout_engine().set(h_pad=0.08)
    FigureCanvasAgg(figure)
    parts = figure.subfigures(len(views), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, title in zip(parts, titles, strict=True):
        part.suptitle(title, fontsize=11, weight="bold")
    return figure, [(part, part.subplots(rows, columns, squeeze=False)) for part in parts]


def _draw_image(axes: Axes, crop: Crop, grey: bool = False) -> None:
    """Draw the image and limit the axes to the crop."""
    height, width = crop.image.shape[:2]
    axes.imshow(
        crop.image.mean(-1) if grey else crop.image,
        "gray",
        vmin=0,
        vmax=255,
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
    )
    (left, top), (right, bottom) = crop.corners().min(0), crop.corners().max(0)
    axes.set(xlim=(left, right), ylim=(bottom, top), facecolor=_BEYOND, xticks=[], yticks=[])


def _draw_place(axes: Axes, view: BlockView) -> None:
    """Draw the image with the person's box and the query, and count pixels along its sides."""
    _draw_image(axes, view.crop)
    x, y, width, height = view.crop.box
    dashed = {"fill": False, "ls": "--", "lw": 1.2, "ec": "white"}
    axes.add_patch(Rectangle((x - 0.5, y - 0.5), width, height, **dashed))
    _mark_query(axes, view)
    (x, y), (row, column) = view.query, view.token
    axes.set_title(f"query: pixel {x:g}, {y:g}\ntoken: row {row}, column {column}", fontsize=9)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4))
    axes.tick_params(labelsize=7)


def _overlay(axes: Axes, crop: Crop, values: np.ndarray, norm: Normalize) -> None:
    """Draw a map, upsampled, over the image; masked values have no colour."""
    size = np.multiply(crop.input_size, math.ceil(_PIXELS / max(crop.input_size))).tolist()
    limits = axes.axis()
    axes.imshow(
        _upsample(norm(values), size),  # on the scale that it is shown on
        _COLOURS,
        vmin=0,
        vmax=1,
        alpha=_OPACITY,
        interpolation="nearest",
        transform=_of_tokens(axes, crop, size),
    )
    axes.axis(limits)


def _upsample(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Upsample a map bilinearly, among the values that are not masked, up to their borders."""
    known = torch.from_numpy(~np.ma.getmaskarray(values)).double()
    weighted = torch.from_numpy(np.ma.filled(values, 0).astype(np.float64))
    weighted, weights = F.interpolate(
        torch.stack([weighted * known, known])[None], size, mode="bilinear", align_corners=False
    )[0]
    shown = F.interpolate(known[None, None], size, mode="nearest-exact")[0, 0]
    return np.ma.masked_array(weighted / weights, shown == 0)


def _mark_query(axes: Axes, view: BlockView) -> None:
    for width, colour in ((3.2, "black"), (1.6, _QUERY)):
        axes.plot(*view.query, "o", ms=8, mfc="none", mew=width, mec=colour, zorder=4)


def _scatter_points(axes: Axes, view: BlockView, norm: Normalize, size: float) -> None:
    """Draw the sampling points; the larger their mask, the larger, and the smaller if many."""
    masks = view.points.masks.flatten().numpy()
    size = size / math.sqrt(len(view.points.masks))
    axes.scatter(
        *view.points.positions.flatten(0, 1).numpy().T,
        s=size * (0.1 + np.abs(masks) / norm.vmax),
        c=masks,
        cmap=_MASK_COLOURS,
        norm=norm,
        edgecolors="black",
        linewidths=0.5,
        zorder=3,
        transform=_of_tokens(axes, view.crop, view.rows.shape[1:3]),
    )


def _enlarge(axes: Axes, view: BlockView) -> None:
    """Limit the axes to what is around the sampling points, and draw the tokens' borders."""
    height, width = view.rows.shape[1:3]
    in_tokens = _of_tokens(axes, view.crop, (height, width))
    lines = {"colors": "white", "lw": 0.6, "alpha": 0.6, "transform": in_tokens}
    axes.hlines(np.arange(height + 1) - 0.5, -0.5, width - 0.5, **lines)
    axes.vlines(np.arange(width + 1) - 0.5, -0.5, height - 0.5, **lines)
    token = np.array(view.token[::-1])
    frame = {"fill": False, "lw": 2, "ec": _QUERY, "zorder": 4}
    axes.add_patch(Rectangle(token - 0.5, 1, 1, transform=in_tokens, **frame))
    # As wide and high as the crop is, so that the panel is as large as the one beside it.
    shape = np.array([1, height / width])
    distances = np.abs(view.points.positions.flatten(0, 1).numpy() - token)
    reach = shape * ((distances / shape).max() + _MARGIN)
    corners = in_tokens.transform([token - reach, token + reach])
    (left, top), (right, bottom) = axes.transData.inverted().transform(corners)
    axes.set(xlim=(left, right), ylim=(bottom, top))


def _of_tokens(axes: Axes, crop: Crop, map_size: tuple[int, int]) -> Transform:
    """The transform of what is drawn in the tokens of a map."""
    return Affine2D(crop.tokens_to_image(map_size)) + axes.transData


def _largest_other(maps: np.ndarray, token: tuple[int, int]) -> float:
    """The largest value of all tokens but one."""
    others = maps.copy()
    others[:, token[0], token[1]] = 0
    return float(others.max())


def _colour_bar(
    part: SubFigure,
    axes: Iterable[Axes],
    norm: Normalize,
    label: str,
    colours: str = _COLOURS,
    **options: object,
) -> None:
    bar = part.colorbar(
        ScalarMappable(norm, colours), ax=axes, aspect=30, fraction=0.025, pad=0.01, **options
    )
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)
