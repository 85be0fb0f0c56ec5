import pytest

from hrvmamba.ops import backend
from hrvmamba.ops.backend import NATIVE_DEVICES


@pytest.fixture
def native():
    """Run the compiled CPU kernels; skip where they are not built."""
    if "cpu" not in NATIVE_DEVICES:
        pytest.skip("needs the compiled CPU kernels")
    with backend("native"):
        yield


@pytest.fixture(params=["reference", "native"])
def each_backend(request):
    """Run with plain PyTorch ops, and with the compiled CPU kernels."""
    if request.param == "native":
        request.getfixturevalue("native")
        yield
    else:
        with backend("reference"):
            yield
