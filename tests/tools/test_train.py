import json
import math
import re
import signal
from pathlib import Path

import pytest
import torch

from hrvmamba.checkpoints import read_checkpoint
from hrvmamba.models import HRVMamba

KILL = """
import os
import signal

from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class KillHook(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if (runner.epoch, batch_idx) == (1, 1):
            os.kill(os.getpid(), signal.SIGKILL)
"""


def scalars(work_dir: Path) -> list[dict]:
    """What the runs in a work directory logged."""
    files = sorted(work_dir.glob("*/vis_data/scalars.json"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_trains_and_logs(run_tool, config, capfd):
    run_tool("train", config, "--tensorboard", "--auto-scale-lr")

    work_dir = Path("work_dirs/small")
    train_log = [entry for entry in scalars(work_dir) if "loss" in entry]
    assert [entry["iter"] for entry in train_log] == [1, 2, 3, 4]
    assert all(math.isfinite(entry["loss"]) for entry in train_log)
    # 4 people an iteration instead of the config's 32.
    assert train_log[0]["lr"] == pytest.approx(1e-3 * 4 / 32)
    assert re.search(
        r"Epoch\(train\) +\[1\]\[1/2\].* eta: .* data_time: .* loss: ", capfd.readouterr().out
    )
    assert list(work_dir.glob("*/vis_data/events.out.tfevents.*"))
    assert read_checkpoint(work_dir / "epoch_2.pth")["meta"]["epoch"] == 2
    assert not list(work_dir.glob("*.partial"))


def test_killed_run_resumes(run_tool, run_process, config, tmp_path):
    options = ["--cfg-options", "train_dataloader.batch_size=2"]
    run_tool("train", config, "--work-dir", "whole", *options)

    (tmp_path / "kill_hook.py").write_text(KILL)
    killing = config.with_name("killing.py")
    killing.write_text(
        config.read_text()
        + 'custom_imports = dict(imports=["hrvmamba", "kill_hook"], allow_failed_imports=False)\n'
        + 'custom_hooks = [dict(type="KillHook")]\n'
    )
    killed = run_process("train.py", killing, "--work-dir", "killed", *options)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert Path("killed/last_checkpoint").read_text().endswith("epoch_1.pth")
    run_tool("train", config, "--work-dir", "killed", "--resume", *options)

    logged = [entry["iter"] for entry in scalars(Path("killed")) if "loss" in entry]
    assert logged == [1, 2, 3, 4, 5] + [5, 6, 7, 8]
    whole, resumed = (read_checkpoint(f"{folder}/epoch_2.pth") for folder in ("whole", "killed"))
    first = read_checkpoint("killed/epoch_1.pth")
    moved = [
        name
        for name, value in whole["state_dict"].items()
        if not torch.equal(value, first["state_dict"][name])
    ]
    assert moved
    assert resumed["meta"]["epoch"] == 2
    assert resumed["meta"]["iter"] == whole["meta"]["iter"] == 8
    torch.testing.assert_close(resumed["state_dict"], whole["state_dict"])
    torch.testing.assert_close(resumed["optimizer"]["state"], whole["optimizer"]["state"])
    assert resumed["param_schedulers"] == whole["param_schedulers"]
    best = [checkpoint["message_hub"]["runtime_info"] for checkpoint in (whole, resumed)]
    assert best[0]["best_score"] == best[1]["best_score"]
    assert Path(best[0]["best_ckpt"]).name == Path(best[1]["best_ckpt"]).name
    assert [path.name for path in Path("killed").glob("best_*")] == [
        Path(best[0]["best_ckpt"]).name
    ]


def test_resumed_run_keeps_its_seed(run_tool, config):
    unseeded = ["--cfg-options", "randomness.seed=None", "train_dataloader.dataset.indices=4"]
    run_tool("train", config, *unseeded, "train_cfg.max_epochs=1")
    run_tool("train", config, "--resume", "auto", *unseeded)

    first, second = (read_checkpoint(f"work_dirs/small/epoch_{epoch}.pth") for epoch in (1, 2))
    assert first["meta"]["seed"] == second["meta"]["seed"]
    assert [entry["iter"] for entry in scalars(Path("work_dirs/small")) if "loss" in entry] == [
        1,
        2,
    ]


def edit_annotations(people: Path, edit) -> None:
    path = people / "annotations/person_keypoints_train.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def without_keypoints(content: dict) -> None:
    for annotation in content["annotations"]:
        del annotation["keypoints"]


def with_14_keypoints(content: dict) -> None:
    for annotation in content["annotations"]:
        annotation["keypoints"] = annotation["keypoints"][: 3 * 14]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (without_keypoints, "person_keypoints_train.json is not a COCO keypoint file"),
        (with_14_keypoints, "has 42 numbers in 'keypoints'"),
        (lambda content: content.pop("images"), "no list 'images'"),
        (lambda content: content["images"].pop(), "annotation 8 is of image 8"),
    ],
)
def test_annotations_of_another_form(refused, config, people, edit, words):
    edit_annotations(people, edit)
    assert words in refused("train", config)


def test_annotation_file_is_not_json(refused, config, people):
    (people / "annotations/person_keypoints_train.json").write_text('{"images": [')
    assert "person_keypoints_train.json is not a readable JSON file" in refused("train", config)


def test_annotation_file_is_missing(refused, config, people):
    (people / "annotations/person_keypoints_val.json").unlink()
    message = refused("train", config)
    assert f"{people}/annotations/person_keypoints_val.json does not exist" in message


def test_no_data_folder(refused, repository):
    message = refused("train", repository / "configs/coco/hrvmamba_tiny_256x192.py")
    assert "data/coco" in message
    assert "ln -s /path/to/coco data/coco" in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["val_dataloader.dataset.bbox_file=none.json"], ["none.json", "mmpose", "--gt-boxes"]),
        (["model.head.in_channels=16"], ["model.head.in_channels=8"]),
        (["model.backbone.arch=large"], ["large", "nano", "tiny", "small", "base"]),
        (["model.backbone.stages=4"], ["stages"]),
        (["codec.input_size=(24,64)"], ["24 x 64", "32"]),
        (["train_dataloader.dataset.pipeline.2.input_size=(64,16)"], ["64 x 16", "32"]),
        (["train_cfg=None"], ["train_cfg"]),
    ],
)
def test_refused_options(refused, config, options, words):
    message = refused("train", config, "--cfg-options", *options)
    for word in words:
        assert word in message


def test_refused_arguments(refused, config, tmp_path, monkeypatch):
    for variable in ("LOCAL_RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_LOCAL_RANK"):
        monkeypatch.delenv(variable, raising=False)
    assert "none.py does not exist" in refused("train", "none.py")
    broken = tmp_path / "broken.py"
    broken.write_text("model = dict(")
    assert "broken.py cannot be read: SyntaxError" in refused("train", broken)
    for launcher, program in (("pytorch", "torchrun"), ("slurm", "srun"), ("mpi", "mpirun")):
        assert program in refused("train", config, "--launcher", launcher)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "--amp needs a CUDA GPU" in refused("train", config, "--amp")
    config.write_text(config.read_text() + "auto_scale_lr = dict(_delete_=True)\n")
    assert "base_batch_size" in refused("train", config, "--auto-scale-lr")


def test_refused_checkpoints_to_resume_from(refused, config, tmp_path):
    assert "none.pth does not exist" in refused("train", config, "--resume", "none.pth")
    weights = tmp_path / "weights.pth"
    torch.save({"state_dict": {"weight": torch.zeros(1)}}, weights)
    assert f"load_from={weights}" in refused("train", config, "--resume", weights)
    state = ("meta", "optimizer", "param_schedulers", "message_hub")
    torch.save(torch.load(weights) | {key: {} for key in state}, weights)
    assert "does not fit" in refused("train", config, "--resume", weights)
    weights.write_bytes(weights.read_bytes()[:-200])
    assert "weights.pth is" in refused("train", config, "--resume", weights)


@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_image(run_tool, config, people, capfd, workers):
    (people / "train/3.jpg").write_bytes(b"no image")
    with pytest.raises(SystemExit) as end:
        run_tool("train", config, "--cfg-options", f"train_dataloader.num_workers={workers}")
    assert end.value.code == 2
    assert f"error: the image {people}/train/3.jpg cannot be read" in capfd.readouterr().err


def test_coco(run_tool, repository, shared, capfd):
    """The unchanged config trains and tests on real images, laid out as COCO is."""
    Path("data").mkdir()
    Path("data/coco").symlink_to(shared / "data/coco_mini")
    config = repository / "configs/coco/hrvmamba_tiny_256x192.py"
    few = ["--cfg-options", "train_cfg.max_epochs=1", "train_dataloader.batch_size=2"]
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        few += [f"{loader}.num_workers=0", f"{loader}.persistent_workers=False"]
        few += [f"{loader}.dataset.indices=2"]
    run_tool("train", config, *few)
    run_tool("test", config, "work_dirs/hrvmamba_tiny_256x192/epoch_1.pth", *few)
    out = capfd.readouterr().out
    assert "Average Precision  (AP)" in out
    assert (
        "boxes: detections from data/coco/person_detection_results/"
        "COCO_val2017_detections_AP_H_56_person.json" in out
    )


INIT_CFG = "model.backbone.init_cfg.type=Pretrained"


@pytest.mark.parametrize("key", ["load_from", "model.backbone.init_cfg.checkpoint"])
def test_refused_weights_to_start_from(refused, config, tmp_path, key):
    path = tmp_path / "weights.pth"

    def message() -> str:
        given = [f"{key}={path}"] + ([INIT_CFG] if "init_cfg" in key else [])
        return refused("train", config, "--cfg-options", *given)

    assert f"{path} not found" in message()
    torch.save({"state_dict": HRVMamba("tiny").state_dict()}, path)
    assert "it is of HRVMamba tiny, the model is nano" in message()
    path.write_bytes(path.read_bytes()[:2000])
    assert f"{path} is truncated" in message()


def test_starts_from_the_weights_that_fit(run_tool, config, tmp_path, nano, authors_nano):
    """A head of other keypoints is left out, as is the classifier of an ImageNet file."""
    pose = {f"backbone.{name}": tensor for name, tensor in nano.state_dict().items()}
    pose["head.final_layer.weight"] = torch.zeros(21, 8, 1, 1)
    torch.save({"state_dict": pose}, tmp_path / "pose.pth")
    torch.save({"model": {**authors_nano, "head.bias": torch.zeros(3)}}, tmp_path / "imagenet.pth")
    still = [
        "optim_wrapper.optimizer.lr=0",
        "train_cfg.max_epochs=1",
        "train_dataloader.batch_size=8",
    ]
    for name in ("pose", "imagenet"):
        given = ["--cfg-options", *still, f"load_from={tmp_path / name}.pth"]
        run_tool("train", config, "--work-dir", name, *given)
        weight = read_checkpoint(f"{name}/epoch_1.pth")["state_dict"]["backbone.stem.0.0.weight"]
        assert torch.equal(weight, nano.stem[0][0].weight)


def test_options_that_mmengines_defaults_stand_for(run_tool, refused, config):
    given = ["--cfg-options", "auto_scale_lr=None"]
    assert "base_batch_size" in refused("train", config, "--auto-scale-lr", *given)
    few = ["train_cfg.max_epochs=1", "train_dataloader.dataset.indices=4"]
    few += ["train_dataloader.persistent_workers=True", "visualizer=None"]
    run_tool("train", config, "--tensorboard", *given, *few)
    assert list(Path("work_dirs/small").glob("*/vis_data/events.out.tfevents.*"))
    assert [entry["iter"] for entry in scalars(Path("work_dirs/small")) if "loss" in entry] == [1]


@pytest.mark.parametrize("note", ["", "elsewhere/epoch_9.pth", None])
def test_resumes_in_spite_of_a_bad_note(run_tool, config, note):
    few = ["--cfg-options", "train_dataloader.dataset.indices=4"]
    run_tool("train", config, *few, "train_cfg.max_epochs=1")
    work_dir = Path("work_dirs/small")
    (work_dir / "epoch_1.pth").rename(work_dir / "epoch_10.pth")
    (work_dir / "epoch_9.pth").write_bytes(b"")
    (work_dir / "last_checkpoint").unlink()
    if note is not None:
        (work_dir / "last_checkpoint").write_text(note)
    run_tool("train", config, "--resume", *few)
    assert [entry["iter"] for entry in scalars(work_dir) if "loss" in entry] == [1, 2]
