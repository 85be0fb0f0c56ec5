"""`hrvmamba web`: a page to try a model on, by :mod:`hrvmamba.web`."""

import argparse
import functools
from pathlib import Path

from hrvmamba.cli.errors import refuse

HELP = "serve a page to try a model on: skeletons, heatmaps and activation maps"

EXAMPLES = """
hrvmamba web --config CONFIG --checkpoint CHECKPOINT             # then open the address it prints
hrvmamba web --config CONFIG --checkpoint CHECKPOINT --port 8000 --device cuda
hrvmamba web --config CONFIG --checkpoint CHECKPOINT --host 0.0.0.0   # for the whole network
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hrvmamba web`."""
    parser.add_argument(
        "--config",
        required=True,
        help="an MMPose config of a top-down model: a file, or a name such as hrvmamba-small",
    )
    parser.add_argument("--checkpoint", required=True, help="of its model, ours or the authors'")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (%(default)s)")
    parser.add_argument(
        "--detector",
        metavar="NAME",
        default="fasterrcnn_resnet50_fpn_v2",
        help="the detector of torchvision that the page offers; it is downloaded when first used "
        "(%(default)s)",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="the address to listen on: anyone who reaches it can use the model (%(default)s: "
        "programs of this machine alone)",
    )
    parser.add_argument("--port", type=int, help="(the first free one from 7860 on)")
    parser.add_argument(
        "--max-upload",
        type=int,
        default=10,
        metavar="MB",
        help="the largest file of a picture (%(default)s)",
    )


def run(options: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C."""
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        refuse(f'the page needs Gradio: pip install "hrvmamba[web]" ({error})')
    try:
        from hrvmamba.inference import PoseInferencer
        from hrvmamba.inference.person_detector import PersonDetector, detector_names
        from hrvmamba.web.demo import Demo
        from hrvmamba.web.page import serve
    except ImportError as error:
        refuse(f"this needs MMPose's stack, see `hrvmamba check`: {error}")
    try:
        if options.port is not None and not 1 <= options.port <= 65535:
            raise ValueError(f"--port: got {options.port}, needs 1 to 65535")
        if options.max_upload < 1:
            raise ValueError(f"--max-upload: got {options.max_upload}, needs at least 1")
        if options.detector not in detector_names():
            raise ValueError(
                f"--detector: got {options.detector}, torchvision has {', '.join(detector_names())}"
            )
        infer = PoseInferencer(options.config, options.checkpoint, options.device)
        detector = functools.cache(lambda: PersonDetector(options.detector, infer.device))
        name = f"{Path(options.config).stem}, {Path(options.checkpoint).name}"
        demo = Demo(name, infer, lambda image: detector()(image))
        page = serve(demo, options.host, options.port, options.max_upload)
    except (ImportError, ValueError, OSError) as error:
        refuse(error)
    print(f"{page.local_url}  (Ctrl-C ends it)", flush=True)
    page.block_thread()
