"""Fixtures for every test."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from hrvmamba.models import HRVMamba

REPOSITORY = Path(__file__).parents[1]

# A shell's background jobs ignore interrupts, and so would the programs that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def seed() -> None:
    """The same random numbers in every run."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's top folder."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data, HRVMAMBA_SHARED or ../shared; skips where there is none."""
    folder = Path(os.environ.get("HRVMAMBA_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder}: name its folder in HRVMAMBA_SHARED")
    return folder


@pytest.fixture(scope="session")
def run_python() -> Callable[..., subprocess.CompletedProcess]:
    """Run Python code in a fresh interpreter that finds `path`, then the repository, first."""

    def run(code: str, path: Path | None = None) -> subprocess.CompletedProcess:
        folders = [str(folder) for folder in (path, REPOSITORY) if folder]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, text=True, capture_output=True
        )

    return run


# Our names, and the authors', in the order to try them.
RENAMED = [
    (r"^stem\.([01])\.0\.", lambda m: f"conv{int(m[1]) + 1}."),
    (r"^stem\.([01])\.1\.", lambda m: f"bn{int(m[1]) + 1}."),
    (r"^stage1\.(\d)\.conv(\d)\.0\.", r"layer1.\1.conv\2."),
    (r"^stage1\.(\d)\.conv(\d)\.1\.", r"layer1.\1.bn\2."),
    (r"^stage1\.", "layer1."),
    (r"^(transition1\.1|transition2\.2|transition3\.3)\.", r"\1.0."),
    (r"\.fusion\.paths\.", ".fuse_layers."),
    (r"\.lpu([12])\.", r".cpe\1."),
    (r"\.esinb\.convs\.", ".conv2d."),
    (r"\.esinb_norm\.", ".norm0."),
    (r"\.dss2d_norm\.", ".norm."),
    (r"\.ffn_norm\.", ".norm2."),
    (r"\.ffn\.", ".mlp."),
    (r"\.dss2d\.offset_mask\.", ".op.conv2d.offset_mask."),
    (r"\.dss2d\.offset_conv\.", ".op.conv2d.offset_mask_dw."),
    (r"\.dss2d\.se\.reduce\.", ".op.se.fc.0."),
    (r"\.dss2d\.se\.expand\.", ".op.se.fc.2."),
    (r"\.dss2d\.x_proj\.weight", ".op.x_proj_weight"),
    (r"\.dss2d\.dt_(weight|bias)", r".op.dt_projs_\1"),
    (r"\.dss2d\.A_log", ".op.A_logs"),
    (r"\.dss2d\.Dskip", ".op.Ds"),
    (r"\.dss2d\.", ".op."),
]


def authors_name(name: str) -> str:
    """The authors' name of one of our tensors."""
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


@pytest.fixture(scope="session")
def nano() -> HRVMamba:
    """A Nano backbone with weights of its own."""
    torch.manual_seed(1)
    return HRVMamba("nano")


@pytest.fixture(scope="session")
def authors_nano(nano) -> dict[str, torch.Tensor]:
    """Its weights as the authors keep them."""
    theirs = {}
    for name, tensor in nano.state_dict().items():
        if name.endswith(("A_log", "Dskip")):
            tensor = tensor.flatten(0, 1)
        if name.endswith("x_proj.weight"):
            tensor = tensor.unflatten(0, (4, -1))
        theirs[authors_name(name)] = tensor
    return theirs


@pytest.fixture
def ade20k(tmp_path) -> Path:
    """Coloured squares on black, laid out as ADE20K is: 4 images to train on, 2 to validate on.

    Their labels, 1, 3 and 150, are the classes 0, 2 and 149; the black around has the label 0,
    which is ignored.
    """
    import cv2
    import numpy as np

    folder = tmp_path / "ADEChallengeData2016"
    rng = np.random.default_rng(0)
    colours = np.zeros((151, 3), dtype=np.uint8)
    colours[[1, 3, 150]] = np.diag([200, 200, 200])
    for split, count in (("training", 4), ("validation", 2)):
        for kind in ("images", "annotations"):
            (folder / kind / split).mkdir(parents=True)
        for index in range(count):
            labels = np.zeros((80, 96), dtype=np.uint8)
            for label in (1, 3, 150):
                x, y = rng.integers(0, 60, 2)
                labels[y : y + 32, x : x + 32] = label
            cv2.imwrite(str(folder / f"images/{split}/{index}.jpg"), colours[labels])
            cv2.imwrite(str(folder / f"annotations/{split}/{index}.png"), labels)
    return folder


@pytest.fixture
def image() -> np.ndarray:
    """Coloured noise, smoothed, which gives every keypoint a peak of its own: BGR, 130x170."""
    cv2 = pytest.importorskip("cv2")
    noise = np.random.default_rng(0).integers(0, 256, (130, 170, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (7, 7), 2)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A pose config of Nano in crops of 64x48, and a checkpoint with scores of about 1."""
    mmpose = pytest.importorskip("mmpose.apis.inference")
    from mmengine.config import Config

    folder = tmp_path_factory.mktemp("pose")
    config = Config.fromfile(REPOSITORY / "configs/coco/hrvmamba_nano_256x192.py")
    codec = {"input_size": (48, 64), "heatmap_size": (12, 16)}
    config.merge_from_dict({"model.head.decoder": codec})
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        for transform in config[loader].dataset.pipeline:
            if transform["type"] == "TopdownAffine":
                transform["input_size"] = (48, 64)
    config.dump(folder / "config.py")
    torch.manual_seed(0)
    model = mmpose.init_model(folder / "config.py", device="cpu")
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    model.head.final_layer.weight.data *= 2e-3
    torch.save({"state_dict": model.state_dict()}, folder / "weights.pth")
    return folder / "config.py", folder / "weights.pth"
