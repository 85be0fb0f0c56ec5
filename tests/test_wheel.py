"""What users do first, from the wheel in an environment of its own, far from any checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow

# A few people on small crops: what matters here is that everything finds its parts.
CONFIG = """
_base_ = "hrvmamba::synthetic/hrvmamba_nano_96x72.py"

data_root = "people/"
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root)
)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + "annotations/person_keypoints_val.json")
test_evaluator = val_evaluator
train_cfg = dict(max_epochs={epochs}, val_interval=1)
"""


@pytest.fixture(scope="module")
def wheel(repository, tmp_path_factory) -> Path:
    """The wheel that pip builds from the sources, with CPU kernels."""
    if not shutil.which("c++"):
        pytest.skip("needs a C++ compiler")
    source = tmp_path_factory.mktemp("source")
    built = shutil.ignore_patterns("*.so", "__pycache__")
    for name in ("hrvmamba", "csrc", "configs", "tools"):
        shutil.copytree(repository / name, source / name, ignore=built)
    for name in ("setup.py", "pyproject.toml", "README.md", "MANIFEST.in", "model-index.yml"):
        shutil.copy(repository / name, source)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", ".", "."],
        cwd=source,
        env={**os.environ, "WITH_CUDA": "0"},
        check=True,
        capture_output=True,
    )
    (wheel,) = source.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """A new environment with the wheel, which finds the packages it needs in this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / "bin/python"
    subprocess.run(
        [python, "-m", "pip", "install", "--no-deps", "--no-index", wheel],
        check=True,
        capture_output=True,
    )
    (site_packages,) = folder.glob("lib/python*/site-packages")
    # Python does not follow the links of editable installations that lie in a folder named so.
    (site_packages / "packages.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """The folder that the commands of this module run in, one after the other."""
    return tmp_path_factory.mktemp("workplace")


@pytest.fixture(scope="module")
def run(environment, workplace) -> Callable[..., str]:
    """Run a program of the environment, and return what it prints."""

    def run(program: str, *arguments: object) -> str:
        variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        done = subprocess.run(
            [str(environment / "bin" / program), *map(str, arguments)],
            cwd=workplace,
            env=variables | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def tools(run) -> Path:
    """The tools that the wheel brings."""
    package = run("python", "-c", "import hrvmamba; print(hrvmamba.__path__[0])").strip()
    return Path(package, ".mim", "tools")


@pytest.fixture(scope="module")
def trained(run, tools, workplace) -> Path:
    """A config beside its data, and the checkpoint of a training of one epoch, then a second."""
    run("python", tools / "make_synthetic_coco.py", "people", "--num-train", 4, "--num-val", 2)
    config = workplace / "config.py"
    for epochs in (1, 2):
        config.write_text(CONFIG.format(epochs=epochs))
        run("python", tools / "train.py", config, "--work-dir", "run", "--resume")
    return workplace / "run" / "epoch_2.pth"


def test_it_serves_every_python_from_3_10_on(wheel, environment):
    assert "-cp310-abi3-" in wheel.name
    names = {path.name for path in environment.rglob("hrvmamba/*.so")}
    assert names == {"_C.abi3.so"}


def test_check(run, environment):
    found = json.loads(run("hrvmamba", "check", "--json"))
    assert str(environment) in json.dumps(found)
    assert "native" in run("hrvmamba", "check")


def test_train_and_resume(trained, workplace):
    assert trained.is_file()
    logs = "".join(path.read_text() for path in sorted((workplace / "run").glob("*/*.log")))
    assert "Epoch(train) [1]" in logs
    assert "resumed epoch: 1" in logs
    assert "coco/AP" in logs


def test_test(run, tools, trained):
    assert "coco/AP" in run("python", tools / "test.py", "config.py", trained, "--work-dir", "run")


def test_infer(run, trained, workplace):
    people = "people/annotations/person_keypoints_val.json"
    command = ["infer", "people/val", "--config", "config.py", "--checkpoint", trained]
    run("hrvmamba", *command, "--annotations", people, "--out", "poses")
    (results,) = (workplace / "poses").glob("*.json")
    found = json.loads(results.read_text())
    assert found
    assert all(len(person["keypoints"]) == 51 for person in found)


def test_export_and_infer_without_pytorch(run, trained, workplace):
    pytest.importorskip("onnxruntime")
    run("hrvmamba", "export", "--config", "config.py", "--checkpoint", trained, "--out", "m.onnx")
    run("hrvmamba", "infer", "people/val", "--onnx", "m.onnx", "--out", "onnx_poses")
    (results,) = (workplace / "onnx_poses").glob("*.json")
    assert len(json.loads(results.read_text())) == 2


def test_benchmark(run, workplace):
    command = ["benchmark", "model", "--models", "hrvmamba_nano", "hrvmamba_nano:reference"]
    short = ["--size", "64x64", "--seconds", "0.1", "--rounds", 3, "--json", "times.json"]
    assert "hrvmamba_nano" in run("hrvmamba", *command, *short)
    assert (workplace / "times.json").is_file()


def test_convert(run, authors_nano, workplace):
    torch.save({"model": authors_nano}, workplace / "theirs.pth")
    assert "0 missing" in run("hrvmamba", "convert", "theirs.pth", "ours.pth")
    assert (workplace / "ours.pth").is_file()
