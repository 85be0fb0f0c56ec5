"""Finding what is wrong with a COCO keypoint file, all of it."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hrvmamba.coco_files import is_box, is_finite_number, read_annotations
from hrvmamba.inference.inputs import ImageFile
from hrvmamba.visualization.skeleton import Skeleton

_NEEDED = {  # by what, beside the keypoints
    "area": "COCO's AP needs it: the person's, in pixels, or width * height * 0.53 of the box",
    "iscrowd": "COCO's AP needs it: 0 but for crowds",
    "num_keypoints": "COCO's AP needs it: how many keypoints have a visibility above 0",
}
_BEYOND = 1  # pixels that a box may reach beyond its image, as rounding makes it
_MARGIN = 0.25  # of a box's size: what GetBBoxCenterScale pads the crop by
_CORNERS = "; is it x1, y1, x2, y2? COCO's is x, y, width, height"


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something wrong.

    Attributes:
        kind: what kind of thing, in a few words.
        where: the annotation, image or category, by its id.
        what: what is wrong, and what is needed.
    """

    kind: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclasses.dataclass(frozen=True)
class DatasetCheck:
    """What a keypoint file holds, and what is wrong with it.

    Attributes:
        content: the file.
        names: of the K keypoints; their numbers where neither the file nor the caller names them.
        labelled: ``(K,)``: how many people have each keypoint labelled.
        visible: ``(K,)``: and how many of these visible.
        problems: in the file's order.
    """

    content: dict[str, Any]
    names: tuple[str, ...]
    labelled: np.ndarray
    visible: np.ndarray
    problems: list[Problem]

    @property
    def people(self) -> list[dict[str, Any]]:
        """The annotations whose keypoints can be read, K of them, some of them labelled."""
        return [
            annotation
            for annotation in self.content["annotations"]
            if _is_keypoints(annotation.get("keypoints"), len(self.names))
            and any(annotation["keypoints"][2::3])
        ]

    def skeleton(self) -> Skeleton:
        """The keypoints with the links of the first category that has any, in colours of ours."""
        for category in self.content["categories"]:
            links = [
                (link[0] - 1, link[1] - 1)
                for link in _links(category)
                if _is_link(link, len(self.names))
            ]
            if links:
                return Skeleton.of_names(self.names, links)
        return Skeleton.of_names(self.names, ())


def check_dataset(
    path: Path, image_folder: Path | None = None, names: Sequence[str] | None = None
) -> DatasetCheck:
    """Check a COCO keypoint file, and the images that it names.

    Args:
        path: the annotation file.
        image_folder: where its images are; None does not look at these. Looking at them shows a
            progress bar.
        names: of the keypoints, in order. None takes those of the file's category, or as many as
            most annotations have.

    Raises:
        ValueError: it is missing, is no JSON, or no annotation file at all.
    """
    content = read_annotations(path, ("images", "annotations", "categories"))
    problems: list[Problem] = []
    problems += _image_problems(content["images"])
    problems += _category_problems(content["categories"], names)
    names = tuple(names or _names(content))
    problems += _annotation_problems(content, len(names))
    labelled, visible = _count(content["annotations"], len(names))
    if labelled.any():
        for name, count in zip(names, labelled, strict=True):
            if not count:
                problems.append(Problem("never labelled", f"keypoint {name}", "is never labelled"))
    if image_folder is not None:
        problems += _file_problems(content["images"], image_folder)
    return DatasetCheck(content, names, labelled, visible, problems)


# The parts of the file


def _image_problems(images: list[dict]) -> Iterator[Problem]:
    if not images:
        yield Problem("images", "the file", "lists no images")
    yield from _twice("image", (image.get("id") for image in images))
    for number, image in enumerate(images):
        where = _where("image", number, image)
        yield from _id_problems(where, image)
        name = image.get("file_name")
        if not is_file_name(name):
            yield Problem("file names", where, f"file_name must be a path, got {name!r}")
        size = (image.get("width"), image.get("height"))
        if not all(type(side) is int and side > 0 for side in size):
            yield Problem("sizes", where, f"width and height must be pixels, got {size}")
    named = Counter(name for image in images if is_file_name(name := image.get("file_name")))
    for name, count in named.items():
        if count > 1:
            yield Problem("file names", f"file_name {name}", f"is that of {count} images")


def _category_problems(categories: list[dict], names: Sequence[str] | None) -> Iterator[Problem]:
    if not categories:
        yield Problem("categories", "the file", "lists no categories")
    yield from _twice("category", (category.get("id") for category in categories))
    for number, category in enumerate(categories):
        where = _where("category", number, category)
        yield from _id_problems(where, category)
        listed = category.get("keypoints")
        if listed is None:
            continue
        if not _is_names(listed):
            yield Problem("categories", where, f"keypoints must be a list of names, got {listed!r}")
            continue
        for name, count in Counter(listed).items():
            if count > 1:
                yield Problem("categories", where, f"has {count} keypoints called {name}")
        if names is not None and list(names) != listed:
            pairs = enumerate(zip_longest(listed, names, fillvalue="none"))
            place, (here, there) = next(entry for entry in pairs if len(set(entry[1])) > 1)
            yield Problem(
                "keypoint names",
                where,
                f"its {len(listed)} keypoints are not the config's {len(names)}: number {place} is "
                f"{here} here, and {there} there",
            )
        for link in _links(category):
            if not _is_link(link, len(listed)):
                yield Problem(
                    "categories",
                    where,
                    f"skeleton must be pairs of numbers from 1 to {len(listed)}, got {link}",
                )


def _annotation_problems(content: dict, num_keypoints: int) -> Iterator[Problem]:
    annotations = content["annotations"]
    if not any("keypoints" in annotation for annotation in annotations):
        yield Problem(
            "keypoints",
            "the file",
            f"none of its {len(annotations)} annotations has keypoints. COCO's own files with "
            "them are named person_keypoints_*.json",
        )
        return
    sizes = {
        image["id"]: (image.get("width"), image.get("height"))
        for image in content["images"]
        if _is_id(image.get("id"))
    }
    listed = (category.get("id") for category in content["categories"])
    categories = {category_id for category_id in listed if _is_id(category_id)}
    yield from _twice("annotation", (annotation.get("id") for annotation in annotations))
    for number, annotation in enumerate(annotations):
        where = _where("annotation", number, annotation)
        yield from _id_problems(where, annotation)
        for kind, what in _faults(annotation, sizes, categories, num_keypoints):
            yield Problem(kind, where, what)


def _faults(
    annotation: dict, sizes: dict, categories: set, num_keypoints: int
) -> Iterator[tuple[str, str]]:
    """The kind and words of each problem of an annotation."""
    if _is_id(annotation.get("id")) and annotation["id"] == 0:
        yield "ids", "id must not be 0, which pycocotools takes for no annotation: count from 1"
    image_id = annotation.get("image_id")
    if not _is_id(image_id) or image_id not in sizes:
        yield "ids", f"image_id {image_id!r} is no image's"
        size = None
    else:
        size = sizes[image_id]
        size = size if all(type(side) is int for side in size) else None
    category_id = annotation.get("category_id")
    if not _is_id(category_id) or category_id not in categories:
        yield "ids", f"category_id {category_id!r} is no category's"
    for key, reason in _NEEDED.items():
        if key not in annotation:
            yield key, f"has no {key}. {reason}"
    crowd = annotation.get("iscrowd", 0)
    if not (type(crowd) is int and crowd in (0, 1)):
        yield "iscrowd", f"iscrowd must be 0 or 1, got {crowd!r}"
    elif crowd:
        return
    area = annotation.get("area", 1)
    if not (is_finite_number(area) and area > 0):
        yield "area", f"area must be a number of pixels above 0, got {area!r}"
    box = annotation.get("bbox")
    box_faults = list(_box_faults(box, size))
    yield from (("boxes", what) for what in box_faults)
    yield from _keypoint_faults(annotation, size, None if box_faults else box, num_keypoints)


def _box_faults(box: Any, size: tuple[int, int] | None) -> Iterator[str]:
    if not is_box(box):
        yield f"bbox must be four numbers: x, y, width, height; got {box!r}"
        return
    x, y, width, height = box
    if width <= 0 or height <= 0:
        yield f"bbox must have a width and a height above 0, got {box}"
    elif size is not None:
        right, bottom = x + width, y + height
        if x >= size[0] or y >= size[1] or right <= 0 or bottom <= 0:
            yield f"bbox {box} lies outside its image, which is {size[0]} x {size[1]} pixels"
        elif min(x, y) < -_BEYOND or right > size[0] + _BEYOND or bottom > size[1] + _BEYOND:
            yield f"bbox {box} reaches beyond its image of {size[0]} x {size[1]} pixels{_CORNERS}"


def _keypoint_faults(
    annotation: dict, size: tuple[int, int] | None, box: list[float] | None, num_keypoints: int
) -> Iterator[tuple[str, str]]:
    if "keypoints" not in annotation:
        return
    keypoints = annotation["keypoints"]
    if not isinstance(keypoints, list) or len(keypoints) != 3 * num_keypoints:
        got = f"{len(keypoints)} numbers" if isinstance(keypoints, list) else repr(keypoints)
        yield (
            "keypoints",
            f"keypoints must be x, y, visibility of each of {num_keypoints}, which is "
            f"{3 * num_keypoints} numbers; got {got}",
        )
        return
    if not _is_keypoints(keypoints, num_keypoints):
        yield "keypoints", "keypoints must be finite numbers"
        return
    points = np.array(keypoints, float).reshape(-1, 3)
    for number in np.flatnonzero(~np.isin(points[:, 2], (0, 1, 2))):
        yield (
            "visibility",
            f"keypoint {number} has visibility {points[number, 2]:g}: it must be 0 (not labelled), "
            "1 (hidden) or 2 (visible)",
        )
    labelled = points[:, 2] > 0
    count = annotation.get("num_keypoints", labelled.sum())
    if isinstance(count, list) or count != labelled.sum():
        yield "num_keypoints", f"num_keypoints is {count}, but {labelled.sum()} are labelled"
    if size is not None:
        outside = labelled & ((points[:, :2] < 0) | (points[:, :2] > size)).any(1)
        for number in np.flatnonzero(outside):
            x, y = points[number, :2]
            yield (
                "keypoints",
                f"keypoint {number} at ({x:g}, {y:g}) lies outside its image of "
                f"{size[0]} x {size[1]} pixels",
            )
    if box is not None and labelled.any():
        start, extent = np.array(box[:2]), np.array(box[2:])
        low, high = start - _MARGIN * extent, start + (1 + _MARGIN) * extent
        beyond = (labelled & ((points[:, :2] < low) | (points[:, :2] > high)).any(1)).sum()
        if 2 * beyond > labelled.sum():
            yield (
                "boxes",
                f"{beyond} of {labelled.sum()} keypoints lie far outside bbox {box}{_CORNERS}",
            )


def _file_problems(images: list[dict], folder: Path) -> Iterator[Problem]:
    for image in tqdm(images, desc="reading images", unit="image"):
        name = image.get("file_name")
        if not is_file_name(name):
            continue
        where = f"image {image.get('id')}, {folder / name}"
        try:
            height, width = ImageFile(folder / name, name).read().shape[:2]
        except ValueError as error:
            yield Problem("image files", where, str(error))
            continue
        listed = (image.get("width"), image.get("height"))
        if listed != (width, height):
            turned = ", turned as its EXIF data says" if listed == (height, width) else ""
            yield Problem(
                "image files",
                where,
                f"is {width} x {height} pixels{turned}, where the file says "
                f"{listed[0]} x {listed[1]}",
            )


# Helpers


def _where(kind: str, number: int, entry: dict) -> str:
    return f"{kind} {entry.get('id', f'{number} of the list, without id')}"


def _id_problems(where: str, entry: dict) -> Iterator[Problem]:
    if not _is_id(entry.get("id")):
        yield Problem("ids", where, f"id must be a whole number, got {entry.get('id')!r}")


def _twice(kind: str, ids: Iterable[Any]) -> Iterator[Problem]:
    counts = Counter(value for value in ids if _is_id(value))
    for value, count in counts.items():
        if count > 1:
            yield Problem("ids", f"{kind} {value}", f"its id is given {count} times")


def _names(content: dict) -> list[str]:
    for category in content["categories"]:
        listed = category.get("keypoints")
        if listed and _is_names(listed):
            return listed
    lengths = Counter(
        len(annotation["keypoints"]) // 3
        for annotation in content["annotations"]
        if isinstance(annotation.get("keypoints"), list)
    )
    count = max(lengths, key=lengths.get, default=0)
    return [str(number) for number in range(count)]


def _count(annotations: list[dict], num_keypoints: int) -> tuple[np.ndarray, np.ndarray]:
    flags = [
        annotation["keypoints"][2::3]
        for annotation in annotations
        if _is_keypoints(annotation.get("keypoints"), num_keypoints)
    ]
    flags = np.array(flags, float).reshape(len(flags), num_keypoints)
    return (flags > 0).sum(0), (flags == 2).sum(0)


def _is_keypoints(value: Any, num_keypoints: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3 * num_keypoints
        and all(map(is_finite_number, value))
    )


def _is_link(link: Any, num_keypoints: int) -> bool:
    return (
        isinstance(link, list)
        and len(link) == 2
        and all(type(end) is int and 1 <= end <= num_keypoints for end in link)
    )


def is_file_name(value: Any) -> bool:
    """Whether a value can be an image's ``file_name``."""
    return isinstance(value, str) and value != ""


def _is_id(value: Any) -> bool:
    return type(value) is int  # True and False are not


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _links(category: dict) -> list:
    """What its skeleton lists; a skeleton that is no list is itself one bad link."""
    skeleton = category.get("skeleton") or []
    return skeleton if isinstance(skeleton, list) else [skeleton]
