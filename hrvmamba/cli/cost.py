"""`hrvmamba cost`: parameters and multiply-accumulates, by :mod:`hrvmamba.analysis.cost`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from hrvmamba.cli.errors import refuse

if TYPE_CHECKING:
    from hrvmamba.analysis import Cost

HELP = "count the parameters and multiply-accumulates of presets or configs"

EXAMPLES = """
hrvmamba cost                                             # every preset's backbone at 256x192
hrvmamba cost small base --size 384x288
hrvmamba cost configs/coco/hrvmamba_small_256x192.py      # with its head, at its own size
hrvmamba cost small --json small.json
"""

_PRESETS_SIZE = "256x192"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `hrvmamba cost`."""
    parser.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help="a preset (nano, tiny, small, base), of which the backbone is counted, or a config "
        "(a file, or hrvmamba-small), of which the whole model is (every preset)",
    )
    parser.add_argument(
        "--size",
        metavar="HxW",
        help=f"height x width of the image (the config's own; {_PRESETS_SIZE} for presets)",
    )
    parser.add_argument("--json", metavar="PATH", help="write the figures to this file as well")


def run(options: argparse.Namespace) -> None:
    """Print the cost of each model, and write the file that is asked for."""
    from hrvmamba.models import ARCHS
    from hrvmamba.whole_file import whole_file

    counted = []
    try:
        for name in options.models or ARCHS:
            cost = _cost_of(name, options.size)
            print(f"{name}\n{cost}\n", flush=True)
            counted.append({"model": name, **cost._asdict()})
        if options.json:
            with whole_file(Path(options.json)) as partial:
                partial.write_text(json.dumps(counted, indent=1) + "\n")
            print(f"{options.json}: {len(counted)} models")
    except (ValueError, OSError) as error:
        refuse(error)


def _cost_of(name: str, size: str | None) -> Cost:
    import torch

    from hrvmamba.analysis import cost
    from hrvmamba.cli.sizes import parse_size
    from hrvmamba.models import ARCHS, HRVMamba

    if name in ARCHS:
        with torch.device("meta"):
            return cost(HRVMamba(name), parse_size(size or _PRESETS_SIZE))
    if not name.endswith(".py") and not name.startswith("hrvmamba"):
        raise ValueError(f"MODEL: got {name!r}, needs a config file or one of {', '.join(ARCHS)}")
    return _cost_of_config(name, size)


def _cost_of_config(path: str, size: str | None) -> Cost:
    from torch import Tensor, nn

    from hrvmamba.analysis import cost
    from hrvmamba.cli.sizes import parse_size
    from hrvmamba.integrations.config import load_config
    from hrvmamba.integrations.model_configs import build_model

    class Network(nn.Module):
        """The model without its losses and decoding, which OpenMMLab's call mode tensor."""

        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: Tensor) -> object:
            return self.model(images, None, mode="tensor")

    config = load_config(path, None, ("model",))
    if size is not None:
        return cost(Network(build_model(config)), parse_size(size))
    codec = config.get("codec") or {}
    if "input_size" not in codec:
        raise ValueError(f"--size is needed: {path} has no codec.input_size")
    width, height = codec["input_size"]
    return cost(Network(build_model(config)), (height, width))
