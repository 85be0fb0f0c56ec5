import importlib
import importlib.util
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

pytest.importorskip("mmengine")
pytest.importorskip("mmcv")

import numpy as np
from mmengine.config import Config
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel, BaseModule
from mmengine.registry import Registry
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader

import hrvmamba  # noqa: F401

# Makes a module look as if it were not installed.
HIDE = """
import sys
from importlib.machinery import PathFinder
class Hide:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.split('.')[0] in {hidden} else PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Hide
"""

without_compiled_mmcv = pytest.mark.skipif(
    importlib.util.find_spec("mmcv._ext") is not None, reason="the compiled mmcv is installed"
)


# mmcv.ops


@without_compiled_mmcv
def test_openmmlab_libraries_import(run_python):
    code = """
import hrvmamba
import mmpose.apis, mmpose.datasets, mmpose.models
import mmdet.models, mmpretrain.models, mmseg.models
from mmseg.models.utils.point_sample import point_sample
try:
    point_sample()
except ImportError as error:
    print(error)
"""
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    assert "mmcv.ops.point_sample" in result.stdout
    assert "pip install mmcv" in result.stdout


@without_compiled_mmcv
class TestPlaceholder:
    @pytest.fixture
    def ops(self):
        # Not at the top of the file: hrvmamba, which provides it, is sorted last there.
        return importlib.import_module("mmcv.ops")

    def test_use_is_an_import_error(self, ops):
        class Subclass(ops.DeformConv2d):
            def __init__(self, channels: int) -> None:
                super().__init__(channels, channels, 3)

        for use in (
            lambda: ops.DeformConv2d(8, 8, 3),
            lambda: Subclass(8),
            lambda: ops.DeformConv2d.apply(1),
            lambda: Subclass.from_pretrained("file"),
        ):
            with pytest.raises(ImportError, match=r"mmcv\.ops\.DeformConv2d .*pip install mmcv"):
                use()

    def test_can_be_named_at_import_time(self, ops):
        registry = Registry("op")
        registry.register_module(module=ops.RoIAlign)

        @registry.register_module()
        class Module(BaseModule, ops.RoIPool):
            def forward(self, x: ops.RoIAlign | None) -> "ops.RoIPool":
                return x

        assert registry.get("RoIAlign") is ops.RoIAlign
        assert registry.get("Module") is Module
        assert not isinstance(torch.nn.Identity(), ops.RoIAlign)
        assert issubclass(Module, ops.RoIPool)
        with pytest.raises(ImportError, match="RoIPool"):
            registry.build({"type": "Module"})

    def test_submodules(self, ops):
        from mmcv.ops.modulated_deform_conv import ModulatedDeformConv2d
        from mmcv.ops.nms import batched_nms

        assert ModulatedDeformConv2d is ops.ModulatedDeformConv2d
        with pytest.raises(ImportError, match="batched_nms"):
            batched_nms([], [])
        with pytest.raises(ImportError, match=r"mmcv\.ops\.nms "):
            ops.nms([], [])

    def test_special_names_are_absent(self, ops):
        for owner in (ops, ops.nms, ops.DeformConv2d):
            assert not hasattr(owner, "__wrapped__")

    def test_mmcv_describes_its_environment(self):
        from mmcv.utils import collect_env

        assert collect_env()["MMCV CUDA Compiler"] == "n/a"


def test_the_compiled_mmcv_is_left_alone(run_python, tmp_path):
    ops = tmp_path / "mmcv" / "ops"
    ops.mkdir(parents=True)
    (tmp_path / "mmcv" / "__init__.py").write_text("__version__ = '2.1.0'")
    (tmp_path / "mmcv" / "_ext.py").touch()
    (ops / "__init__.py").write_text("from .nms import nms")
    (ops / "nms.py").write_text("def nms(boxes): return 'compiled'")
    code = """
from hrvmamba.integrations import openmmlab_compat
openmmlab_compat.install()
import mmcv.ops
print(mmcv.ops.__file__, mmcv.ops.nms([]), hasattr(mmcv.ops, 'DeformConv2d'))
"""
    result = run_python(code, path=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [str(ops / "__init__.py"), "compiled", "False"]


# Checkpoints


class Regression(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(2, 1)

    def forward(self, x, y, mode):
        prediction = self.linear(x)
        return {"loss": (prediction - y).square().mean()} if mode == "loss" else [prediction, y]


class Error(BaseMetric):
    def process(self, data_batch, data_samples) -> None:
        prediction, truth = data_samples
        self.results.append((prediction - truth).abs().mean().numpy())

    def compute_metrics(self, results: list) -> dict:
        return {"error": np.mean(results)}  # a NumPy scalar, kept as the best score


class Points(torch.utils.data.Dataset):
    # What MMPose's data sets put into every checkpoint.
    METAINFO = {"sigmas": np.full(17, 0.1, np.float32), "colors": np.zeros((3, 3), np.uint8)}

    def __init__(self) -> None:
        self.metainfo = self.METAINFO

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.tensor([index / 8, 1.0])
        return x, x.sum(-1, keepdim=True)


def runner(folder: Path, name: str, epochs: int, **options) -> Runner:
    loader = {
        "dataset": Points(),
        "batch_size": 4,
        "num_workers": 0,
        "collate_fn": {"type": "default_collate"},
    }
    return Runner(
        Regression(),
        work_dir=str(folder),
        experiment_name=name,
        train_dataloader={**loader, "sampler": {"type": "DefaultSampler", "shuffle": True}},
        val_dataloader={**loader, "sampler": {"type": "DefaultSampler", "shuffle": False}},
        train_cfg={"by_epoch": True, "max_epochs": epochs},
        val_cfg={},
        val_evaluator=Evaluator(Error(prefix="points")),
        optim_wrapper={"optimizer": {"type": "AdamW", "lr": 0.1}},
        param_scheduler={"type": "LinearLR", "end": 4},
        default_hooks={
            "checkpoint": {"type": "CheckpointHook", "save_best": "points/error", "rule": "less"}
        },
        log_level="ERROR",
        **options,
    )


def test_a_runner_resumes_its_checkpoint(tmp_path):
    first = runner(tmp_path, "first", epochs=1)
    first.train()
    weight = first.model.linear.weight.detach().clone()
    losses = first.message_hub.get_scalar("train/loss").data[0]

    second = runner(tmp_path, "second", epochs=1, resume=True)
    second.load_or_resume()
    history = second.message_hub.get_scalar("train/loss")
    torch.testing.assert_close(second.model.linear.weight.detach(), weight)
    np.testing.assert_array_equal(history.data[0], losses)
    assert history.statistics("mean") == pytest.approx(losses.mean())
    assert second.message_hub.get_info("best_score") == first.message_hub.get_info("best_score")

    third = runner(tmp_path, "third", epochs=2, resume=True)
    third.train()
    assert third.epoch == 2
    assert third.iter == 4


def test_metadata_of_a_checkpoint_survives(tmp_path):
    checkpoint = {
        "meta": {"dataset_meta": Points.METAINFO, "best": np.float32(0.5), "names": np.array(["a"])}
    }
    torch.save(checkpoint, tmp_path / "checkpoint.pth")
    meta = CheckpointLoader.load_checkpoint(str(tmp_path / "checkpoint.pth"))["meta"]
    np.testing.assert_array_equal(meta["dataset_meta"]["sigmas"], Points.METAINFO["sigmas"])
    assert meta["dataset_meta"]["colors"].dtype == np.uint8
    assert meta["best"] == np.float32(0.5)
    assert meta["names"].tolist() == ["a"]


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_numpy_values_of_either_version_load(tmp_path, module):
    path = tmp_path / "checkpoint.pth"
    values = {"array": np.arange(3.0), "scalar": np.int64(7)}
    torch.save(values, path, _use_new_zipfile_serialization=False)
    own = np.empty(0).__reduce__()[0].__module__.encode()
    path.write_bytes(path.read_bytes().replace(own, module))
    loaded = torch.load(path, weights_only=True)
    np.testing.assert_array_equal(loaded["array"], values["array"])
    assert loaded["scalar"] == 7


class Call:
    """Pickle as a call of `function`."""

    def __init__(self, function: Callable, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


@pytest.mark.parametrize(
    "attack",
    [
        lambda victim: Call(os.system, f"touch {victim}"),
        lambda victim: Call(eval, f"open({str(victim)!r}, 'w')"),
        lambda victim: Call(exec, f"open({str(victim)!r}, 'w')"),
        lambda victim: Call(getattr, Call(__import__, "os"), "system"),
        lambda victim: Call(getattr, torch.Tensor, "__class__"),
        lambda victim: Call(getattr, HistoryBuffer, "__init__"),
        lambda victim: Call(getattr, HistoryBuffer, "_set_default_statistics"),
        lambda victim: Call(getattr, Call(getattr, HistoryBuffer, "mean"), "__globals__"),
        lambda victim: Call(getattr, np.ndarray, "tofile"),
        lambda victim: Call(np.ndarray.tofile, np.zeros(1), str(victim)),
    ],
)
def test_a_checkpoint_cannot_run_code(tmp_path, attack):
    path, victim = tmp_path / "checkpoint.pth", tmp_path / "victim"
    torch.save({"state_dict": {}, "message_hub": attack(victim)}, path)
    with pytest.raises((ValueError, pickle.UnpicklingError)):
        CheckpointLoader.load_checkpoint(str(path))
    assert not victim.exists()


def test_a_downloaded_checkpoint_cannot_run_code(tmp_path):
    path, victim = tmp_path / "checkpoint.pth", tmp_path / "victim"
    torch.save(Call(os.system, f"touch {victim}"), path)
    from mmengine.runner import checkpoint

    with pytest.raises(ValueError, match="more than tensors and plain data"):
        checkpoint.load_url(path.as_uri(), model_dir=str(tmp_path / "cache"), progress=False)
    assert not victim.exists()


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"checkpoint .*none\.pth not found"):
        CheckpointLoader.load_checkpoint(str(tmp_path / "none.pth"))


# pkg_resources and configs


def test_configs_of_mmpose_resolve(tmp_path):
    pytest.importorskip("mmpose")
    path = tmp_path / "config.py"
    base = "mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192"
    path.write_text(f"_base_ = '{base}.py'\ntrain_cfg = dict(max_epochs=1)\n")
    config = Config.fromfile(path)
    assert config.model.backbone.type == "HRNet"
    assert config.train_cfg.max_epochs == 1


def test_a_missing_pkg_resources_is_told_once(run_python):
    code = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always')
    from hrvmamba.integrations import openmmlab_compat
    openmmlab_compat.install()
    openmmlab_compat.install()
print([str(w.message) for w in caught if 'pkg_resources' in str(w.message)])
"""
    result = run_python(HIDE.format(hidden={"pkg_resources"}) + code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count('pip install "setuptools<81"') == 1


def test_a_newer_mmengine_needs_no_pkg_resources(run_python):
    code = "import mmengine; mmengine.__version__ = '0.11.0'; import hrvmamba"
    result = run_python(HIDE.format(hidden={"pkg_resources"}) + code)
    assert result.returncode == 0, result.stderr
    assert "pkg_resources" not in result.stderr


# The core, and the hosts that are installed


def test_the_core_needs_torch_alone(run_python):
    hidden = {"mmengine", "mmcv", "mmpose", "mmpretrain", "mmseg", "mmdet", "numpy", "cv2"}
    code = f"""
import hrvmamba, hrvmamba.models, hrvmamba.analysis, hrvmamba.checkpoints
import hrvmamba.cli.errors, hrvmamba.coco_files
assert hrvmamba.models.HRVMamba
print(sorted({hidden} & set(sys.modules)))
"""
    result = run_python(HIDE.format(hidden=hidden) + code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"


def test_a_broken_host_is_told_and_the_core_works(run_python, tmp_path):
    (tmp_path / "mmengine.py").write_text("raise AssertionError('MMCV==1.0 is not compatible')")
    code = "import hrvmamba.integrations, hrvmamba.models as m; print(m.HRVMamba.__name__)"
    result = run_python(code, path=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "HRVMamba"
    assert "not registered with mmengine" in result.stderr
    assert "MMCV==1.0 is not compatible" in result.stderr


def test_a_host_of_another_form_is_told_when_it_is_imported(run_python, tmp_path):
    (tmp_path / "mmengine.py").touch()
    result = run_python("import hrvmamba, mmengine; print(mmengine.__name__)", path=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "mmengine"
    assert "not registered with mmengine" in result.stderr


@pytest.mark.parametrize("first", ["import mmengine, hrvmamba", "import hrvmamba, mmpose"])
def test_it_is_registered_whatever_is_imported_first(run_python, first):
    code = "from mmengine.registry import MODELS; print('HRVMamba' in MODELS)"
    result = run_python(f"{first}\n{code}")
    assert result.stdout.strip() == "True", result.stderr
    assert "Warning" not in result.stderr


@pytest.mark.parametrize("name", ["config", "model_index"])
def test_modules_of_the_host_come_first_too(run_python, name):
    """They import MMEngine themselves, and what follows it must not need them half imported."""
    code = f"import hrvmamba.integrations.{name}, mmengine"
    result = run_python(f"{code}; print('HRVMamba' in mmengine.registry.MODELS)")
    assert result.stdout.strip() == "True", result.stderr
    assert "Warning" not in result.stderr


def test_slow_hosts_are_not_imported(run_python):
    code = """
import sys, hrvmamba
from mmengine.registry import MODELS
print('HRVMamba' in MODELS, {'mmpose', 'mmpretrain', 'mmseg', 'mmdet'} & set(sys.modules))
"""
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "True set()"
