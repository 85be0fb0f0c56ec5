import pytest
from mmengine.config import Config

from hrvmamba.integrations.config import ConfigError
from hrvmamba.integrations.mmpose import (
    boxes_used,
    check_input_sizes,
    check_model,
    use_ground_truth_boxes,
    use_test_dev,
)


def loader(**dataset) -> dict:
    return {"dataset": {"type": "CocoDataset", "data_root": "data/coco/"} | dataset}


def test_boxes():
    config = Config({"test_dataloader": loader(bbox_file="boxes.json")})
    assert boxes_used(config) == "boxes: detections from boxes.json"
    use_ground_truth_boxes(config)
    assert boxes_used(config) == "boxes: ground truth (NOT comparable with AP on detected boxes)"
    use_test_dev(config)
    assert boxes_used(config) == (
        "boxes: detections from data/coco/person_detection_results/"
        "COCO_test-dev2017_detections_AP_H_609_person.json"
    )
    assert config.test_evaluator.ann_file == "data/coco/annotations/image_info_test-dev2017.json"
    assert config.test_evaluator.format_only


def test_input_size():
    affine = {"type": "TopdownAffine", "input_size": (32, 32)}
    config = Config({"train_dataloader": loader(pipeline=[{"type": "LoadImage"}, affine])})
    check_input_sizes(config)
    config.train_dataloader.dataset.pipeline[1].input_size = (192, 31)
    with pytest.raises(ConfigError, match="TopdownAffine of train_dataloader is 192 x 31"):
        check_input_sizes(config)


def test_head_of_another_backbone(repository):
    """A head is checked against HRVMamba alone: other backbones do not tell their channels."""
    config = Config.fromfile(repository / "configs/coco/hrvmamba_nano_256x192.py")
    config.model.head.in_channels = 32
    with pytest.raises(ConfigError, match=r"is 32, but the backbone gives 8 .*in_channels=8$"):
        check_model(config)
    config.model.backbone = {"type": "ResNet", "depth": 18}
    assert check_model(config).head.in_channels == 32
