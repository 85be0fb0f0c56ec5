import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine import hub
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.fileio import load
from mmengine.infer import BaseInferencer
from mmengine.registry import MODELS, DefaultScope
from mmpose.apis import MMPoseInferencer, inference_topdown, init_model
from mmpose.apis.inferencers.utils import get_model_aliases

from hrvmamba.integrations import model_index
from hrvmamba.integrations.model_index import config_file, models, root

SMALL = "hrvmamba::coco/hrvmamba_small_256x192.py"
NANO = "hrvmamba::coco/hrvmamba_nano_256x192.py"


@pytest.fixture(scope="module")
def nano_weights(tmp_path_factory) -> Path:
    """A checkpoint of Nano's pose model with random weights of its own."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "nano.pth"
    torch.save({"state_dict": hub.get_model(NANO).state_dict()}, path)
    return path


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (80, 60, 3), dtype=np.uint8)


def test_every_config_of_an_indexed_folder_is_a_model(repository):
    assert root() == repository
    folders = {model.config.parent for model in models()}
    assert repository / "configs/coco" in folders
    for folder in folders:
        configs = {model.config for model in models() if model.config.parent == folder}
        assert configs == set(folder.glob("*.py"))
    names = [name for model in models() for name in (model.name, *model.aliases)]
    assert len(set(names)) == len(names)
    for model in models():
        assert model.name == model.config.stem
        assert all(map(model_index.is_name, (model.name, *model.aliases)))


def test_the_metafiles_claim_neither_weights_nor_accuracy(repository):
    """Accuracy is there as the authors report it."""
    for path in load(repository / "model-index.yml")["Import"]:
        for entry in load(repository / path)["Models"]:
            assert "Weights" not in entry
            for result in entry.get("Results", ()):
                assert all("reported by the authors" in metric for metric in result["Metrics"])


def test_the_index_is_what_openmmlabs_reader_takes(repository):
    reader = pytest.importorskip("modelindex.load_model_index")
    index = reader.load(str(repository / "model-index.yml"))
    index.build_models_with_collections()
    assert [model.name for model in index.models] == [model.name for model in models()]
    for model in index.models:
        assert model.full_model.paper["URL"] == "https://arxiv.org/abs/2410.03174"


def test_config_file(repository):
    coco = repository / "configs" / "coco"
    assert config_file("hrvmamba-small") == coco / "hrvmamba_small_256x192.py"
    assert config_file("HRVMamba-Small-384x288") == coco / "hrvmamba_small_384x288.py"
    assert config_file("hrvmamba_tiny_384x288") == coco / "hrvmamba_tiny_384x288.py"
    assert config_file(SMALL) == coco / "hrvmamba_small_256x192.py"
    with pytest.raises(FileNotFoundError, match=r"no model hrvmamba-large\. It has hrvmamba-nano,"):
        config_file("hrvmamba-large")
    with pytest.raises(FileNotFoundError, match=r"hrvmamba::coco/large\.py: there is no file /"):
        config_file("hrvmamba::coco/large.py")


def test_an_installation_without_configs(tmp_path, monkeypatch):
    package = tmp_path / "hrvmamba"
    monkeypatch.setattr(model_index, "__file__", str(package / "integrations/model_index.py"))
    with pytest.raises(FileNotFoundError, match=r"configs are missing: no model-index\.yml is in"):
        root()
    (package / ".mim").mkdir(parents=True)
    (package / ".mim/model-index.yml").touch()
    assert root() == package / ".mim"


# As a base of other configs


def test_base_of_another_config(tmp_path):
    """What it holds builds in MMPose, also where the other config takes a part of it."""
    path = tmp_path / "mine.py"
    path.write_text(
        f"_base_ = {SMALL!r}\n"
        "model = dict(backbone=dict(arch='nano'), head=dict(in_channels=8, out_channels=5))\n"
        "val_pipeline = _base_.val_pipeline[:2]\n"
        "codec = {{_base_.codec}}\n"
    )
    config = Config.fromfile(path)
    assert config.codec.input_size == (192, 256)
    with DefaultScope.overwrite_default_scope(config.default_scope):
        steps = Compose(config.val_pipeline).transforms
        model = MODELS.build(config.model).eval()
    assert [type(step).__name__ for step in steps] == ["LoadImage", "GetBBoxCenterScale"]
    assert model(torch.rand(1, 3, 64, 64), None, mode="tensor").shape == (1, 5, 16, 16)


def test_base_in_a_program_that_does_not_know_hrvmamba(tmp_path, run_python):
    """MMPose's tools import nothing before they read the config: there the base imports it."""
    config = tmp_path / "mine.py"
    config.write_text(
        "_base_ = __import__('hrvmamba').__name__ + '::coco/hrvmamba_tiny_256x192.py'\n"
    )
    run = run_python(
        "from mmengine.config import Config\n"
        f"print(Config.fromfile({str(config)!r}).model.backbone.arch)"
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == "tiny"


# In MMEngine's hub


def test_get_config():
    config = hub.get_config(SMALL)
    assert (config.model.backbone.arch, config.default_scope) == ("small", "mmpose")
    with pytest.raises(ValueError, match=r"pretrained=True needs weights, and none are released"):
        hub.get_config(SMALL, pretrained=True)
    with pytest.raises(FileNotFoundError, match=r"there is no file .*configs/coco/other\.py"):
        hub.get_config("hrvmamba::coco/other.py")


def test_get_model():
    model = hub.get_model(NANO, test_cfg=dict(flip_test=False))
    assert type(model).__name__ == "TopdownPoseEstimator"
    assert model.backbone.out_channels == (8,)
    classifier = hub.get_model("hrvmamba::imagenet/hrvmamba_nano_256.py")
    assert type(classifier).__name__ == "ImageClassifier"
    assert type(classifier.data_preprocessor).__name__ == "ClsDataPreprocessor"
    assert classifier.data_preprocessor.mean.flatten()[0].item() == pytest.approx(123.675)


def test_the_hub_still_knows_other_packages():
    config = hub.get_config(
        "mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192.py"
    )
    assert config.model.backbone.type == "HRNet"


# In MMPose's inferencer


@pytest.mark.parametrize("named", ["alias", "path"])
def test_mmpose_inferencer(named, nano_weights, image, tmp_path):
    """It predicts what the model does that init_model builds from the same files."""
    path = str(config_file("hrvmamba-nano"))
    model = "hrvmamba-nano" if named == "alias" else path
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="no weights are given")
        inferencer = MMPoseInferencer(
            pose2d=model, pose2d_weights=str(nano_weights), det_model="whole_image", device="cpu"
        )
    (result,) = inferencer(image, return_vis=True, vis_out_dir=str(tmp_path), draw_heatmap=True)
    ((person,),) = result["predictions"]
    assert person["bbox"] == ([0, 0, 60, 80],)
    assert len(list(tmp_path.iterdir())) == 1

    other = init_model(path, str(nano_weights), device="cpu")
    (sample,) = inference_topdown(other, image)
    expected = sample.pred_instances
    np.testing.assert_allclose(person["keypoints"], expected.keypoints[0], atol=1e-3)
    np.testing.assert_allclose(person["keypoint_scores"], expected.keypoint_scores[0], atol=1e-6)


def test_mmpose_inferencer_without_weights(image):
    with pytest.warns(UserWarning, match=r"no weights are given, and none are released"):
        inferencer = MMPoseInferencer("hrvmamba-nano", det_model="whole_image", device="cpu")
    (result,) = inferencer(image)
    assert np.shape(result["predictions"][0][0]["keypoints"]) == (17, 2)


def test_mmpose_inferencer_with_an_unknown_model():
    with pytest.raises(FileNotFoundError, match=r"no model hrvmamba-huge\. It has hrvmamba-nano"):
        MMPoseInferencer("hrvmamba-huge", det_model="whole_image", device="cpu")
    with pytest.raises(ValueError, match="Cannot find model: no-such-model in mmpose"):
        MMPoseInferencer("no-such-model", det_model="whole_image", device="cpu")


def test_models_are_listed():
    assert "hrvmamba-small" in BaseInferencer.list_models("hrvmamba")
    assert get_model_aliases("hrvmamba")["hrvmamba-small"] == "hrvmamba_small_256x192"
