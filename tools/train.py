"""Train the model of a config, for pose, classification or segmentation.

python tools/train.py configs/coco/hrvmamba_tiny_256x192.py
"""

from __future__ import annotations

import argparse
import importlib.util
import re
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from torch import nn

import hrvmamba  # noqa: F401  (registers the backbone and lets OpenMMLab's libraries import)
from hrvmamba.checkpoints import load_checkpoint, read_checkpoint
from hrvmamba.cli.errors import refuse
from hrvmamba.integrations.config import ConfigError, load_config
from hrvmamba.integrations.hosts import host_of
from hrvmamba.integrations.model_configs import check_load_from
from hrvmamba.integrations.runner import build_runner, check_launcher, unreadable_image

NEEDED = ("model", "train_dataloader", "train_cfg", "optim_wrapper")


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", help="the config file")
    parser.add_argument(
        "--work-dir", help="folder for logs and checkpoints (default: work_dirs/<config name>)"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="PATH",
        help="go on from a checkpoint; alone or with 'auto', from the last one in the work "
        "directory, or from the start if it has none",
    )
    parser.add_argument("--amp", action="store_true", help="mixed precision (needs a GPU)")
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the learning rate to the total batch size, from the config's own",
    )
    parser.add_argument("--tensorboard", action="store_true", help="also log for TensorBoard")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="settings that replace the config's, such as train_dataloader.batch_size=16",
    )
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="what started this process, if it is one of several",
    )
    return parser.parse_args(arguments)


def apply_arguments(config: Config, arguments: argparse.Namespace) -> None:
    """Write the command line's choices into the config."""
    check_launcher(arguments.launcher)
    config.launcher = arguments.launcher
    if arguments.work_dir:
        config.work_dir = arguments.work_dir
    elif not config.get("work_dir"):
        config.work_dir = str(Path("work_dirs", Path(arguments.config).stem))
    if arguments.amp:
        if not torch.cuda.is_available():
            raise ConfigError("--amp needs a CUDA GPU, and PyTorch finds none here: leave it out")
        config.optim_wrapper.type = "AmpOptimWrapper"
        config.optim_wrapper.setdefault("loss_scale", "dynamic")
    if arguments.auto_scale_lr:
        if "base_batch_size" not in (config.get("auto_scale_lr") or {}):
            raise ConfigError(
                "--auto-scale-lr needs the batch size that the config's learning rate is for: "
                "give --cfg-options auto_scale_lr.base_batch_size=256, or what it is"
            )
        config.auto_scale_lr.enable = True
    if arguments.tensorboard:
        if importlib.util.find_spec("tensorboard") is None:
            raise ConfigError(
                "--tensorboard needs the package tensorboard: pip install tensorboard"
            )
        if not config.get("visualizer"):  # then MMEngine takes this one
            config.visualizer = {
                "type": "Visualizer",
                "vis_backends": [{"type": "LocalVisBackend"}],
            }
        backends = [
            *(config.visualizer.get("vis_backends") or ()),
            {"type": "TensorboardVisBackend"},
        ]
        config.visualizer.vis_backends = backends


def latest_checkpoint(work_dir: str) -> str | None:
    """Find the checkpoint that MMEngine's note of the last one names, or the newest.

    A run that was killed leaves the note empty, or naming a checkpoint that is gone.
    """
    noted = Path(work_dir, "last_checkpoint")
    if noted.is_file():
        path = noted.read_text().strip()
        if path and Path(path).is_file():
            return path
    found = [
        (int(number[1]), str(path))
        for path in Path(work_dir).glob("*.pth")
        if (number := re.fullmatch(r"(?:epoch|iter)_(\d+)\.pth", path.name))
    ]
    return max(found)[1] if found else None


def apply_resume(config: Config, resume: str, model: nn.Module) -> None:
    """Make the run go on from a checkpoint, once that is known to fit.

    Args:
        config: The config, with its work_dir.
        model: Its model, which gets the checkpoint's weights.
        resume: "auto" or the checkpoint's path.

    Raises:
        ConfigError: If the checkpoint is missing or holds no state of a training.
        ValueError: If it is damaged or of another model.
    """
    path: str | None = resume
    if resume == "auto":
        path = latest_checkpoint(config.work_dir)
        if path is None:
            return
    if not Path(path).is_file():
        raise ConfigError(f"--resume: the checkpoint {path} does not exist")
    checkpoint = read_checkpoint(path)
    missing = {"meta", "optimizer", "param_schedulers", "message_hub"} - checkpoint.keys()
    if missing:
        raise ConfigError(
            f"--resume: {path} has no {', '.join(sorted(missing))}: it is not a checkpoint of a "
            f"training to go on with. To start from its weights: --cfg-options load_from={path}"
        )
    load_checkpoint(model, path)
    config.resume = True
    config.load_from = path
    # The order of the data follows from the seed: take up the run's own.
    seed = checkpoint["meta"].get("seed")
    if seed is not None:
        config.merge_from_dict({"randomness.seed": seed})


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, ``sys.argv`` if no arguments are given.

    Raises:
        SystemExit: With status 2, after one line on stderr, if the run cannot be done.
    """
    options = parse_arguments(arguments)
    try:
        config = load_config(options.config, options.cfg_options, NEEDED)
        apply_arguments(config, options)
        model = host_of(config).check_training(config)
        if options.resume:
            apply_resume(config, options.resume, model)
        if not config.get("resume"):
            check_load_from(config, model)
    except (ValueError, OSError) as error:
        refuse(error)
    runner = build_runner(config)
    try:
        runner.train()
    except Exception as error:
        reason = unreadable_image(error)
        if reason is None:
            raise
        refuse(reason)


if __name__ == "__main__":
    main()
