"""Synthetic people, written as a data set in COCO's keypoint format."""

import json
import multiprocessing
import operator
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from .keypoints import KEYPOINT_INDEX, KEYPOINTS, LIMBS
from .scene import CASTS, draw_scene

__all__ = ["make_synthetic_coco"]

_GENERATOR_VERSION = 1  # goes up whenever the same seed gives other pictures
_SPLITS = ("train", "val")
_JPEG_QUALITY = 92
_CHUNK = 4  # images that a worker draws at a time


def make_synthetic_coco(
    out_dir: str | os.PathLike[str],
    num_train: int = 1200,
    num_val: int = 200,
    seed: int = 0,
    image_size: tuple[int, int] = (256, 256),
    cast: str = "varied",
    workers: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Draw synthetic people and write them as COCO does.

    The folder holds annotations/person_keypoints_train.json, annotations/person_keypoints_val.json,
    and the images as train/000000000001.jpg and so on. An image depends on seed, size, cast, split
    and number alone: more of them, or more workers, do not change it. The folder appears when it is
    complete; an interrupted run leaves nothing.

    Everybody in an image is annotated. Positions are in pixels from the image's top left corner
    (the first pixel's middle is 0.5). Visibility: 2 seen; 1 within the image but hidden by
    something, somebody or the own body; 0 (with x = y = 0) outside the image. bbox is that of the
    visible part, area the number of its pixels, segmentation its outline as polygons.

    Args:
        out_dir: folder to make. A complete one made with the same parameters is kept.
        num_train: training images, at least 1.
        num_val: held-out images, at least 1.
        seed: at least 0.
        image_size: (width, height) in pixels, each at least 64.
        cast: what the images show, a name in CASTS: ``"varied"``, one to four people in all poses,
            from all sides, some of them hidden in part; or ``"simple"``, one whole person in an
            upright pose, seen from the front, which a small model learns in minutes.
        workers: processes that draw; all cores this process may use if None.
        overwrite: replace a synthetic data set that is incomplete or has other parameters.

    Returns:
        The folder.

    Raises:
        ValueError: an argument is out of range.
        FileExistsError: out_dir exists and is something else.
    """
    num_train = _integer("num_train", num_train, 1)
    num_val = _integer("num_val", num_val, 1)
    seed = _integer("seed", seed, 0)
    if not isinstance(image_size, (tuple, list)) or len(image_size) != 2:
        raise ValueError(f"image_size: got {image_size!r}, needs a pair (width, height)")
    size = tuple(_integer("image_size", side, 64) for side in image_size)
    if cast not in CASTS:
        raise ValueError(f"cast: got {cast!r}, needs one of {list(CASTS)}")
    if workers is None:
        workers = (
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        )
    workers = _integer("workers", workers, 1)

    target = Path(out_dir).resolve()
    counts = dict(zip(_SPLITS, (num_train, num_val), strict=True))
    parameters = {
        "generator_version": _GENERATOR_VERSION,
        "num_train": num_train,
        "num_val": num_val,
        "seed": seed,
        "image_size": list(size),
        "cast": cast,
    }
    if _keeps_existing(target, parameters, overwrite):
        print(f"{target}: complete, made with the same parameters; kept")
        return target

    target.parent.mkdir(parents=True, exist_ok=True)
    partial_dir = target.parent / f".{target.name}.partial-{os.getpid()}"
    shutil.rmtree(partial_dir, ignore_errors=True)
    try:
        partial_dir.mkdir()
        _write(partial_dir, counts, parameters, workers)
        _move_into_place(partial_dir, target)
    finally:
        shutil.rmtree(partial_dir, ignore_errors=True)
    return target


def _integer(name: str, value: object, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least or isinstance(value, bool):
        raise ValueError(f"{name}: got {value!r}, needs an integer of at least {least}")
    return number


def _annotation_file(folder: Path, split: str) -> Path:
    return folder / "annotations" / f"person_keypoints_{split}.json"


def _recorded_parameters(folder: Path) -> dict | None:
    """The parameters that a synthetic data set was made with; None for any other folder."""
    found = []
    for split in _SPLITS:
        try:
            content = json.loads(_annotation_file(folder, split).read_text())
            found.append(content["info"]["parameters"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
    return found[0] if isinstance(found[0], dict) and found[0] == found[1] else None


def _keeps_existing(target: Path, parameters: dict, overwrite: bool) -> bool:
    """Whether the folder is there as wanted; raises where it may not be replaced."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    recorded = _recorded_parameters(target) if target.is_dir() else None
    if recorded is None:
        raise FileExistsError(
            f"out_dir: {target} exists and is no synthetic data set; "
            "name another folder or remove it"
        )
    complete = all(
        (target / split / _file_name(number)).is_file()
        for split in _SPLITS
        for number in range(1, recorded.get(f"num_{split}", 1) + 1)
    )
    if complete and recorded == parameters:
        return True
    if overwrite:
        return False
    if not complete:
        reason = "lacks some of its images"
    else:
        differing = [
            f"{key} {recorded.get(key)!r} instead of {value!r}"
            for key, value in parameters.items()
            if recorded.get(key) != value
        ]
        reason = "was made with " + ", ".join(differing)
    raise FileExistsError(
        f"out_dir: {target} {reason}; name another folder, "
        "or replace it with overwrite=True (--overwrite)"
    )


def _file_name(number: int) -> str:
    return f"{number:012d}.jpg"


def _write(folder: Path, counts: dict[str, int], parameters: dict, workers: int) -> None:
    (folder / "annotations").mkdir()
    with tqdm(total=sum(counts.values()), desc="drawing people", unit="image") as progress:
        for split, count in counts.items():
            (folder / split).mkdir()
            images, annotations = [], []
            for number, people in enumerate(
                _draw_all(folder, split, count, parameters, workers), start=1
            ):
                images.append(
                    {
                        "id": number,
                        "file_name": _file_name(number),
                        "width": parameters["image_size"][0],
                        "height": parameters["image_size"][1],
                        "license": 1,
                    }
                )
                for person in people:
                    identity = {"id": len(annotations) + 1, "image_id": number, "category_id": 1}
                    annotations.append(identity | person)
                progress.update()
            content = _description(parameters) | {"images": images, "annotations": annotations}
            _annotation_file(folder, split).write_text(json.dumps(content))


def _description(parameters: dict) -> dict:
    return {
        "info": {
            "description": "Synthetic people in COCO's keypoint format",
            "contributor": "hrvmamba",
            "version": str(parameters["generator_version"]),
            "parameters": parameters,
        },
        "licenses": [{"id": 1, "name": "Apache License 2.0", "url": ""}],
        "categories": [
            {
                "id": 1,
                "name": "person",
                "supercategory": "person",
                "keypoints": list(KEYPOINTS),
                "skeleton": [[KEYPOINT_INDEX[name] + 1 for name in limb] for limb in LIMBS],
            }
        ],
    }


def _draw_all(
    folder: Path, split: str, count: int, parameters: dict, workers: int
) -> Iterator[list[dict]]:
    """Write a split's images, and give the annotations of one after the other."""
    draw = partial(
        _draw_one,
        folder / split,
        _SPLITS.index(split),
        parameters["seed"],
        parameters["image_size"],
        parameters["cast"],
    )
    numbers = range(1, count + 1)
    if workers == 1:
        yield from map(draw, numbers)
        return
    # A forked child would hang in the thread pools that OpenCV has in this process.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    try:
        yield from pool.map(draw, numbers, chunksize=_CHUNK)
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the pool
    cv2.setNumThreads(1)


def _draw_one(
    folder: Path, split: int, seed: int, image_size: tuple[int, int], cast: str, number: int
) -> list[dict]:
    rng = np.random.default_rng(np.random.SeedSequence((seed, split, number)))
    scene = draw_scene(rng, tuple(image_size), CASTS[cast])
    path = folder / _file_name(number)
    done, data = cv2.imencode(
        ".jpg", scene.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    if not done:
        raise OSError(f"cannot encode {path}")
    path.write_bytes(data.tobytes())
    return scene.annotations


def _move_into_place(complete: Path, target: Path) -> None:
    if not target.exists():
        complete.rename(target)
        return
    replaced = target.parent / f".{target.name}.replaced-{os.getpid()}"
    target.rename(replaced)
    complete.rename(target)
    shutil.rmtree(replaced)
