"""`hrvmamba check-dataset`: a COCO keypoint file, by coco_check.py of :mod:`hrvmamba.datasets`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hrvmamba.cli.errors import refuse

if TYPE_CHECKING:
    from hrvmamba.datasets.coco_check import DatasetCheck, Problem
    from hrvmamba.visualization.skeleton import Skeleton

HELP = "find what is wrong with a COCO keypoint file, and draw its people to look at"

EXAMPLES = """
hrvmamba check-dataset data/mine/annotations/train.json --images data/mine/train
hrvmamba check-dataset data/mine/annotations/train.json --config configs/custom/mine.py
"""

_SHOWN = 10  # problems of a kind


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hrvmamba check-dataset`."""
    parser.add_argument("annotations", metavar="ANN.json", help="COCO keypoint annotations")
    parser.add_argument(
        "--images",
        metavar="DIR",
        help="folder of the images, to see whether each can be read and to draw the sheet (the "
        "config's, where that names this annotation file)",
    )
    parser.add_argument(
        "--config",
        help="an MMPose config, whose keypoints the file must have (those of its own category)",
    )
    parser.add_argument(
        "--out",
        metavar="PATH",
        help="the picture of annotated people, .jpg or .png (ANN_sheet.jpg, in this folder)",
    )
    parser.add_argument("--people", type=int, default=24, help="to draw (%(default)s)")


def run(options: argparse.Namespace) -> int:
    """Print what the file holds and its problems, and draw the sheet; the status is 1 for any."""
    path = Path(options.annotations)
    sheet = Path(options.out or f"{path.stem}_sheet.jpg")
    try:
        _check_options(options, sheet)
        from hrvmamba.datasets.coco_check import check_dataset

        skeleton, images = _from_config(options) if options.config else (None, None)
        images = Path(options.images) if options.images else images
        if images is not None and not images.is_dir():
            raise ValueError(f"--images: there is no folder {images}")
        check = check_dataset(path, images, skeleton.names if skeleton else None)
    except (ImportError, ValueError, OSError) as error:
        refuse(error)

    _print_counts(path, check)
    if images is None:
        print("the images are not looked at: name their folder with --images")
    else:
        _draw_sheet(check, images, skeleton, sheet, options.people)
    _print_problems(check.problems)
    return 1 if check.problems else 0


def _check_options(options: argparse.Namespace, sheet: Path) -> None:
    if sheet.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise ValueError(f"--out: {sheet} must end in .jpg or .png")
    if sheet.is_dir():
        raise ValueError(f"--out: {sheet} is a folder: name a file in it")
    if options.people < 1:
        raise ValueError(f"--people: got {options.people}, needs at least 1")


def _from_config(options: argparse.Namespace) -> tuple[Skeleton, Path | None]:
    """The config's keypoints, and its images of this annotation file."""
    from hrvmamba.inference.pose_inferencer import check_keypoints
    from hrvmamba.integrations.config import load_config
    from hrvmamba.integrations.dataset_configs import datasets
    from hrvmamba.integrations.keypoint_metainfo import dataset_metainfo, image_folder
    from hrvmamba.integrations.model_configs import build_model
    from hrvmamba.visualization.skeleton import Skeleton

    config = load_config(options.config, None, ("model", "test_dataloader"))
    metainfo = dataset_metainfo(next(datasets(config.test_dataloader.dataset)))
    skeleton = Skeleton.of_metainfo(metainfo)
    check_keypoints(build_model(config), len(skeleton.names))
    return skeleton, image_folder(config, Path(options.annotations))


def _draw_sheet(
    check: DatasetCheck, images: Path, skeleton: Skeleton | None, sheet: Path, people: int
) -> None:
    import cv2

    from hrvmamba.datasets.contact_sheet import contact_sheet
    from hrvmamba.whole_file import whole_file

    picture, drawn = contact_sheet(check, images, skeleton or check.skeleton(), people)
    if not drawn:
        print("no annotated person can be drawn")
        return
    try:
        with whole_file(sheet) as partial:
            partial.write_bytes(cv2.imencode(sheet.suffix, picture)[1].tobytes())
    except OSError as error:
        refuse(f"--out: {error}")
    print(f"{sheet}: {drawn} people")


def _print_counts(path: Path, check: DatasetCheck) -> None:
    images, annotations = (len(check.content[key]) for key in ("images", "annotations"))
    print(f"{path}: {images} images, {annotations} annotations, {len(check.people)} with keypoints")
    width = max([8, *(len(name) for name in check.names)])
    print(f"\n{'keypoint':<{width}} {'labelled':>9} {'visible':>9}")
    for name, labelled, visible in zip(check.names, check.labelled, check.visible, strict=True):
        print(f"{name:<{width}} {labelled:>9} {visible:>9}")
    print()


def _print_problems(problems: list[Problem]) -> None:
    if not problems:
        print("no problems")
        return
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind, []).append(problem)
    print(f"{len(problems)} problem{'s' if len(problems) > 1 else ''}")
    for kind, found in kinds.items():
        print(f"\n{kind}: {len(found)}")
        for problem in found[:_SHOWN]:
            print(f"  {problem}")
        if len(found) > _SHOWN:
            print(f"  ... and {len(found) - _SHOWN} more")
