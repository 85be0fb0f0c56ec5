"""The command line of tools/ablate.py."""

import json
import math
import re
import time
from pathlib import Path

import cv2
import pytest
from mmengine.config import Config

from hrvmamba.analysis import Cost
from hrvmamba.checkpoints import read_checkpoint
from hrvmamba.models import ARCHS, HRVMamba

# Stand-ins for tools/train.py and tools/test.py, which note each call. The AP that they find is
# 0.5 for a deformable network and 0.3 for another, and 0.1 more for each further seed.
TRAIN = r"""
import os, re, signal, subprocess, sys, time
from pathlib import Path

config, *options = sys.argv[1:]
folder = Path(config).with_suffix("")
assert options == ["--resume", "--work-dir", str(folder)]
with open(os.environ["CALLS"], "a") as calls:
    print("train", folder, file=calls)
if os.environ.get("FAILS", "nothing") in config:
    print("Traceback and more")
    sys.exit("error: out of memory")
if os.environ.get("INTERRUPTED", "nothing") in config:
    worker = "import time\nfor _ in range(1000): open('alive', 'w').close(); time.sleep(0.02)"
    subprocess.Popen([sys.executable, "-c", worker])
    while not Path("alive").exists():
        time.sleep(0.02)
    os.kill(os.getppid(), signal.SIGINT)
    time.sleep(600)
epochs = re.search("max_epochs=([0-9]+)", Path(config).read_text())[1]
(folder / f"epoch_{epochs}.pth").touch()
"""
TEST = """
import json, os, sys
from pathlib import Path

config, checkpoint, option, out, *options = sys.argv[1:]
folder = Path(config).with_suffix("")
assert Path(checkpoint).is_file() and [option, *options] == ["--out", "--work-dir", str(folder)]
with open(os.environ["CALLS"], "a") as calls:
    print("test", folder, file=calls)
ap = 0.3 if "dilations=None" not in Path(config).read_text() else 0.5
Path(out).write_text(json.dumps({"coco/AP": ap + 0.1 * int(folder.name[-1])}))
"""


@pytest.fixture
def rows(repository):
    """The paths of some of the ablations' configs."""

    def paths(*names):
        return [repository / f"configs/ablation/{name}.py" for name in names]

    return paths


def count(model, size):
    """Stand in for the cost, whose own tests are elsewhere."""
    return Cost(sum(parameter.numel() for parameter in model.parameters()), 2_500_000, {}, size)


@pytest.fixture
def calls(tmp_path, monkeypatch, load_tool, run_tool):
    """Run tools/ablate.py with the stand-ins, and return what it called."""
    for name, text in (("train.py", TRAIN), ("test.py", TEST)):
        (tmp_path / name).write_text(text)
    noted = tmp_path / "calls"
    monkeypatch.setenv("CALLS", str(noted))

    def run(*arguments):
        noted.write_text("")
        tool = load_tool("ablate")
        tool.TOOLS = tmp_path
        tool._POLL_SECONDS = 0.05
        tool.cost = count  # quicker
        try:
            tool.main([str(argument) for argument in arguments])
        finally:
            run.calls = noted.read_text().splitlines()
        return run.calls

    return run


def test_compares_configs(calls, rows, people, capfd):
    """Each network once for each seed, though two configs be of the same."""
    names = ("sampling_deformable", "sampling_dilation_3", "esinb_block")
    arguments = ["--configs", *rows(*names), "--data", people, "--epochs", 3]
    called = calls(*arguments, "--jobs", 2)
    folders = [
        f"work_dirs/ablation/{name}/seed_{seed}"
        for name in ("sampling_deformable", "sampling_dilation_3")
        for seed in (0, 1)
    ]
    assert sorted(called) == sorted(
        f"{tool} {folder}" for tool in ("train", "test") for folder in folders
    )
    for folder in folders:
        assert called.index(f"train {folder}") < called.index(f"test {folder}")

    out = capfd.readouterr().out
    assert "4 runs to do" in out and "sampling_dilation_3, seed 1: AP 0.400" in out
    report = json.loads(Path("work_dirs/ablation/ablation.json").read_text())
    assert report["settings"] == {"epochs": 3, "seeds": 2, "data": str(people)}
    found = {(run["config"], run["seed"]): run["metrics"]["coco/AP"] for run in report["runs"]}
    assert found == {
        ("sampling_deformable", 0): 0.5,
        ("sampling_deformable", 1): 0.6,
        ("sampling_dilation_3", 0): 0.3,
        ("sampling_dilation_3", 1): 0.4,
    }
    full, dilated, twin = report["networks"]
    assert twin["trained_as"] == full["config"] and dilated["arch"]["dilations"] == [3]
    assert tuple(dilated["arch"]["channels"]) == ARCHS["nano"].channels
    assert not dilated["arch"]["use_lpu"]  # the block is Small's
    parameters = HRVMamba(dilated["arch"]).parameters()
    assert dilated["parameters"] == sum(parameter.numel() for parameter in parameters)
    deviation = math.sqrt(2 * 0.05**2)
    table = Path("work_dirs/ablation/ablation.md").read_text().splitlines()
    assert table[0] == "AP on held-out synthetic people after 3 epochs at 96x72, with nano's widths"
    cells = [line.strip("| ").split(" | ") for line in table[4:]]
    assert [row[:4] for row in cells] == [
        ["sampling_deformable", "0.550", f"{deviation:.3f}", "2"],
        ["sampling_dilation_3", "0.350", f"{deviation:.3f}", "2"],
        ["esinb_block (= sampling_deformable)", "0.550", f"{deviation:.3f}", "2"],
    ]
    assert cells[1][4:] == [f"{dilated['parameters']:,}", "2.50"]
    assert cv2.imread("work_dirs/ablation/ablation.png").std() > 10

    assert calls(*arguments) == []  # all are finished


def test_the_recipe_is_the_synthetic_ones(calls, rows, people, repository):
    calls("--configs", *rows("esinb_none"), "--data", people, "--epochs", 3, "--seeds", 2)
    config = Config.fromfile("work_dirs/ablation/esinb_none/seed_1.py")
    recipe = Config.fromfile(repository / "configs/synthetic/hrvmamba_nano_96x72.py")
    assert config.model.backbone.pop("arch")["esinb"] == "none"
    assert recipe.model.backbone.pop("arch") == "nano"
    for key in ("model", "codec", "train_pipeline", "optim_wrapper"):
        assert config[key] == recipe[key]
    for loader in ("train_dataloader", "test_dataloader"):
        assert config[loader].dataset.pipeline == recipe[loader].dataset.pipeline
        assert config[loader].dataset.data_root == str(people)
    assert config.randomness.seed == 1 and config.train_cfg.max_epochs == 3
    assert config.param_scheduler[0] == recipe.param_scheduler[0]
    assert config.param_scheduler[1] == recipe.param_scheduler[1] | {"end": 3}
    assert config.train_dataloader.batch_size == 24


def test_a_failed_run_is_named_and_the_rest_goes_on(calls, rows, people, capfd, monkeypatch):
    arguments = ["--configs", *rows("esinb_none", "esinb_in_ffn"), "--data", people, "--seeds", 1]
    monkeypatch.setenv("FAILS", "esinb_none")
    with pytest.raises(SystemExit) as end:
        calls(*arguments)
    assert end.value.code == 1
    folders = [f"work_dirs/ablation/{name}/seed_0" for name in ("esinb_none", "esinb_in_ffn")]
    assert calls.calls == [f"train {folders[0]}", f"train {folders[1]}", f"test {folders[1]}"]
    last = capfd.readouterr().out.splitlines()[-1]
    assert last.startswith("esinb_none, seed 0: FAILED: error: out of memory")
    assert Path(re.search(r"is in (\S+)\)", last)[1]).read_text().startswith("Traceback and more")
    report = json.loads(Path("work_dirs/ablation/ablation.json").read_text())
    assert report["runs"][0] == {
        "config": "esinb_none",
        "seed": 0,
        "error": "error: out of memory",
    }
    assert "| esinb_none | - | - | 0 |" in Path("work_dirs/ablation/ablation.md").read_text()

    monkeypatch.delenv("FAILS")
    assert calls(*arguments) == [f"train {folders[0]}", f"test {folders[0]}"]


def test_an_interrupted_run_is_resumed(calls, rows, people, capfd, monkeypatch):
    arguments = ["--configs", *rows("esinb_none", "esinb_in_ffn"), "--data", people, "--seeds", 1]
    monkeypatch.setenv("INTERRUPTED", "esinb_in_ffn")
    with pytest.raises(SystemExit) as end:
        calls(*arguments)
    assert end.value.code == 130
    folders = [f"work_dirs/ablation/{name}/seed_0" for name in ("esinb_none", "esinb_in_ffn")]
    assert calls.calls == [f"train {folders[0]}", f"test {folders[0]}", f"train {folders[1]}"]
    assert "interrupted: the same command goes on" in capfd.readouterr().out
    (run,) = json.loads(Path("work_dirs/ablation/ablation.json").read_text())["runs"]
    assert run["config"] == "esinb_none" and run["metrics"]["coco/AP"] == 0.5
    Path("alive").unlink()
    time.sleep(0.5)
    assert not Path("alive").exists()  # the worker of what was interrupted is ended too

    monkeypatch.delenv("INTERRUPTED")
    assert calls(*arguments) == [f"train {folders[1]}", f"test {folders[1]}"]


def test_with_the_real_tools(run_tool, rows, people):
    given = ["--configs", *rows("sampling_dilation_1_3_5"), "--data", people]
    run_tool("ablate", *given, "--seeds", 1, "--epochs", 1)
    report = json.loads(Path("work_dirs/ablation/ablation.json").read_text())
    (run,), (network,) = report["runs"], report["networks"]
    assert 0 <= run["metrics"]["coco/AP"] <= 1
    assert 40e6 < network["macs"] < 80e6
    state = read_checkpoint("work_dirs/ablation/sampling_dilation_1_3_5/seed_0/epoch_1.pth")
    assert any(".dss2d.sampling.2.weight" in name for name in state["state_dict"])


def test_refuses_another_budget(calls, rows, people):
    arguments = ["--configs", *rows("esinb_none"), "--data", people, "--seeds", 1]
    calls(*arguments)
    before = Path("work_dirs/ablation/ablation.json").read_text()
    with pytest.raises(SystemExit) as end:
        calls(*arguments, "--epochs", 5)
    assert end.value.code == 2 and calls.calls == []
    assert Path("work_dirs/ablation/ablation.json").read_text() == before
    assert calls(*arguments, "--epochs", 5, "--work-dir", "longer")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--seeds", "0"), "--seeds: got 0, needs at least 1"),
        (("--epochs", "-1"), "--epochs: got -1, needs at least 1"),
        (("--jobs", "0"), "--jobs: got 0, needs at least 1"),
        (("--configs", "none.py"), "the config file none.py does not exist"),
        (("--data", "nowhere"), "python tools/make_synthetic_coco.py nowhere --num-train"),
    ],
)
def test_refuses(refused, rows, people, options, expected):
    given = ["--configs", *rows("esinb_none"), "--data", people]
    assert expected in refused("ablate", *given, *options)


def test_refuses_configs(refused, rows, people, tmp_path):
    def said(text, *others):
        path = tmp_path / "esinb_none.py"
        path.write_text(f"model = dict(backbone={text})\n")
        return refused("ablate", "--data", people, "--configs", *others, path)

    assert "backbone ResNet: it needs HRVMamba" in said("dict(type='ResNet', depth=50)")
    assert "esinb_none.py has the backbone None" in said("None")
    arch = dict(bottleneck_channels=4, channels=(12, 12, 12, 12), esinb_kernel_sizes=(3, 5, 7))
    message = said(f"dict(type='HRVMamba', arch={arch})")  # 8 channels in nano's place of 12
    assert "esinb_none.py: channels must be divisible by 3, got 8" in message
    assert "arch must be one of nano, tiny" in said("dict(type='HRVMamba', arch='huge')")
    assert "two are named esinb_none" in said("dict(type='HRVMamba')", *rows("esinb_none"))


def test_refuses_people_without_annotations(refused, rows, people):
    (people / "annotations/person_keypoints_val.json").unlink()
    said = refused("ablate", "--configs", *rows("esinb_none"), "--data", people)
    assert "person_keypoints_val.json" in said
