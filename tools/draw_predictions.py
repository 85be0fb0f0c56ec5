"""Draw predicted skeletons beside the true ones, as a grid of pictures."""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hrvmamba.cli.errors import refuse
from hrvmamba.datasets.keypoints import (
    KEYPOINT_INDEX,
    KEYPOINTS,
    LIMBS,
    keypoint_colour,
    limb_colour,
)
from hrvmamba.whole_file import whole_file

_PIXELS = 384  # longer side of a picture in the grid
_PAIRS_A_ROW = 2
_RIM = (25, 25, 30)  # around lines and dots, so that they show on any ground


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("annotations", metavar="ANN_FILE", help="COCO keypoint annotations")
    parser.add_argument("images", metavar="IMAGE_DIR", help="folder of the images")
    parser.add_argument("results", metavar="RESULTS_JSON", help="predictions in COCO's format")
    parser.add_argument("out", metavar="OUT.png", help="picture to write")
    parser.add_argument("--count", type=int, default=8, help="images to draw (%(default)s)")
    parser.add_argument(
        "--score-threshold",
        type=float,
        default=0.3,
        help="draw no person and no keypoint scored lower (%(default)s)",
    )
    return parser.parse_args(arguments)


def _load_json(path: str) -> object:
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as JSON ({error})") from error


def _people_by_image(people: list, path: str) -> dict[int, list[tuple[np.ndarray, float]]]:
    """Keypoints (17, 3) and score of everybody in each image; the true ones' score is 1."""
    grouped: dict[int, list[tuple[np.ndarray, float]]] = {}
    for number, person in enumerate(people):
        try:
            keypoints = np.array(person["keypoints"], float).reshape(len(KEYPOINTS), 3)
            image, score = person["image_id"], float(person.get("score", 1.0))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"{path}: person {number} is ill-formed: needs image_id and 17 keypoints of three "
                f"numbers each ({error!r})"
            ) from error
        grouped.setdefault(image, []).append((keypoints, score))
    return grouped


def _load_truth(path: str) -> tuple[list[dict], dict[int, list[tuple[np.ndarray, float]]]]:
    content = _load_json(path)
    keys = ("images", "annotations")
    if not isinstance(content, dict) or any(not isinstance(content.get(k), list) for k in keys):
        raise ValueError(f"{path}: no COCO annotations: needs lists `images` and `annotations`")
    for image in content["images"]:
        if not isinstance(image, dict) or not {"id", "file_name"} <= set(image):
            raise ValueError(f"{path}: each of `images` needs `id` and `file_name`, got {image!r}")
    return content["images"], _people_by_image(content["annotations"], path)


def _load_predictions(path: str) -> dict[int, list[tuple[np.ndarray, float]]]:
    content = _load_json(path)
    if not isinstance(content, list):
        raise ValueError(f"{path}: no COCO results: needs a list, got {type(content).__name__}")
    return _people_by_image(content, path)


def _draw_person(image: np.ndarray, keypoints: np.ndarray, shown: np.ndarray, scale: float) -> None:
    """Draw a skeleton on an image enlarged by scale; keypoints (17, 2), shown (17,) bool."""

    def place(index: int) -> tuple[int, int]:
        x, y = np.rint(keypoints[index] * scale).astype(int)
        return int(x), int(y)

    limbs = [limb for limb in LIMBS if all(shown[KEYPOINT_INDEX[name]] for name in limb)]
    for width, rim in ((5, True), (3, False)):
        for limb in limbs:
            ends = [place(KEYPOINT_INDEX[name]) for name in limb]
            cv2.line(image, *ends, _RIM if rim else limb_colour(*limb), width, cv2.LINE_AA)
    for index in np.flatnonzero(shown):
        cv2.circle(image, place(index), 5, _RIM, -1, cv2.LINE_AA)
        cv2.circle(image, place(index), 4, keypoint_colour(KEYPOINTS[index]), -1, cv2.LINE_AA)


def _picture(
    path: Path, people: list[tuple[np.ndarray, float]], score_threshold: float | None
) -> np.ndarray:
    """The image with its people: true ones' labelled keypoints, or predicted ones scored enough."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{path}: missing, or no image")
    scale = _PIXELS / max(image.shape[:2])
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    for keypoints, score in people:
        if score_threshold is None:
            _draw_person(image, keypoints[:, :2], keypoints[:, 2] > 0, scale)
        elif score >= score_threshold:
            _draw_person(image, keypoints[:, :2], keypoints[:, 2] >= score_threshold, scale)
    return image


def _grid(pairs: list[tuple[str, np.ndarray, np.ndarray]]) -> Figure:
    """Pairs (name, truth, prediction) side by side, under a title and a legend."""
    columns = min(_PAIRS_A_ROW, len(pairs))
    rows = -(-len(pairs) // columns)
    tallest = max(truth.shape[0] / truth.shape[1] for _, truth, _ in pairs)
    width, header = 6.4 * columns, 0.95  # inches
    height = (3.2 * tallest + 0.3) * rows + header
    figure = Figure(figsize=(width, height), dpi=100)
    FigureCanvasAgg(figure)
    top = 1 - 0.12 / height
    figure.suptitle("True and predicted keypoints", fontsize=15, weight="bold", y=top, va="top")
    legend = {"head, middle": "nose", "left side": "left_knee", "right side": "right_knee"}
    handles = [
        Line2D([], [], color=np.array(keypoint_colour(name)) / 255, marker="o", lw=3, label=label)
        for label, name in legend.items()
    ]
    place = (0.5, 1 - 0.36 / height)
    figure.legend(handles=handles, loc="upper center", bbox_to_anchor=place, ncols=3, frameon=False)
    axes = figure.subplots(
        rows,
        2 * columns,
        squeeze=False,
        gridspec_kw={
            "left": 0.05 / width,
            "right": 1 - 0.05 / width,
            "bottom": 0.05 / height,
            "top": 1 - header / height,
            "wspace": 0.02,
            "hspace": 0.3 / (3.2 * tallest),
        },
    )
    for axis in axes.ravel():
        axis.axis("off")
    for number, (name, *pictures) in enumerate(pairs):
        row, column = divmod(number, columns)
        for offset, (kind, picture) in enumerate(zip(("true", "predicted"), pictures, strict=True)):
            axis = axes[row, 2 * column + offset]
            axis.imshow(picture)
            axis.set_title(f"{name}: {kind}", fontsize=10, pad=3)
    return figure


def draw_predictions(
    annotations: str, image_dir: str, results: str, out: str, count: int, score_threshold: float
) -> int:
    """Write the grid, of images with people spread over the whole set; returns how many it holds.

    Raises:
        ValueError: a file is missing or ill-formed, or an argument out of range.
    """
    if count < 1:
        raise ValueError(f"--count: got {count}, needs at least 1")
    if not Path(out).absolute().parent.is_dir():
        raise ValueError(f"{out}: the folder does not exist")
    images, truth = _load_truth(annotations)
    predictions = _load_predictions(results)
    unknown = sorted(set(predictions) - {image["id"] for image in images})
    if unknown:
        raise ValueError(f"{results}: predicts for images that {annotations} lacks: {unknown[:5]}")
    images = [image for image in images if image["id"] in truth]
    if not images:
        raise ValueError(f"{annotations}: no image has annotated people")
    chosen = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int)
    pairs = []
    for image in (images[index] for index in chosen):
        path, key = Path(image_dir) / image["file_name"], image["id"]
        true = _picture(path, truth[key], None)
        predicted = _picture(path, predictions.get(key, []), score_threshold)
        pairs.append((Path(image["file_name"]).stem.lstrip("0") or "0", true, predicted))
    with whole_file(Path(out)) as partial:
        _grid(pairs).savefig(partial, format="png")
    return len(pairs)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, ``sys.argv`` if no arguments are given.

    Raises:
        SystemExit: With status 2, after one line on stderr, if the picture cannot be drawn.
    """
    options = parse_arguments(arguments)
    try:
        count = draw_predictions(
            options.annotations,
            options.images,
            options.results,
            options.out,
            options.count,
            options.score_threshold,
        )
    except (ValueError, OSError) as error:
        refuse(error)
    print(f"{options.out}: {count} images")


if __name__ == "__main__":
    main()
