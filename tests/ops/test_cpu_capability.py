"""The kernels of the instruction sets that this machine has, but does not choose by itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

pytestmark = pytest.mark.usefixtures("native")


def run(name: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=HERE.parents[1],
        env={**os.environ, "HRVMAMBA_CPU_CAPABILITY": name},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("name", ["avx2", "portable"])
def test_other_instruction_sets_compute_the_same(name):
    """They go through the tests of the operators that this machine's best went through."""
    files = [str(HERE / f"test_{part}.py") for part in ("registrations", "deform_sample")]
    result = run(name, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files)
    if "no more than the machine has" in result.stdout:
        pytest.skip(f"this machine lacks {name}")
    assert result.returncode == 0, result.stdout
    assert " passed" in result.stdout


def test_refuses_other_names():
    program = (
        "import torch, hrvmamba.ops as ops;"
        "ops.deform_sample(torch.ones(1, 2, 2, 4), torch.ones(1, 2, 2, 27), 1)"
    )
    result = run("mmx", "-c", program)
    assert result.returncode != 0
    assert "HRVMAMBA_CPU_CAPABILITY: got mmx, needs portable, avx2 or avx512" in result.stderr
