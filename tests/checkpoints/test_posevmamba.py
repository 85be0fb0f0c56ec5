import json

import pytest
import torch

from hrvmamba.checkpoints import from_posevmamba, is_posevmamba
from hrvmamba.models import HRVMamba, HRVMambaClassifier

BLOCK = "stage3.2.branches.1.0"

# The authors' names and shapes, and ours; block parts are of a block of 32 channels.
NAMES = [
    ("conv1.weight", (64, 3, 3, 3), "stem.0.0.weight", None),
    ("bn1.running_mean", (64,), "stem.0.1.running_mean", None),
    ("conv2.weight", (64, 64, 3, 3), "stem.1.0.weight", None),
    ("bn2.num_batches_tracked", (), "stem.1.1.num_batches_tracked", None),
    ("layer1.0.conv1.weight", (32, 64, 1, 1), "stage1.0.conv1.0.weight", None),
    ("layer1.1.bn3.bias", (128,), "stage1.1.conv3.1.bias", None),
    ("layer1.0.downsample.0.weight", (128, 64, 1, 1), "stage1.0.downsample.0.weight", None),
    ("transition1.0.0.weight", (16, 128, 3, 3), "transition1.0.0.weight", None),
    ("transition1.1.0.0.weight", (32, 128, 3, 3), "transition1.1.0.weight", None),
    ("transition3.3.0.1.running_var", (128,), "transition3.3.1.running_var", None),
    (
        "stage3.0.fuse_layers.0.2.1.weight",
        (16,),
        "stage3.0.fusion.paths.0.2.1.weight",
        None,
    ),
    (
        "stage4.1.fuse_layers.2.0.1.2.weight",
        (64, 16, 1, 1),
        "stage4.1.fusion.paths.2.0.1.2.weight",
        None,
    ),
    (f"{BLOCK}.cpe1.weight", (32, 1, 3, 3), f"{BLOCK}.lpu1.weight", None),
    (f"{BLOCK}.cpe2.bias", (32,), f"{BLOCK}.lpu2.bias", None),
    (f"{BLOCK}.conv2d.3.weight", (8, 1, 9, 9), f"{BLOCK}.esinb.convs.3.weight", None),
    (f"{BLOCK}.norm0.weight", (32,), f"{BLOCK}.esinb_norm.weight", None),
    (f"{BLOCK}.norm.weight", (32,), f"{BLOCK}.dss2d_norm.weight", None),
    (f"{BLOCK}.norm2.bias", (32,), f"{BLOCK}.ffn_norm.bias", None),
    (f"{BLOCK}.mlp.fc1.weight", (64, 32), f"{BLOCK}.ffn.fc1.weight", None),
    (f"{BLOCK}.op.in_proj.weight", (64, 32), f"{BLOCK}.dss2d.in_proj.weight", None),
    (f"{BLOCK}.op.out_norm.bias", (64,), f"{BLOCK}.dss2d.out_norm.bias", None),
    (f"{BLOCK}.op.x_proj_weight", (4, 4, 64), f"{BLOCK}.dss2d.x_proj.weight", (16, 64)),
    (f"{BLOCK}.op.A_logs", (256, 1), f"{BLOCK}.dss2d.A_log", (4, 64, 1)),
    (f"{BLOCK}.op.Ds", (256,), f"{BLOCK}.dss2d.Dskip", (4, 64)),
    (f"{BLOCK}.op.dt_projs_weight", (4, 64, 2), f"{BLOCK}.dss2d.dt_weight", None),
    (f"{BLOCK}.op.dt_projs_bias", (4, 64), f"{BLOCK}.dss2d.dt_bias", None),
    (
        f"{BLOCK}.op.conv2d.offset_mask.weight",
        (56, 64),
        f"{BLOCK}.dss2d.offset_mask.weight",
        None,
    ),
    (
        f"{BLOCK}.op.conv2d.offset_mask_dw.bias",
        (64,),
        f"{BLOCK}.dss2d.offset_conv.bias",
        None,
    ),
    (f"{BLOCK}.op.se.fc.0.weight", (8, 64), f"{BLOCK}.dss2d.se.reduce.weight", None),
    (f"{BLOCK}.op.se.fc.2.weight", (64, 8), f"{BLOCK}.dss2d.se.expand.weight", None),
]


@pytest.mark.parametrize("prefix", ["", "backbone."])
@pytest.mark.parametrize(("theirs", "shape", "ours", "our_shape"), NAMES)
def test_names(theirs, shape, ours, our_shape, prefix):
    tensor = torch.randn(shape)
    mapped = from_posevmamba({prefix + theirs: tensor})
    assert list(mapped) == [prefix + ours]
    # Direction-major in theirs: reshaping is all there is to do.
    assert torch.equal(mapped[prefix + ours], tensor.reshape(our_shape or shape))


@pytest.mark.parametrize("kind", ["pose", "cls"])
@pytest.mark.parametrize("arch", ["nano", "tiny", "small", "base"])
def test_every_preset_maps_onto_the_model(arch, kind, shared):
    shapes = json.loads((shared / "posevmamba" / f"{kind}_{arch}_keys.json").read_text())
    with torch.device("meta"):
        model = HRVMamba(arch) if kind == "pose" else HRVMambaClassifier(arch)
        mapped = from_posevmamba({name: torch.empty(shape) for name, shape in shapes.items()})
    ours = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert {name: tuple(tensor.shape) for name, tensor in mapped.items()} == ours
    assert is_posevmamba(shapes) and not is_posevmamba(ours)


CLASSIFIER_NAMES = [
    ("conv1.weight", "backbone.stem.0.0.weight"),
    ("neck.increase_layers.2.0.conv3.weight", "neck.widen.2.conv3.0.weight"),
    ("neck.increase_layers.0.0.bn1.running_var", "neck.widen.0.conv1.1.running_var"),
    ("neck.increase_layers.3.0.downsample.1.bias", "neck.widen.3.downsample.1.bias"),
    ("neck.downsample_layers.1.conv.weight", "neck.down.1.0.weight"),
    ("neck.downsample_layers.1.bn.weight", "neck.down.1.1.weight"),
    ("neck.final_layer.conv.weight", "neck.final.0.weight"),
    ("neck.final_layer.bn.running_mean", "neck.final.1.running_mean"),
    ("head.weight", "head.fc.weight"),
    ("head.bias", "head.fc.bias"),
]


def test_names_of_the_classifier():
    mapped = from_posevmamba({theirs: torch.zeros(1) for theirs, _ in CLASSIFIER_NAMES})
    assert list(mapped) == [ours for _, ours in CLASSIFIER_NAMES]
    with pytest.raises(ValueError, match=r"1 tensors .*: head\.final_layer\.weight"):
        from_posevmamba({"conv1.weight": torch.zeros(1), "head.final_layer.weight": torch.zeros(1)})


def test_names_of_the_segmentor():
    """Its neck is under the backbone's prefix, with the norms behind it."""
    names = {
        "backbone.conv1.weight": "backbone.stem.0.0.weight",
        "backbone.neck.increase_layers.2.0.conv3.weight": "neck.widen.2.conv3.0.weight",
        "backbone.neck.final_layer.bn.running_mean": "neck.final.1.running_mean",
        "backbone.outnorm3.bias": "neck.norms.3.bias",
        "decode_head.conv_seg.weight": "decode_head.conv_seg.weight",
    }
    mapped = from_posevmamba({theirs: torch.zeros(1) for theirs in names})
    assert list(mapped) == list(names.values())


def test_what_is_outside_a_whole_models_backbone_keeps_its_name():
    tensors = {
        "backbone.conv1.weight": torch.zeros(1),
        "head.weight": torch.zeros(2),
        "data_preprocessor.mean": torch.zeros(3),
    }
    assert list(from_posevmamba(tensors)) == [
        "backbone.stem.0.0.weight",
        "head.weight",
        "data_preprocessor.mean",
    ]


def test_refuses_unknown_names_by_name():
    unknown = {f"{BLOCK}.attention.weight": torch.zeros(1), "layer2.0.weight": torch.zeros(1)}
    with pytest.raises(ValueError, match=rf"2 tensors .*{BLOCK}.attention.weight, layer2.0.weight"):
        from_posevmamba({"conv1.weight": torch.zeros(1), **unknown})


def test_many_unknown_names_are_counted():
    unknown = {f"stage9.{index}": torch.zeros(1) for index in range(1000)}
    with pytest.raises(ValueError, match=r"1000 tensors .*stage9\.0, .* and 992 more$"):
        from_posevmamba({"conv1.weight": torch.zeros(1), **unknown})


@pytest.mark.parametrize(
    ("name", "value", "got"),
    [
        ("op.A_logs", torch.zeros(254, 1), r"\(4 \* C, N\), got \(254, 1\)"),
        ("op.A_logs", torch.zeros(256), r"got \(256,\)"),
        ("op.Ds", torch.zeros(()), r"\(4 \* C,\), got \(\)"),
        ("op.Ds", torch.zeros(256, 1), r"got \(256, 1\)"),
        ("op.x_proj_weight", torch.zeros(16, 64), r"\(4, N, C\), got \(16, 64\)"),
        ("op.x_proj_weight", torch.zeros(8, 2, 64), r"got \(8, 2, 64\)"),
        ("op.Ds", [1.0], "be a tensor, got a list"),
        ("norm.weight", None, "be a tensor, got a NoneType"),
    ],
)
def test_refuses_other_shapes_and_no_tensors(name, value, got):
    with pytest.raises(ValueError, match=rf"{BLOCK}\.{name} must .*{got}$"):
        from_posevmamba({f"{BLOCK}.{name}": value})


def test_the_prefix_of_data_parallelism_is_dropped():
    theirs = {"module.backbone.conv1.weight": torch.zeros(1), "module.head.bias": torch.zeros(2)}
    assert list(from_posevmamba(theirs)) == ["backbone.stem.0.0.weight", "head.bias"]
