import json
from collections import namedtuple

import pytest
import torch

from hrvmamba.analysis import installation
from hrvmamba.analysis.self_test import OpCheck

# Hides every installed package but torch and what torch itself needs.
TORCH_ALONE = """
import sys
from importlib.machinery import PathFinder
KEPT = {"hrvmamba", "torch", "torchgen", "functorch", "triton", "nvidia", "typing_extensions",
        "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "filelock", "fsspec", "cuda"}
class Hide:
    @staticmethod
    def find_spec(name, path=None, target=None):
        spec = PathFinder.find_spec(name, path, target)
        installed = spec is not None and "-packages" in str(spec.origin or spec.loader)
        return None if installed and name.split(".")[0] not in KEPT else spec
sys.meta_path[sys.meta_path.index(PathFinder)] = Hide
"""


@pytest.fixture
def quick(monkeypatch):
    """Import none of the packages but MMEngine."""
    monkeypatch.setattr(installation, "_MODULES", ("mmengine",))


def test_with_nothing_but_torch(run_python):
    code = "from hrvmamba.cli.main import main; raise SystemExit(main(['check', '--json']))"
    result = run_python(TORCH_ALONE + code)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["versions"]["torch"] == torch.__version__
    assert report["versions"]["mmpose"] is None and report["versions"]["numpy"] is None
    assert {check["op"] for check in report["self_test"]} == {"deform_sample", "selective_scan_2d"}
    assert report["problems"] == []
    advice = [note["advice"] for note in report["notes"] if "MMPose" in note["what"]]
    assert len(advice) == 1 and "--no-deps mmpose==1.3.2" in advice[0]


def test_a_package_that_is_broken_is_a_problem_with_its_remedy(run_python, tmp_path):
    (tmp_path / "mmengine").mkdir()
    fault = "numpy.dtype size changed, may indicate binary incompatibility"
    (tmp_path / "mmengine" / "__init__.py").write_text(f"raise ValueError({fault!r})\n")
    code = "from hrvmamba.cli.main import main; raise SystemExit(main(['check']))"
    result = run_python(
        "import hrvmamba.analysis.installation as i; i._MODULES = ('mmengine',);" + code, tmp_path
    )
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    (index,) = (i for i, line in enumerate(lines) if "mmengine cannot be imported" in line)
    assert fault in lines[index] and lines[index + 1] == '    -> pip install "numpy<2"'
    assert lines[-1] == "1 problem found"


def test_the_report_is_for_reading_and_for_json(quick):
    report = installation.check_installation()
    assert json.loads(json.dumps(report.as_dict()))["threads"] == torch.get_num_threads()
    said = str(report)
    for name in ("torch", "mmengine", "numpy", "compiled kernels", "self-test", "GPUs"):
        assert name in said
    assert said.count("passed") == len(report.self_test)


def kernels_of(report, device):
    (kernels,) = (kernels for kernels in report.kernels if kernels.device == device)
    return kernels


def test_kernels_that_are_not_built_are_noted_with_what_they_lack(quick, monkeypatch):
    found = installation.find_spec
    monkeypatch.setattr(installation, "MISSING_KERNELS", {"cpu": "no module", "cuda": "no module"})
    monkeypatch.setattr(
        installation, "find_spec", lambda name: None if "_C" in name else found(name)
    )
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(installation, "_gpus", list)
    report = installation.check_installation()
    lacking = "not built: no C++ compiler is found (c++, g++, clang++ or $CXX)"
    for device in ("cpu", "cuda"):
        assert kernels_of(report, device) == installation.Kernels(device, False, lacking)
    (note,) = (note for note in report.notes if "plain PyTorch" in note.what)
    assert "on the CPU" in note.what  # without a GPU, CUDA kernels are no loss
    assert "no C++ compiler" in note.advice and "pip install -v" in note.advice
    assert not report.problems


def test_kernels_that_do_not_load_are_a_problem(quick, monkeypatch):
    monkeypatch.setattr(installation, "MISSING_KERNELS", {"cpu": "undefined symbol: aoti"})
    monkeypatch.setattr(installation, "find_spec", lambda name: True)
    report = installation.check_installation()
    (problem,) = report.problems
    assert "undefined symbol: aoti" in problem.what and torch.__version__ in problem.advice
    assert not kernels_of(report, "cpu").works


def test_cuda_kernels_beside_a_gpu_without_them_are_noted(quick, monkeypatch):
    gpu = installation.Gpu("NVIDIA H100 80GB HBM3", "9.0", 80 * 2**30)
    monkeypatch.setattr(installation, "_gpus", lambda: [gpu])
    found = installation.find_spec
    monkeypatch.setattr(installation, "MISSING_KERNELS", {"cuda": "no module"})
    monkeypatch.setattr(
        installation, "find_spec", lambda name: None if "_C" in name else found(name)
    )
    monkeypatch.setenv("WITH_CUDA", "0")
    report = installation.check_installation()
    assert any("on the GPU" in note.what and "WITH_CUDA=0" in note.advice for note in report.notes)
    assert "H100" in str(report) and "80 GiB" in str(report)


def test_the_instruction_set_is_the_machines_or_the_named_one(monkeypatch):
    monkeypatch.delenv("HRVMAMBA_CPU_CAPABILITY", raising=False)
    for torchs, ours in (("AVX512", "AVX512"), ("AVX2", "AVX2"), ("DEFAULT", "portable code")):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda name=torchs: name)
        assert installation._instruction_set() == ours
    monkeypatch.setenv("HRVMAMBA_CPU_CAPABILITY", "avx2")
    assert installation._instruction_set() == "avx2 (HRVMAMBA_CPU_CAPABILITY)"


@pytest.mark.parametrize(
    ("check", "what", "advice"),
    [
        (OpCheck("deform_sample", "native", "cpu", 0.5), "by 5e-01", "build the kernels"),
        (OpCheck("deform_sample", "reference", "cpu", 0.5), "by 5e-01", "torch itself"),
        (
            OpCheck("selective_scan_2d", "native", "cpu", None, "HRVMAMBA_CPU_CAPABILITY: got x"),
            "got x",
            "unset HRVMAMBA_CPU_CAPABILITY",
        ),
    ],
)
def test_a_failing_self_test_is_a_problem(quick, monkeypatch, check, what, advice):
    monkeypatch.setattr(installation, "self_test", lambda: [check])
    report = installation.check_installation()
    (problem,) = report.problems
    assert check.op in problem.what and what in problem.what and advice in problem.advice
    assert "FAILED" in str(report)


@pytest.mark.parametrize(
    ("failure", "advice"),
    [
        ("ModuleNotFoundError: No module named 'pkg_resources'", 'pip install "setuptools<81"'),
        ("ModuleNotFoundError: No module named 'json_tricks'", "pip install json_tricks"),
        ("ModuleNotFoundError: No module named 'mmcv'", "hrvmamba[pose]"),
        ("RuntimeError: operator torchvision::nms does not exist", "of different builds"),
        ("AssertionError: MMCV==2.2.0 is used but incompatible.", "mmcv-lite>=2.1.0,<2.2.0"),
        ("ImportError: libGL.so.1: cannot open shared object file", "libgl1"),
        ("ValueError: something else", "tested together"),
    ],
)
def test_advice_for_what_imports_are_known_to_raise(failure, advice):
    assert advice in installation._advice(failure)


def test_a_torch_that_sees_no_gpu_beside_nvidia_smi_is_noted(quick, monkeypatch):
    monkeypatch.setattr(installation, "_gpus", list)
    monkeypatch.setattr(installation.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(torch.version, "cuda", None)
    report = installation.check_installation()
    assert any("built without CUDA" in note.what for note in report.notes)


def test_gpus_are_torchs(monkeypatch):
    properties = namedtuple("properties", "name major minor total_memory")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda index: properties(f"GPU {index}", 9, 0, 2**30)
    )
    assert installation._gpus() == [
        installation.Gpu("GPU 0", "9.0", 2**30),
        installation.Gpu("GPU 1", "9.0", 2**30),
    ]
