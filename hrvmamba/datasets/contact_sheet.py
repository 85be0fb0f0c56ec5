"""A picture of many annotated people, to look at."""

from pathlib import Path

import cv2
import numpy as np

from hrvmamba.coco_files import is_box
from hrvmamba.datasets.coco_check import DatasetCheck, is_file_name
from hrvmamba.inference.inputs import ImageFile
from hrvmamba.visualization.drawing import draw_people
from hrvmamba.visualization.skeleton import Skeleton

_TILE = (240, 320)  # width and height of a person's picture
_COLUMNS = 6
_GAP = 6
_BAND = 34  # below a tile, for two lines of text
_PADDING = 1.25  # of a box, as GetBBoxCenterScale's
_GROUND, _BEYOND, _TEXT, _FRAME = (32, 30, 30), (70, 66, 66), (235, 235, 235), (255, 255, 255)
_LETTERS = 0.42  # scale of the font
_LINE = 20  # height of a line of the legend


def contact_sheet(
    check: DatasetCheck, image_folder: Path, skeleton: Skeleton, count: int = 24
) -> tuple[np.ndarray, int]:
    """Draw people spread over the whole data set, each as a model would see it, with its keypoints.

    Hidden keypoints (visibility 1) are hollow. Above are the keypoints' colours.

    Args:
        check: of the data set. Annotations without a labelled keypoint or a box are left out, as
            are those whose image cannot be read.
        image_folder: where the images are.
        skeleton: of the data set's keypoints.
        count: people to draw, at most.

    Returns:
        The picture, ``(H, W, 3)``, BGR, uint8, and how many people it shows.
    """
    files = {
        image["id"]: image["file_name"]
        for image in check.content["images"]
        if type(image.get("id")) is int and is_file_name(image.get("file_name"))
    }
    people = [
        person
        for person in check.people
        if type(person.get("image_id")) is int and person["image_id"] in files
        if is_box(person.get("bbox")) and min(person["bbox"][2:]) > 0
    ]
    chosen = np.unique(np.linspace(0, len(people) - 1, min(count, len(people))).round().astype(int))
    tiles = []
    for person in (people[index] for index in chosen):
        name = files[person["image_id"]]
        try:
            image = ImageFile(image_folder / name, name).read()
        except ValueError:
            continue
        tiles.append(_tile(person, name, image, skeleton))
    rows = [_row(tiles[start : start + _COLUMNS]) for start in range(0, len(tiles), _COLUMNS)]
    return np.vstack([_legend(skeleton), *rows]), len(tiles)


def _tile(person: dict, name: str, image: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """A person's crop with its skeleton and box, and a band of text below."""
    width, height = _TILE
    x, y, box_width, box_height = person["bbox"]
    scale = 1 / (_PADDING * max(box_width / width, box_height / height))
    centre = np.array([x + box_width / 2, y + box_height / 2])
    shift = np.array(_TILE) / 2 - scale * centre
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    crop = cv2.warpAffine(image, matrix, _TILE, flags=method, borderValue=_BEYOND)

    corners = np.rint(scale * np.array([[x, y], [x + box_width, y + box_height]]) + shift)
    (left, top), (right, bottom) = corners.astype(int).tolist()
    cv2.rectangle(crop, (left, top), (right, bottom), _FRAME, 1)
    points = np.array(person["keypoints"], float).reshape(1, -1, 3)
    places = scale * points[..., :2] + shift
    length = scale * max(box_width, box_height)
    visibility = points[..., 2]
    crop = draw_people(crop, places, visibility > 0, skeleton, visibility == 1, [length])

    band = np.full((_BAND, width, 3), _GROUND, np.uint8)
    labelled = int((points[..., 2] > 0).sum())
    _write(band, f"id {person.get('id')}: {labelled}/{len(skeleton.names)} keypoints", (2, 13))
    _write(band, name, (2, 29))
    return np.vstack([crop, band])


def _row(tiles: list[np.ndarray]) -> np.ndarray:
    height = _TILE[1] + _BAND
    row = np.full((height + _GAP, _sheet_width(), 3), _GROUND, np.uint8)
    for column, tile in enumerate(tiles):
        left = _GAP + column * (_TILE[0] + _GAP)
        row[:height, left : left + _TILE[0]] = tile
    return row


def _legend(skeleton: Skeleton) -> np.ndarray:
    """The names of the keypoints behind dots of their colours, and that hidden ones are hollow."""
    entries = [
        (name, tuple(colour[::-1].tolist()))
        for name, colour in zip(skeleton.names, skeleton.keypoint_colours, strict=True)
    ]
    entries.append(("hidden", None))
    places, x, y = [], _GAP, _LINE
    for name, _ in entries:
        width = cv2.getTextSize(_ascii(name), cv2.FONT_HERSHEY_SIMPLEX, _LETTERS, 1)[0][0] + 34
        if x + width > _sheet_width():
            x, y = _GAP, y + _LINE
        places.append((x, y))
        x += width
    legend = np.full((y + _GAP + 4, _sheet_width(), 3), _GROUND, np.uint8)
    for (x, y), (name, colour) in zip(places, entries, strict=True):
        cv2.circle(legend, (x + 6, y - 4), 5, colour or _TEXT, -1, cv2.LINE_AA)
        if colour is None:
            cv2.circle(legend, (x + 6, y - 4), 3, _GROUND, -1, cv2.LINE_AA)
        _write(legend, name, (x + 16, y))
    return legend


def _sheet_width() -> int:
    return _GAP + _COLUMNS * (_TILE[0] + _GAP)


def _write(image: np.ndarray, text: str, place: tuple[int, int]) -> None:
    cv2.putText(
        image, _ascii(text), place, cv2.FONT_HERSHEY_SIMPLEX, _LETTERS, _TEXT, 1, cv2.LINE_AA
    )


def _ascii(text: str) -> str:
    """The text as OpenCV's font can write it."""
    return text.encode("ascii", "replace").decode()
