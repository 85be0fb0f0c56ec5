"""The network against the outputs of the authors' network, mended, with the same weights."""

import importlib.util
import json

import numpy as np
import pytest
import torch

from hrvmamba.checkpoints import from_posevmamba
from hrvmamba.models import HRVMamba

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


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("arch", ["small", "tiny"])
def test_output_is_the_authors(arch, dtype, shared, golden):
    folder = shared / "posevmamba"
    shapes = json.loads((folder / f"pose_{arch}_keys.json").read_text())
    theirs = {
        name: torch.from_numpy(np.asarray(golden.golden_array(name, shape)))
        for name, shape in shapes.items()
    }
    model = HRVMamba(arch).eval()
    model.load_state_dict(from_posevmamba(theirs), strict=True)
    model.to(dtype)
    with torch.inference_mode():
        (output,) = model(torch.from_numpy(golden.golden_input(96, 64)).to(dtype))
    expected = torch.from_numpy(np.load(folder / f"pose_{arch}_96x64.npy")).double()
    difference = (output.double() - expected) / expected.std()
    largest, rms = TOLERANCES[dtype]
    assert difference.abs().max() <= largest
    assert difference.square().mean().sqrt() <= rms
