"""Draw what every token contributes to one of them through a block's selective scan.

python tools/visualize_activation.py configs/coco/hrvmamba_tiny_256x192.py CHECKPOINT IMAGE \\
    --stage 4 --branch 1 --query 330 230 --box 262 162 107 252

Writes, over the image: activation.png, the scan's matrix row of the query token for each direction
and merged; sampling_points.png, where a deformable block samples for it; heatmaps.png, one for each
keypoint; feature_energy.png, of each branch; and arrays.npz, what they show. With --compare they
show two models, such as DSS2D and SS2D, one below the other.
"""

import argparse
from pathlib import Path

import numpy as np

import hrvmamba  # noqa: F401  (registers the backbone and lets MMPose import)
from hrvmamba.analysis.block_record import find_block, record_block
from hrvmamba.analysis.block_view import BlockView, view_block
from hrvmamba.analysis.figures import (
    draw_activation,
    draw_feature_energy,
    draw_heatmaps,
    draw_sampling_points,
)
from hrvmamba.checkpoints import load_checkpoint
from hrvmamba.cli.errors import refuse
from hrvmamba.integrations.config import ConfigError, load_config
from hrvmamba.integrations.keypoint_heatmaps import keypoint_heatmaps
from hrvmamba.integrations.mmpose import check_input_sizes, check_model
from hrvmamba.integrations.person_crop import Box, crop_person, read_image
from hrvmamba.models import HRVMamba
from hrvmamba.whole_file import whole_file

NEEDED = ("model", "test_dataloader")


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", metavar="CONFIG", help="an MMPose config with HRVMamba")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="of its whole model")
    parser.add_argument("image", metavar="IMAGE", help="a picture")
    parser.add_argument(
        "--query",
        nargs=2,
        type=float,
        required=True,
        metavar=("X", "Y"),
        help="the query, in pixels of the picture",
    )
    parser.add_argument("--stage", type=int, default=4, help="2, 3 or 4 (%(default)s)")
    parser.add_argument("--module", type=int, help="of the stage, from 0 (the last)")
    parser.add_argument(
        "--branch", type=int, default=0, help="from 0, the finest, to 3 (%(default)s)"
    )
    parser.add_argument("--block", type=int, help="of the branch, from 0 (the last)")
    parser.add_argument(
        "--box",
        nargs=4,
        type=float,
        metavar=("X", "Y", "W", "H"),
        help="the person, in pixels of the picture (the whole picture)",
    )
    parser.add_argument(
        "--compare",
        nargs=2,
        metavar=("CONFIG", "CHECKPOINT"),
        help="a second model, drawn below the first for the same query",
    )
    parser.add_argument(
        "--out-dir", metavar="DIR", help="folder to write to (work_dirs/activation/<picture>)"
    )
    return parser.parse_args(arguments)


def check_place(image: np.ndarray, box: Box, query: tuple[float, float]) -> None:
    """Check that a box lies on the image, in part at least, and the query in both.

    Raises:
        ValueError: they do not; where they may lie is named.
    """
    height, width = image.shape[:2]
    left, top, box_width, box_height = box
    limits = [
        (max(start, 0), min(start + side, pixels - 1))
        for start, side, pixels in ((left, box_width, width), (top, box_height, height))
    ]
    if not (box_width > 0 and box_height > 0 and all(low <= high for low, high in limits)):
        raise ValueError(
            f"--box: got {_numbers(box)}, needs a width and a height above 0 and a part of the "
            f"picture, which is {width} x {height} pixels"
        )
    if not all(low <= x <= high for x, (low, high) in zip(query, limits, strict=True)):
        (x_low, x_high), (y_low, y_high) = limits
        raise ValueError(
            f"--query: got {_numbers(query)}, needs x from {x_low:g} to {x_high:g} and y from "
            f"{y_low:g} to {y_high:g}, to lie in the picture and in the box"
        )


def view(
    config_path: str, checkpoint: str, image: np.ndarray, box: Box, options: argparse.Namespace
) -> BlockView:
    """Run one model on the picture.

    Raises:
        OSError: a file is missing.
        ValueError: config, checkpoint, block or query do not fit.
    """
    config = load_config(config_path, None, NEEDED)
    scope = config.get("default_scope", "mmpose")
    if scope != "mmpose":
        raise ConfigError(f"{config_path} is a config of {scope}: it must be one of mmpose")
    check_input_sizes(config)
    model = check_model(config).eval()
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, HRVMamba):
        raise ConfigError(
            f"the backbone of {config_path} is {type(backbone).__name__}: it must be HRVMamba"
        )
    index = find_block(backbone, options.stage, options.branch, options.module, options.block)
    load_checkpoint(model, checkpoint)
    crop, inputs = crop_person(config, model, image, box)
    record = record_block(backbone, index, inputs)
    return view_block(
        f"{Path(config_path).stem}, {Path(checkpoint).name}",
        index,
        record,
        crop,
        tuple(options.query),
        keypoint_heatmaps(config, model, record.outputs),
    )


def write(views: list[BlockView], folder: Path) -> None:
    """Write the figures and the arrays, each file whole, and say which.

    Raises:
        OSError: a file cannot be written.
    """
    figures = {
        "activation": (draw_activation, views),
        "sampling_points": (draw_sampling_points, [view for view in views if view.points]),
        "heatmaps": (draw_heatmaps, [view for view in views if view.heatmaps]),
        "feature_energy": (draw_feature_energy, views),
    }
    for name, (draw, shown) in figures.items():
        if not shown:
            print(f"no {name}.png: no model here has them")
            continue
        path = folder / f"{name}.png"
        with whole_file(path) as partial:
            draw(shown).savefig(partial, format="png")
        print(path)
    arrays = views[0].arrays()
    for compared in views[1:]:
        arrays |= {f"compare_{name}": array for name, array in compared.arrays().items()}
    path = folder / "arrays.npz"
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    print(path)


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, ``sys.argv`` if no arguments are given.

    Raises:
        SystemExit: with status 2, after one line on stderr, if there is nothing to draw.
    """
    options = parse_arguments(arguments)
    models = [(options.config, options.checkpoint)]
    if options.compare:
        models.append(tuple(options.compare))
    folder = Path(options.out_dir or Path("work_dirs", "activation", Path(options.image).stem))
    try:
        if folder.is_file():
            raise ValueError(f"--out-dir: {folder} is a file: name a folder")
        image = read_image(options.image)
        box = tuple(options.box or (0, 0, image.shape[1], image.shape[0]))
        check_place(image, box, options.query)
        views = [view(*paths, image, box, options) for paths in models]
        write(views, folder)
    except (ValueError, OSError) as error:
        refuse(error)


if __name__ == "__main__":
    main()
