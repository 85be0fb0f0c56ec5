"""`hrvmamba convert`: the authors' checkpoints, by :mod:`hrvmamba.checkpoints.conversion`."""

import argparse
import io
from pathlib import Path

from hrvmamba.cli.errors import refuse

HELP = "turn a checkpoint of the authors (PoseVMamba) into one of this package"

EXAMPLES = """
hrvmamba convert their_pose_small.pth hrvmamba_small.pth
hrvmamba convert their_imagenet_tiny.pth hrvmamba_tiny_imagenet.pth
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hrvmamba convert`."""
    parser.add_argument(
        "source",
        metavar="SRC",
        help="the authors' file: a runner checkpoint, or ImageNet weights under 'model_ema' or "
        "'model' (the first that is there)",
    )
    parser.add_argument("destination", metavar="DST", help="the file to write")


def run(options: argparse.Namespace) -> None:
    """Convert the file, and say what became of its tensors."""
    import torch

    from hrvmamba.checkpoints import convert_posevmamba
    from hrvmamba.whole_file import whole_file

    destination = Path(options.destination)
    try:
        converted = convert_posevmamba(options.source)
        content = io.BytesIO()  # torch.save to a full disk tells nothing of the disk
        torch.save({"state_dict": converted.state_dict}, content)
        with whole_file(destination) as partial:
            partial.write_bytes(content.getbuffer())
    except (ValueError, OSError) as error:
        refuse(error)
    print(converted)
    if converted.key is not None:
        print(f"weights from {converted.key!r} of {options.source}")
    print(f"written to {destination}")
