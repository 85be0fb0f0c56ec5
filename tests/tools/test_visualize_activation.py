"""The command line of tools/visualize_activation.py."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

FIGURES = ("activation", "sampling_points", "heatmaps", "feature_energy")

SS2D = """
_base_ = ["{config}"]
arch = dict(
    _delete_=True,
    bottleneck_channels=16,
    channels=(8, 16, 32, 64),
    use_lpu=True,
    use_se=True,
    dilations=(1,),
)
model = dict(backbone=dict(arch=arch))
"""


def save_weights(config: Path, path: Path) -> Path:
    """Save weights of a config's model, of which none is zero."""
    from mmengine.config import Config
    from mmpose.registry import MODELS

    with MODELS.switch_scope_and_registry("mmpose") as models:
        model = models.build(Config.fromfile(config).model)
    for name, parameter in model.named_parameters():
        if "offset_mask" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    torch.save({"state_dict": model.state_dict()}, path)
    return path


@pytest.fixture
def picture(people: Path) -> Path:
    """128x160 pixels."""
    return people / "val/101.jpg"


@pytest.fixture
def deformable(config: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Config and checkpoint of a small model with DSS2D, for inputs of 64x64 pixels."""
    return config, save_weights(config, tmp_path / "dss2d.pth")


@pytest.fixture
def plain(config: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Config and checkpoint of such a model with SS2D."""
    path = tmp_path / "plain.py"
    path.write_text(SS2D.format(config=config))
    return path, save_weights(path, tmp_path / "ss2d.pth")


def test_writes_figures_and_arrays(run_tool, deformable, picture, capfd):
    place = ("--stage", 3, "--module", 1, "--branch", 1, "--block", 0, "--query", 100, 60)
    run_tool("visualize_activation", *deformable, picture, *place, "--box", 40, 20, 90, 90)

    folder = Path("work_dirs/activation/101")
    assert {path.name for path in folder.iterdir()} == {
        "arrays.npz",
        *(f"{name}.png" for name in FIGURES),
    }
    out = capfd.readouterr().out
    for name in FIGURES:
        assert cv2.imread(str(folder / f"{name}.png")) is not None
        assert f"{folder}/{name}.png\n" in out
    arrays = np.load(folder / "arrays.npz")
    assert arrays["rows"].shape == (4, 8, 8, 32)
    # The box with its margin is 112.5 pixels wide, from 28.75 on, and from 8.75 down.
    assert arrays["token"].tolist() == [(60 - 8.75) * 8 // 112.5, (100 - 28.75) * 8 // 112.5]
    assert arrays["maps"].shape == (5, 8, 8)
    merged = np.abs(arrays["rows"].sum(0)).mean(-1)
    np.testing.assert_allclose(arrays["maps"][0], merged, rtol=1e-4, atol=1e-9)
    assert arrays["sampling_positions"].shape == (1, 9, 2)
    assert arrays["energy_branch2"].shape == (4, 4)
    assert arrays["heatmaps"].shape == (17, 16, 16) and arrays["keypoints"][0] == "nose"
    assert (arrays["sampling_masks"] != 0).all()


def test_compares_two_models(run_tool, deformable, plain, picture):
    options = ("--query", 60, 60, "--branch", 2, "--compare", *plain, "--out-dir", "out")
    run_tool("visualize_activation", *deformable, picture, *options)
    arrays = np.load("out/arrays.npz")
    assert arrays["compare_token"].tolist() == arrays["token"].tolist()
    assert "sampling_masks" in arrays and "compare_sampling_masks" not in arrays
    assert not np.array_equal(arrays["rows"], arrays["compare_rows"])
    height, width = cv2.imread("out/activation.png").shape[:2]
    assert height > 0.4 * width  # two rows of six square panels


def test_plain_sampling_has_no_points_to_draw(run_tool, plain, picture, capfd):
    run_tool("visualize_activation", *plain, picture, "--query", 60, 60, "--out-dir", "out")
    assert "no sampling_points.png" in capfd.readouterr().out
    assert {path.stem for path in Path("out").iterdir()} == {
        "arrays",
        "activation",
        "heatmaps",
        "feature_energy",
    }


PLACES = [
    (("--query", 160, 60), "--query: got 160 60, needs x from 0 to 159 and y from 0 to 127"),
    (("--query", 60, -1), "--query: got 60 -1, needs x from 0 to 159 and y from 0 to 127"),
    (("--query", "nan", 60), "--query: got nan 60"),
    (
        ("--query", 60, 60, "--box", 100, 20, 30, 40),
        "--query: got 60 60, needs x from 100 to 130 and y from 20 to 60",
    ),
    (("--query", 60, 60, "--box", 40, 40, 0, 40), "--box: got 40 40 0 40, needs a width"),
    (("--query", 60, 60, "--box", 200, 40, 9, 9), "picture, which is 160 x 128 pixels"),
    (("--query", 60, 60, "--stage", 1), "stage must be 2, 3 or 4"),
    (("--query", 60, 60, "--stage", 2, "--branch", 2), "branch must be from 0 to 1 in stage 2"),
    (("--query", 60, 60, "--module", 2), "module must be from 0 to 1 in stage 4, got 2"),
    (("--query", 60, 60, "--block", 2), "block must be from 0 to 1 in stage 4, got 2"),
]


def test_places_that_are_not_there(refused, deformable, picture):
    for arguments, message in PLACES:
        assert message in refused("visualize_activation", *deformable, picture, *arguments)


def test_files_that_do_not_fit(refused, deformable, plain, picture, tmp_path, repository):
    config, checkpoint = deformable
    query = ("--query", 60, 60)
    tool = "visualize_activation"

    (tmp_path / "text.png").write_text("no picture")
    message = refused(tool, config, checkpoint, tmp_path / "text.png", *query)
    assert "text.png cannot be read" in message

    message = refused(tool, config, checkpoint, picture, *query, "--out-dir", checkpoint)
    assert "--out-dir: " in message and "dss2d.pth is a file" in message

    message = refused(tool, config, plain[1], picture, *query)
    assert "ss2d.pth does not fit the model" in message
    message = refused(tool, config, checkpoint, picture, *query, "--compare", config, plain[1])
    assert "ss2d.pth does not fit the model" in message
    assert "none.pth not found" in refused(tool, config, "none.pth", picture, *query)

    other = tmp_path / "other.py"
    other.write_text(
        f'_base_ = ["{config}"]\nmodel = dict(backbone=dict(_delete_=True, '
        'type="ResNet", depth=18), head=dict(in_channels=512))'
    )
    message = refused(tool, other, checkpoint, picture, *query)
    assert "is ResNet: it must be HRVMamba" in message
    other.write_text(f'_base_ = ["{config}"]\ndefault_scope = "mmpretrain"')
    assert "is a config of mmpretrain" in refused(tool, other, checkpoint, picture, *query)


def test_weights_that_are_not_finite(refused, deformable, picture):
    config, checkpoint = deformable
    state = torch.load(checkpoint)
    state["state_dict"]["backbone.stem.0.0.weight"][0] = float("nan")
    torch.save(state, checkpoint)
    message = refused("visualize_activation", config, checkpoint, picture, "--query", 60, 60)
    assert "is not finite" in message
