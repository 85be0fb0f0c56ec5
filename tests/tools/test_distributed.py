import json
import os
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest

RECORD = """
import atexit
import json
import os
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class RecordLossHook(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        with open(f"{runner.work_dir}/losses{runner.rank}.jsonl", "a") as file:
            file.write(json.dumps(outputs["loss"].item()) + chr(10))


def record_threads():
    Path(f"threads{os.environ['RANK']}.txt").write_text(str(len(os.listdir("/proc/self/task"))))


if "RANK" in os.environ and os.path.isdir("/proc/self/task"):
    atexit.register(record_threads)  # before the tool's own, and so run after them
"""

# Batch norm of two images is not that of four: the losses agree with the norms frozen.
DETERMINISTIC = """
custom_imports = dict(imports=["hrvmamba", "record_loss_hook"], allow_failed_imports=False)
custom_hooks = [dict(type="RecordLossHook")]
model = dict(backbone=dict(norm_eval=True, drop_path_rate=0.0), head=dict(decoder=codec))
train_dataloader["sampler"] = dict(shuffle=False)
"""


def losses(work_dir: str, rank: int) -> np.ndarray:
    lines = Path(work_dir, f"losses{rank}.jsonl").read_text().splitlines()
    return np.array([json.loads(line) for line in lines])


def test_two_processes_train_and_test_as_one(run_tool, run_process, config, tmp_path, monkeypatch):
    (tmp_path / "record_loss_hook.py").write_text(RECORD)
    monkeypatch.syspath_prepend(tmp_path)
    config.write_text(config.read_text() + DETERMINISTIC)
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PORT", str(port.getsockname()[1]))

    batch = "train_dataloader.batch_size={}".format
    run_tool("train", config, "--work-dir", "one", "--cfg-options", batch(4))
    trained = run_process(
        "dist_train.sh", config, 2, "--work-dir", "two", "--cfg-options", batch(2)
    )
    assert trained.returncode == 0, trained.stderr
    if Path("/proc/self/task").is_dir():  # a thread that is left can abort the process at its end
        assert [Path(f"threads{rank}.txt").read_text() for rank in range(2)] == ["1", "1"]
    one, two = losses("one", 0), (losses("two", 0) + losses("two", 1)) / 2
    assert len(one) == 4
    assert np.ptp(one) > 1e-3 * one.mean()
    assert (losses("two", 0) != losses("two", 1)).all()
    np.testing.assert_allclose(two, one, rtol=1e-5)

    checkpoint = "one/epoch_2.pth"
    run_tool("test", config, checkpoint, "--work-dir", "one")
    tested = run_process("dist_test.sh", config, checkpoint, 2, "--work-dir", "two")
    assert tested.returncode == 0, tested.stderr
    assert tested.stdout.count("boxes: ground truth") == 1
    results = [
        sorted(
            json.loads(Path(folder, "coco.keypoints.json").read_text()),
            key=lambda person: person["image_id"],
        )
        for folder in ("one", "two")
    ]
    assert [[person["image_id"] for person in people] for people in results] == [
        [101, 102, 103, 104]
    ] * 2
    one, two = (
        np.array([person["keypoints"] for person in people]).reshape(4, -1, 3) for people in results
    )
    np.testing.assert_allclose(two[..., 2], one[..., 2], rtol=1e-3)
    # The decoder moves a maximum a quarter of a cell to its higher neighbour: where the two are
    # all but equal, which one is higher is up to rounding. Half a cell is 1.7 pixels here.
    np.testing.assert_allclose(two[..., :2], one[..., :2], atol=1.75)
    assert np.mean(np.abs(two - one) < 1e-3) > 0.95


@pytest.mark.parametrize(
    ("script", "files"),
    [("train", ["config.py"]), ("test", ["config.py", "weights.pth"])],
)
def test_slurm_scripts(repository, tmp_path, script, files):
    """The scripts hand srun the tool, its files and further arguments, unbroken."""
    srun = tmp_path / "srun"
    srun.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "GPUS": "16",
        "SRUN_ARGS": "--quotatype=spot --time=60",
    }
    command = [str(repository / f"tools/slurm_{script}.sh"), "gpu", "a job", *files]
    run = subprocess.run(
        [*command, "--work-dir", "a folder"], env=environment, text=True, capture_output=True
    )
    assert run.returncode == 0, run.stderr
    arguments = run.stdout.splitlines()
    assert {"--partition=gpu", "--job-name=a job", "--ntasks=16"} <= set(arguments)
    assert {"--ntasks-per-node=8", "--quotatype=spot", "--time=60"} <= set(arguments)
    tool = arguments.index(f"{repository}/tools/{script}.py")
    end = [*files, "--launcher", "slurm", "--work-dir", "a folder"]
    assert arguments[tool + 1 :] == end


@pytest.mark.parametrize("script", ["dist_train", "dist_test", "slurm_train", "slurm_test"])
def test_scripts_tell_their_usage(repository, script):
    run = subprocess.run([str(repository / f"tools/{script}.sh")], text=True, capture_output=True)
    assert run.returncode == 2
    assert f"{script}.sh" in run.stderr
    assert "CONFIG" in run.stderr
