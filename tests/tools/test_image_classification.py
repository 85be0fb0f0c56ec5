"""Training and testing a real ImageNet config on a small folder of images."""

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hrvmamba.checkpoints import load_checkpoint, read_checkpoint
from hrvmamba.models import HRVMambaClassifier

CLASSES = ("blue", "green", "red")
SIDE = 32
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)

SMALL = [
    *("model.head.num_classes=3", "data_preprocessor.num_classes=3"),
    *("val_evaluator.topk=1", "test_evaluator.topk=1"),
    *("train_dataloader.batch_size=6", "train_dataloader.dataset.pipeline.1.scale=32"),
    *(
        f"{loader}_dataloader.{option}"
        for loader in ("val", "test")
        for option in ("dataset.pipeline.1.scale=32", "dataset.pipeline.2.crop_size=32")
    ),
    *(f"{loader}_dataloader.num_workers=0" for loader in ("train", "val", "test")),
    *("default_hooks.logger.interval=1", "default_hooks.checkpoint.max_keep_ckpts=1"),
    *("custom_hooks.0.momentum=0.5", "randomness.seed=0"),
]


@pytest.fixture
def config(repository: Path) -> Path:
    """The real config of Nano."""
    return repository / "configs/imagenet/hrvmamba_nano_256.py"


@pytest.fixture
def images(run_tool) -> Path:
    """Images of noise around three colours in ImageNet's layout, where the config looks for it."""
    rng = np.random.default_rng(0)
    root = Path("data/imagenet").absolute()
    for split, count in (("train", 4), ("val", 3)):
        for channel, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                image = rng.integers(0, 128, (SIDE, SIDE, 3), dtype=np.uint8)
                image[..., channel] += 100
                cv2.imwrite(str(folder / f"{name}{index}.png"), image)
    return root


def logged(work_dir: str, key: str) -> list[float]:
    files = sorted(Path("work_dirs", work_dir).glob("*/vis_data/scalars.json"))
    entries = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [entry[key] for entry in entries if key in entry]


def predict(model: HRVMambaClassifier, path: str) -> torch.Tensor:
    """The probabilities of an image's classes, by the core alone."""
    image = torch.from_numpy(cv2.imread(path)[..., ::-1].copy()).float()
    x = (image - torch.tensor(MEAN)) / torch.tensor(STD)
    with torch.inference_mode():
        return model(x.permute(2, 0, 1)[None]).softmax(1)[0]


def test_trains_resumes_and_tests(run_tool, config, images):
    options = ["--cfg-options", *SMALL]
    run_tool("train", config, *options, "train_cfg.max_epochs=1")
    run_tool("train", config, "--resume", *options, "train_cfg.max_epochs=2")
    losses = logged(config.stem, "loss")
    assert len(losses) == 4 and np.isfinite(losses).all()
    (path,) = Path("work_dirs", config.stem).glob("epoch_2.pth")
    averaged = read_checkpoint(path)["ema_state_dict"]
    assert averaged["steps"] == 4  # the average went on from where it was

    outputs = ["--out", "metrics.json", "--dump", "predictions.pkl", "--show-dir", "drawn"]
    run_tool("test", config, path, *outputs, *options)
    predictions = pickle.loads(Path("predictions.pkl").read_bytes())
    assert len(predictions) == 9 == len(list(Path("drawn").iterdir()))
    core = HRVMambaClassifier("nano", num_classes=3).eval()
    assert not load_checkpoint(core, path).left_over
    right = []
    for prediction in predictions:
        probabilities = predict(core, prediction["img_path"])
        torch.testing.assert_close(prediction["pred_score"], probabilities, atol=1e-4, rtol=1e-3)
        name = Path(prediction["img_path"]).parent.name
        right.append(CLASSES[int(probabilities.argmax())] == name)
    top1 = json.loads(Path("metrics.json").read_text())["accuracy/top1"]
    assert top1 == pytest.approx(100 * np.mean(right))
    assert top1 == pytest.approx(logged(config.stem, "accuracy/top1")[1])


def test_starts_from_a_checkpoint_of_other_classes(run_tool, config, images):
    """All but the last layer is taken up, into the average too, and the average starts anew."""
    weights = HRVMambaClassifier("nano", num_classes=5).state_dict()
    average = {f"module.{name}": tensor for name, tensor in weights.items()}
    torch.save({"state_dict": weights, "ema_state_dict": average}, "five.pth")
    still = ["train_cfg.max_epochs=1", "optim_wrapper.optimizer.lr=0", "param_scheduler=None"]
    few = ["train_dataloader.dataset.indices=6", "default_hooks.checkpoint.save_optimizer=False"]
    run_tool("train", config, "--cfg-options", *SMALL, *still, *few, "load_from=five.pth")
    trained = read_checkpoint(f"work_dirs/{config.stem}/epoch_1.pth")["state_dict"]
    for name, _ in HRVMambaClassifier("nano").named_parameters():
        if not name.startswith("head."):
            assert torch.equal(trained[name], weights[name]), name
    assert trained["head.fc.weight"].shape == (3, 2048)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["model.head.num_classes=4", "data_preprocessor.num_classes=4"],
            "model.head.num_classes is 4, but data/imagenet/train has 3 class folders",
        ),
        (["model.neck.in_channels=(8,16,32,65)"], "but the backbone gives (8,16,32,64) channels"),
        (["train_dataloader.dataset.data_prefix=none"], "folder data/imagenet/none does not exist"),
        (["val_dataloader.dataset.data_root=data"], "image folder data/val does not exist"),
        (["train_dataloader.dataset.pipeline.1.scale=31"], "is 31 x 31 pixels"),
    ],
)
def test_refused(run_tool, config, images, options, words, capfd):
    with pytest.raises(SystemExit) as end:
        run_tool("train", config, "--cfg-options", *SMALL, *options)
    assert end.value.code == 2
    (line,) = [s for s in capfd.readouterr().err.splitlines() if s.startswith("error: ")]
    assert words in line
    assert [path.name for path in Path().iterdir()] == ["data"]


def test_refuses_what_is_of_pose_alone(refused, config):
    for option in ("--gt-boxes", "--test-dev"):
        message = refused("test", config, "none.pth", option)
        assert f"{option} is for configs of mmpose" in message and "mmpretrain" in message


def test_no_data_folder(refused, config):
    assert "ln -s /path/to/imagenet data/imagenet" in refused("train", config)
