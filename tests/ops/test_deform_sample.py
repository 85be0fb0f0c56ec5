import pytest
import torch
from torch.autograd import gradcheck

from hrvmamba.ops import deform_sample

pytestmark = pytest.mark.usefixtures("each_backend")


def sample_inputs(batch, height, width, channels, groups, dtype=torch.float64, spread=1.0):
    columns = -(-27 * groups // 8) * 8
    value = torch.randn(batch, height, width, channels, dtype=dtype)
    offset_mask = torch.randn(batch, height, width, columns, dtype=dtype)
    for group in range(groups):
        offset_mask[..., 27 * group : 27 * group + 18] *= spread
    return value.requires_grad_(), offset_mask.requires_grad_(), groups


def deform_conv(value, offset_mask, groups):
    """The same by torchvision's modulated deformable convolution, depthwise with unit weights.

    It orders the points with dy in the outer loop and each offset as (dy, dx).
    """
    deform_conv2d = pytest.importorskip("torchvision.ops").deform_conv2d
    batch, height, width, channels = value.shape
    per_group = offset_mask[..., : 27 * groups].unflatten(-1, (groups, 27))
    offset = per_group[..., :18].unflatten(-1, (3, 3, 2)).transpose(-3, -2).flip(-1)
    mask = per_group[..., 18:].unflatten(-1, (3, 3)).transpose(-2, -1)
    out = deform_conv2d(
        value.permute(0, 3, 1, 2).contiguous(),
        offset.reshape(batch, height, width, -1).permute(0, 3, 1, 2).contiguous(),
        value.new_ones(channels, 1, 3, 3),
        padding=1,
        mask=mask.reshape(batch, height, width, -1).permute(0, 3, 1, 2).contiguous(),
    )
    return out.permute(0, 2, 3, 1)


@pytest.mark.parametrize("spread", [0.0, 1.0, 20.0], ids=["on pixels", "near", "far outside"])
@pytest.mark.parametrize("shape", [(2, 5, 7, 6, 1), (1, 8, 3, 12, 3), (3, 1, 1, 4, 2)], ids=str)
def test_equals_torchvision(shape, spread):
    value, offset_mask, groups = sample_inputs(*shape, spread=spread)
    arguments = (value, offset_mask, groups)
    out, expected = deform_sample(*arguments), deform_conv(*arguments)
    torch.testing.assert_close(out, expected, atol=1e-10, rtol=1e-10)
    weights = torch.randn_like(out)
    grads = torch.autograd.grad((out * weights).sum(), arguments[:2])
    expected_grads = torch.autograd.grad((expected * weights).sum(), arguments[:2])
    if spread:  # on a pixel the bilinear kernel has a kink, and each side's slope is right
        torch.testing.assert_close(grads, expected_grads, atol=1e-9, rtol=1e-9)
    else:
        torch.testing.assert_close(grads[0], expected_grads[0], atol=1e-9, rtol=1e-9)


def test_zero_offsets_and_unit_masks_sum_the_neighbourhood():
    value = torch.arange(12.0).view(1, 3, 4, 1)
    offset_mask = torch.zeros(1, 3, 4, 27)
    offset_mask[..., 18:] = 1
    expected = 9 * torch.nn.functional.avg_pool2d(value.permute(0, 3, 1, 2), 3, 1, 1)
    torch.testing.assert_close(deform_sample(value, offset_mask, 1).permute(0, 3, 1, 2), expected)


def test_points_run_over_dx_first_and_offsets_are_dx_dy():
    value = torch.arange(25.0).view(1, 5, 5, 1)
    offset_mask = torch.zeros(1, 5, 5, 27)
    offset_mask[..., 18 + 1] = 1  # point 1: dx = -1, dy = 0
    assert deform_sample(value, offset_mask, 1)[0, 2, 2, 0] == value[0, 2, 1, 0]
    offset_mask[..., 2] = 2  # its dx
    offset_mask[..., 3] = -1  # its dy
    assert deform_sample(value, offset_mask, 1)[0, 2, 2, 0] == value[0, 1, 3, 0]


@pytest.mark.parametrize("shape", [(2, 3, 4, 4, 2), (1, 1, 5, 3, 1)], ids=str)
def test_gradients(shape):
    value, offset_mask, groups = sample_inputs(*shape)
    assert gradcheck(lambda *tensors: deform_sample(*tensors, groups), (value, offset_mask))


@pytest.mark.parametrize("channels", [4, 21, 64])
def test_silu_may_follow(channels):
    value, offset_mask, _ = sample_inputs(2, 4, 5, channels, 1)
    out = deform_sample(value, offset_mask, 1, activation="silu")
    expected = torch.nn.functional.silu(deform_sample(value, offset_mask, 1))
    torch.testing.assert_close(out, expected)
    weights = torch.randn_like(out)
    grads = torch.autograd.grad((out * weights).sum(), (value, offset_mask))
    expected_grads = torch.autograd.grad((expected * weights).sum(), (value, offset_mask))
    torch.testing.assert_close(grads, expected_grads)


def test_points_that_are_nowhere_count_zero():
    """Offsets that lead out of the map by a pixel or more, however far."""
    value = torch.ones(1, 3, 4, 2)
    offset_mask = torch.ones(1, 3, 4, 27)
    for dx in (6.0, -6.0, 1e30, -1e30):
        offset_mask[..., :18:2] = dx
        assert (deform_sample(value, offset_mask, 1) == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("offset", [1e-7, -1e-7, 4e-6, -4e-6])
def test_points_just_beside_pixels(offset, dtype):
    """A point at the map's far border, moved back by a rounding error, is still within it.

    Memory beyond the map is poisoned: value is a part of a longer tensor.
    """
    for height, width in ((64, 48), (48, 64), (1, 1), (16, 2)):
        poisoned = torch.full((3, height, width, 32), float("nan"), dtype=dtype)
        poisoned[1] = 1
        offset_mask = torch.ones(1, height, width, 27, dtype=dtype)
        offset_mask[..., :18] = offset
        out = deform_sample(poisoned[1:2], offset_mask, 1)
        neighbours = torch.nn.functional.avg_pool2d(
            torch.ones(1, 1, height, width, dtype=dtype), 3, 1, 1, divisor_override=1
        )
        torch.testing.assert_close(
            out, neighbours.permute(0, 2, 3, 1).expand_as(out), atol=1e-4, rtol=0
        )


def test_padding_columns_are_not_read():
    value, offset_mask, groups = sample_inputs(1, 4, 4, 4, 2)
    changed = offset_mask.detach().clone()
    changed[..., 54:] = float("nan")
    assert torch.equal(deform_sample(value, changed, groups), deform_sample(value, offset_mask, 2))


def test_strided_arguments():
    value, offset_mask, groups = sample_inputs(2, 4, 5, 4, 2)
    expected = deform_sample(value, offset_mask, groups)
    strided = value.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    wider = torch.cat((offset_mask, offset_mask), -1)[..., : offset_mask.shape[-1]]
    torch.testing.assert_close(deform_sample(strided, wider, groups), expected)


def test_empty_batch():
    value, offset_mask, groups = sample_inputs(0, 4, 5, 4, 2)
    out = deform_sample(value, offset_mask, groups)
    assert out.shape == (0, 4, 5, 4)
    out.sum().backward()
    assert value.grad.shape == value.shape and offset_mask.grad.shape == offset_mask.shape


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_compute_in_float32(dtype):
    value, offset_mask, groups = sample_inputs(1, 6, 5, 4, 2)
    value, offset_mask = value.detach().to(dtype), offset_mask.detach().to(dtype)
    out = deform_sample(value, offset_mask, groups)
    assert out.dtype == dtype
    expected = deform_sample(value.float(), offset_mask.float(), groups)
    assert torch.equal(out, expected.to(dtype))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(value=torch.zeros(2, 4, 5)), ValueError, r"value must have shape .*got \(2, 4, 5\)"),
        (dict(value=torch.zeros(1, 4, 4, 4).long()), TypeError, "value must be one of float16"),
        (dict(value=[1.0]), TypeError, "value must be a torch.Tensor, got list"),
        (dict(groups=3), ValueError, "groups must divide the D = 4 channels of value, got 3"),
        (dict(activation="relu"), ValueError, r"activation must be one of .*'silu'.* got 'relu'"),
        (dict(groups=2.0), TypeError, "groups must be an int, got float"),
        (dict(offset_mask=torch.zeros(1, 4, 4, 53)), ValueError, r"at least 27\*groups = 54 .*53"),
        (dict(offset_mask=torch.zeros(1, 4, 3, 56)), ValueError, r"W = 4.*got \(1, 4, 3, 56\)"),
        (
            dict(offset_mask=torch.zeros(1, 4, 4, 56, device="meta")),
            ValueError,
            "one device, got value on cpu, offset_mask on meta",
        ),
    ],
)
def test_refuses(change, error, message):
    arguments = dict(value=torch.zeros(1, 4, 4, 4), offset_mask=torch.zeros(1, 4, 4, 56), groups=2)
    with pytest.raises(error, match=message):
        deform_sample(**{**arguments, **change})
