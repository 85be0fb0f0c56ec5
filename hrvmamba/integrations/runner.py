"""MMEngine's runner: several processes on any machine, and checkpoints written whole."""

import atexit
import gc
import os
import re
from pathlib import Path

import torch
import torch.distributed
from mmengine.config import Config
from mmengine.fileio import LocalBackend, register_backend
from mmengine.runner import Runner

from hrvmamba.integrations.config import ConfigError


def check_launcher(launcher: str) -> None:
    """Check that this process was started by the launcher that it is told of.

    Raises:
        ConfigError: If the launcher's variable is not in the environment.
    """
    starters = {
        "none": None,
        "pytorch": ("LOCAL_RANK", "torchrun, as tools/dist_train.sh and tools/dist_test.sh do"),
        "slurm": ("SLURM_PROCID", "srun, as tools/slurm_train.sh and tools/slurm_test.sh do"),
        "mpi": ("OMPI_COMM_WORLD_LOCAL_RANK", "Open MPI's mpirun, with MASTER_ADDR set"),
    }
    starter = starters[launcher]
    if starter and starter[0] not in os.environ:
        raise ConfigError(
            f"--launcher {launcher}: {starter[0]} is not in the environment. Start this program "
            f"with {starter[1]}"
        )


class WholeFileBackend(LocalBackend):
    """MMEngine's local files, written whole or not at all.

    A run killed while it writes a checkpoint keeps the one it had.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes to a file, in one step."""
        partial = f"{filepath}.partial"
        super().put(obj, partial)
        os.replace(partial, filepath)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = "utf-8") -> None:
        """Write text to a file, in one step."""
        self.put(obj.encode(encoding), filepath)


def build_runner(config: Config) -> Runner:
    """Build MMEngine's runner, which creates the work_dir and, if launched so, joins the others.

    Beyond ``Runner.from_cfg``: checkpoints are written whole, and several processes also run on a
    machine without CUDA, through gloo, each with batch norms of its own.

    Args:
        config: A checked config, with its work_dir and launcher.
    """
    register_backend("local", WholeFileBackend, prefixes="", force=True)
    if config.launcher == "mpi":  # the one launcher whose local rank MMEngine does not pass on
        os.environ.setdefault("LOCAL_RANK", os.environ["OMPI_COMM_WORLD_LOCAL_RANK"])
    if config.launcher != "none":
        atexit.register(_leave_group)
    if config.launcher == "none" or torch.cuda.is_available():
        return Runner.from_cfg(config)

    config.merge_from_dict({"env_cfg.dist_cfg.backend": "gloo"})
    config.sync_bn = None  # PyTorch's is for GPUs alone
    config.model_wrapper_cfg = {
        "type": "MMDistributedDataParallel",
        "device_ids": None,
        "broadcast_buffers": False,
        "find_unused_parameters": config.get("find_unused_parameters", False),
    }
    # MMEngine selects a CUDA device for every launcher, whatever the backend.
    set_device = torch.cuda.set_device
    torch.cuda.set_device = lambda device: None
    try:
        return Runner.from_cfg(config)
    finally:
        torch.cuda.set_device = set_device


def _leave_group() -> None:
    """End the group's threads, which can abort a run that has succeeded at the interpreter's end.

    They end with the last object that holds the group: the parallel model, in the runner's cycles.
    """
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
        gc.collect()


# How MMPose and mmcv tell of an image that they could not load. From a worker of the data loader
# comes the whole traceback as text, with lines of their code.
_UNREADABLE = (
    re.compile(r"occurs when loading `(.+?)`\."),
    re.compile(r"^(?:AssertionError: )?failed to load image: (.+)$", re.M),
    re.compile(r"No such file or directory: '(.+\.(?:jpe?g|png|ppm|bmp|pgm|tiff?|webp))'", re.I),
)


def unreadable_image(error: BaseException) -> str | None:
    """One line about the image that could not be loaded, if that is what an error is about."""
    for pattern in _UNREADABLE:
        if found := pattern.search(str(error)):
            return f"the image {found[1]} cannot be read: it is missing or damaged"
    if "!buf.empty() in function 'imdecode" in str(error):
        return (
            "an image is an empty file, and OpenCV does not say which. "
            "To find it: find DATA_FOLDER -type f -empty"
        )
    return None
