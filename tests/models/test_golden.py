"""The network against the outputs of the authors' network, mended, with the same weights."""

import importlib.util
import json

import numpy as np
import pytest
import torch

from hrvmamba.checkpoints import from_posevmamba
from hrvmamba.models import HRVMamba, HRVMambaClassifier

# As a share of the reference's standard deviation: the largest and the RMS difference.
TOLERANCES = {torch.float64: (1e-5, 1e-5), torch.float32: (1e-3, 1e-4)}


@pytest.fixture(scope="module")
def golden(shared):
    """The module that makes the authors' deterministic weights and input."""
    path = shared / "posevmamba" / "golden_weights.py"
    spec = importlib.util.spec_from_file_location("golden_weights", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def authors_weights(shared, golden):
    """The authors' deterministic weights of a file of parameter names, in our names."""

    def read(name):
        shapes = json.loads((shared / "posevmamba" / f"{name}_keys.json").read_text())
        theirs = {
            name: torch.from_numpy(np.asarray(golden.golden_array(name, shape)))
            for name, shape in shapes.items()
        }
        return from_posevmamba(theirs)

    return read


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize(
    ("name", "build", "size"),
    [
        ("pose_small", lambda: HRVMamba("small"), (96, 64)),
        ("pose_tiny", lambda: HRVMamba("tiny"), (96, 64)),
        ("cls_nano", lambda: HRVMambaClassifier("nano"), (64, 64)),
    ],
)
def test_output_is_the_authors(name, build, size, dtype, shared, golden, authors_weights):
    model = build().eval()
    model.load_state_dict(authors_weights(name), strict=True)
    model.to(dtype)
    with torch.inference_mode():
        output = model(torch.from_numpy(golden.golden_input(*size)).to(dtype))
    if isinstance(output, tuple):  # a backbone's
        (output,) = output
    file = shared / "posevmamba" / f"{name}_{size[0]}x{size[1]}.npy"
    expected = torch.from_numpy(np.load(file)).double()
    assert output.shape == expected.shape
    difference = (output.double() - expected) / expected.std()
    largest, rms = TOLERANCES[dtype]
    assert difference.abs().max() <= largest
    assert difference.square().mean().sqrt() <= rms
