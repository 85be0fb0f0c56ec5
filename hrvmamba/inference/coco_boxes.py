"""Person boxes of images, from COCO's files."""

import dataclasses
from pathlib import Path

import numpy as np

from hrvmamba.coco_files import is_box, read_annotations, read_detections

PERSON = 1
"""COCO's category of people, the one that MMPose takes from detection files."""


@dataclasses.dataclass(frozen=True)
class _Images:
    """The images of an annotation file: ids by file name, and by its last part where one has it."""

    ids: dict[str, int]
    sizes: dict[int, tuple[int, int]]


class CocoBoxes:
    """The boxes of people that files know.

    Args:
        annotations: a COCO annotation file, which names the images. Without ``detections``, its
            boxes are taken: those of people, but for crowds, clipped to the image, as MMPose's
            CocoDataset clips them.
        detections: a person detection file, a JSON list of boxes with image_id, category_id, bbox
            and score. Without ``annotations``, its images are known by their file_name, where the
            boxes have it, or else by the number that a file's name is (000000000139.jpg).
        threshold: detections scored less are left out.

    Raises:
        ValueError: a file is missing or has another form.
    """

    def __init__(
        self, annotations: Path | None, detections: Path | None = None, threshold: float = 0.0
    ) -> None:
        self._source = annotations or detections
        self._ids: dict[str, int] | None = None
        self._boxes: dict[int, list[tuple[list[float], float]]] = {}
        if annotations is not None:
            content = read_annotations(annotations, ("images", "annotations", "categories"))
            _check_keys(annotations, "image", content["images"], ("id", "file_name"))
            self._ids = _by_name((image["file_name"], image["id"]) for image in content["images"])
            if detections is None:
                self._take_annotations(annotations, content)
        if detections is not None:
            found = read_detections(detections)
            if annotations is None and all("file_name" in box for box in found):
                self._ids = _by_name((box["file_name"], box["image_id"]) for box in found)
            for box in found:
                if box["category_id"] == PERSON and box["score"] >= threshold:
                    self._add(box["image_id"], box["bbox"][:4], box["score"])

    def image_id(self, name: str) -> int:
        """The id of the image of a file name.

        Raises:
            ValueError: the files do not know it.
        """
        if self._ids is None:
            if not Path(name).stem.isdecimal():
                raise ValueError(
                    f"{self._source} knows images by numbers, and this file's name is none: "
                    "name an annotation file, which tells the image_id of each file"
                )
            return int(Path(name).stem)
        for known in (name, Path(name).name):
            if known in self._ids:
                return self._ids[known]
        raise ValueError(f"{self._source} does not have this image")

    def __call__(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The boxes of an image: ``(N, 4)``, x, y, width, height in pixels; and scores, ``(N,)``.

        Raises:
            ValueError: the files do not know the image.
        """
        people = self._boxes.get(self.image_id(name), [])
        boxes = np.array([box for box, _ in people], np.float32).reshape(-1, 4)
        return boxes, np.array([score for _, score in people], np.float32)

    def _take_annotations(self, path: Path, content: dict) -> None:
        _check_keys(path, "image", content["images"], ("width", "height"))
        sizes = {image["id"]: (image["width"], image["height"]) for image in content["images"]}
        people = {c.get("id") for c in content["categories"] if c.get("name") == "person"}
        for annotation in content["annotations"]:
            if annotation.get("iscrowd") or not is_box(annotation.get("bbox")):
                continue
            if people and annotation.get("category_id") not in people:
                continue
            size = sizes.get(annotation.get("image_id"))
            if size is not None:
                self._add(annotation["image_id"], _clip(annotation["bbox"], size), 1.0)

    def _add(self, image_id: int, box: list[float], score: float) -> None:
        if box[2] > 0 and box[3] > 0:
            self._boxes.setdefault(image_id, []).append((box, score))


def _by_name(images) -> dict[str, int]:
    """Ids by file name, and by its last part where that is one image's alone."""
    ids: dict[str, int] = {}
    parts: dict[str, set[int]] = {}
    for name, image_id in images:
        ids[name] = image_id
        parts.setdefault(Path(name).name, set()).add(image_id)
    alone = {part: next(iter(found)) for part, found in parts.items() if len(found) == 1}
    return alone | ids


def _check_keys(path: Path, kind: str, objects: list[dict], keys: tuple[str, ...]) -> None:
    for number, entry in enumerate(objects):
        missing = [key for key in keys if key not in entry]
        if missing:
            raise ValueError(f"{path}: {kind} {entry.get('id', number)} has no {missing[0]}")


def _clip(box: list[float], size: tuple[int, int]) -> list[float]:
    """Clip a box to an image, its last pixels' centres being the edge."""
    x, y, width, height = box
    left, top = (min(max(start, 0), pixels - 1) for start, pixels in zip((x, y), size, strict=True))
    right, bottom = (
        min(max(end, 0), pixels - 1)
        for end, pixels in zip((x + width, y + height), size, strict=True)
    )
    return [left, top, right - left, bottom - top]
