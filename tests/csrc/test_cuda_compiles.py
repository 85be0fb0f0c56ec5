"""Every CUDA source compiles, without spilled registers and within a budget of them; needs nvcc."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

CUDA = Path(__file__).parents[2] / "csrc" / "cuda"
ARCHITECTURES = ("80", "90")

# Registers of a thread, at most, by kernel. Those of a scan are what its blocks can have: 65,536 by
# 384 threads, or by 256.
REGISTERS = {
    "scan_kernel": {"shared plane": 168, "else": 224},
    "scan_backward_kernel": 255,
    "add_up_kernel": 40,
    "add_params_kernel": 40,
    "add_weights_kernel": 40,
    "sample_kernel": 64,
    "sample_backward_kernel": 80,
    "sample_bounds_kernel": 40,
    "sample_sums_kernel": 40,
}
KERNEL = re.compile(
    r"Compiling entry function '(?P<symbol>\w+)' for '(?P<architecture>\w+)'"
    r".*?(?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads"
    r".*?Used (?P<registers>\d+) registers",
    re.DOTALL,
)


def compile_source(source: Path, target: Path) -> str:
    """Compile for every architecture and return what the assembler says about the kernels."""
    packages = Path(torch.__file__).parents[1]
    command = ["nvcc", "-std=c++17", "-O3", "-Xptxas", "-v", "-Xcompiler", "-fPIC"]
    for number in ARCHITECTURES:
        command += ["-gencode", f"arch=compute_{number},code=sm_{number}"]
    command += ["-DTORCH_TARGET_VERSION=0x020a000000000000", "-DUSE_CUDA"]
    # The torch wheels bring headers that a toolkit may lack.
    for folder in (packages / "torch" / "include", packages / "nvidia" / "cu13" / "include"):
        command += ["-isystem", str(folder)]
    done = subprocess.run(
        [*command, "-c", str(source), "-o", str(target)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stderr + done.stdout


def budget(symbol: str) -> int:
    (name,) = (name for name in REGISTERS if f"{len(name)}{name}" in symbol)
    registers = REGISTERS[name]
    if isinstance(registers, dict):
        # The kernel's last template argument
        return registers["shared plane" if "Lb1EEEv" in symbol else "else"]
    return registers


@pytest.mark.slow
@pytest.mark.parametrize("source", sorted(CUDA.glob("*.cu")), ids=lambda source: source.name)
def test_kernels_fit_their_registers(source, tmp_path):
    if shutil.which("nvcc") is None:
        pytest.skip("needs nvcc")
    kernels = list(KERNEL.finditer(compile_source(source, tmp_path / "kernels.o")))
    assert {kernel["architecture"] for kernel in kernels} == {f"sm_{n}" for n in ARCHITECTURES}
    found = []
    for kernel in kernels:
        spilled = int(kernel["stores"]) + int(kernel["loads"])
        if spilled or int(kernel["registers"]) > budget(kernel["symbol"]):
            found.append(f"{kernel['symbol']}: {kernel['registers']} registers, {spilled} spilled")
    assert not found, "\n".join(found)
