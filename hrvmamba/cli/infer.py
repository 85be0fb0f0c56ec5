"""`hrvmamba infer`: a pose model on images, videos or a camera, by :mod:`hrvmamba.inference`."""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hrvmamba.cli.errors import refuse

if TYPE_CHECKING:
    from hrvmamba.inference.inference_run import BoxFinder
    from hrvmamba.inference.streaming_inferencer import StreamingInferencer

HELP = "find people's keypoints in images, videos or a camera's pictures"

EXAMPLES = """
# one person, who fills the image
hrvmamba infer person.jpg --config CONFIG --checkpoint CHECKPOINT --out results

# people whom a detector of torchvision finds; it is downloaded when first used
hrvmamba infer photos/ clip.mp4 'more/**/*.png' --config CONFIG --checkpoint CHECKPOINT \\
    --out results --detector fasterrcnn_resnet50_fpn_v2 --device cuda

# people whose boxes are known: detected ones, with an annotation file to tell the images' ids
hrvmamba infer data/coco/val2017 --config CONFIG --checkpoint CHECKPOINT --out results \\
    --boxes detections.json --annotations data/coco/annotations/person_keypoints_val2017.json

# a model that `hrvmamba export` wrote; this needs no PyTorch
hrvmamba infer photos/ --onnx model.onnx --out results

# camera 0, until Ctrl-C
hrvmamba infer 0 --config CONFIG --checkpoint CHECKPOINT --out results --heatmaps
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hrvmamba infer`."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="an image, a video, a folder of them, a quoted pattern, or a camera's number",
    )
    parser.add_argument(
        "--config",
        help="an MMPose config of a top-down model: a file, or a name such as hrvmamba-small",
    )
    parser.add_argument("--checkpoint", help="of its model, ours or the authors'")
    parser.add_argument(
        "--onnx", metavar="FILE", help="a model of `hrvmamba export`, instead of these two"
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder to write to: results.json, in COCO's result format, and overlays/. An "
        "interrupted run goes on with the same command",
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, help="people at once (%(default)s)")
    boxes = parser.add_argument_group("where people are (each image is one person's)")
    chosen = boxes.add_mutually_exclusive_group()
    chosen.add_argument(
        "--boxes",
        metavar="FILE",
        help="detected boxes, a JSON list as COCO has it: image_id, category_id, bbox, score. An "
        "image_id is the number that a file's name is, unless --annotations tells",
    )
    chosen.add_argument("--detector", metavar="NAME", help="a detector of torchvision")
    boxes.add_argument(
        "--annotations",
        metavar="FILE",
        help="COCO annotations: the images' ids and, without the two above, the people's boxes",
    )
    boxes.add_argument(
        "--box-threshold",
        type=float,
        default=0.3,
        metavar="SCORE",
        help="leave out detected boxes scored less; 0 keeps all, as AP asks for (%(default)s)",
    )
    drawing = parser.add_argument_group("drawing")
    drawing.add_argument(
        "--keypoint-threshold",
        type=float,
        default=0.3,
        metavar="SCORE",
        help="draw no keypoint scored less (%(default)s)",
    )
    drawing.add_argument("--heatmaps", action="store_true", help="draw the heatmaps as well")
    drawing.add_argument("--no-overlays", action="store_true", help="draw nothing")


def run(options: argparse.Namespace) -> int:
    """Run the model on all inputs; the status is 1 if some could not be read."""
    # Ended by a job scheduler or a time limit, it cleans up as it does after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    given = {"--config": options.config, "--checkpoint": options.checkpoint}
    if options.onnx is None and None in given.values():
        refuse(f"--config and --checkpoint are needed, or --onnx: got {_named(given)}")
    if options.onnx is not None and any(given.values()):
        refuse(f"--onnx needs no {_named(given)}: it has its own preprocessing and weights")
    try:
        from hrvmamba.inference.inference_run import OVERLAYS, InferenceRun
        from hrvmamba.inference.inputs import find_inputs
    except ImportError as error:
        refuse(f"this needs OpenCV and tqdm: {error}")

    out = Path(options.out)
    try:
        inputs = find_inputs(options.inputs)
        find_boxes, image_id = _people(options)
        infer = _inferencer(options)
        inference = InferenceRun(
            infer,
            inputs,
            out,
            find_boxes=find_boxes,
            image_id=image_id,
            overlays=not options.no_overlays,
            threshold=options.keypoint_threshold,
            settings=_settings(options),
        )
    except (ImportError, ValueError, OSError) as error:
        refuse(error)
    start = time.perf_counter()
    try:
        outcome = inference.run()
    except OSError as error:  # a full disk, say
        refuse(error)
    except KeyboardInterrupt:
        print(f"what is done is kept in {out}: the same command goes on from there")
        raise
    rate = (outcome.images - outcome.taken_over) / (time.perf_counter() - start)
    earlier = f", {outcome.taken_over} of an earlier run" if outcome.taken_over else ""
    print(f"{outcome.images} images{earlier}, {outcome.people} people, {rate:.1f} images/s")
    print(outcome.results if options.no_overlays else f"{outcome.results}, {out / OVERLAYS}")
    if outcome.failures:
        print(f"{len(outcome.failures)} of {len(inputs)} inputs skipped")
    return 1 if outcome.failures else 0


def _named(given: dict[str, str | None]) -> str:
    """The options that were given, or none."""
    return " and ".join(name for name, value in given.items() if value is not None) or "none"


def _inferencer(options: argparse.Namespace) -> StreamingInferencer:
    """The model of a config or of an exported file.

    Raises:
        ImportError: what it needs is not installed.
        ValueError: it is no such model, or does not fit.
        OSError: a file is missing.
    """
    asked = {
        "batch_size": options.batch_size,
        "heatmaps": options.heatmaps and not options.no_overlays,
    }
    if options.onnx is not None:
        from hrvmamba.inference.onnx_pose_inferencer import OnnxPoseInferencer

        return OnnxPoseInferencer(options.onnx, options.device, **asked)
    try:
        from hrvmamba.inference.pose_inferencer import PoseInferencer
    except ImportError as error:
        raise ImportError(f"this needs MMPose's stack, see `hrvmamba check`: {error}") from error
    return PoseInferencer(options.config, options.checkpoint, options.device, **asked)


def _people(
    options: argparse.Namespace,
) -> tuple[BoxFinder | None, Callable[[str], int] | None]:
    """What finds the boxes of an image, and what tells its id; None where nothing does.

    Raises:
        ImportError: the detector needs torchvision, which is not installed.
        ValueError: a file has another form, or there is no such detector.
        OSError: the detector's weights cannot be downloaded.
    """
    from hrvmamba.inference.coco_boxes import CocoBoxes

    known = None
    if options.boxes or options.annotations:
        annotations, detections = (
            Path(name) if name else None for name in (options.annotations, options.boxes)
        )
        known = CocoBoxes(annotations, detections, options.box_threshold)
    image_id = known.image_id if known else None
    if options.detector is None:
        return (lambda name, image: known(name)) if known else None, image_id
    from hrvmamba.analysis.timing import find_device
    from hrvmamba.inference.person_detector import PersonDetector

    detect = PersonDetector(options.detector, find_device(options.device), options.box_threshold)
    return lambda name, image: detect(image), image_id


def _settings(options: argparse.Namespace) -> dict[str, object]:
    """What results depend on, of each file its state too."""
    names = ("detector", "box_threshold", "keypoint_threshold", "heatmaps", "no_overlays")
    settings = {f"--{name.replace('_', '-')}": getattr(options, name) for name in names}
    for name in ("config", "checkpoint", "onnx", "boxes", "annotations"):
        path = getattr(options, name)
        if path is not None:
            path = _config_file(path) if name == "config" else path
            state = Path(path).stat()
            path = [str(Path(path).absolute()), state.st_size, state.st_mtime]
        settings[f"--{name}"] = path
    return settings


def _config_file(name: str) -> Path:
    from hrvmamba.integrations.config import find_config

    return find_config(name)
