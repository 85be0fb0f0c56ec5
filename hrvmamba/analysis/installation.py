"""What is installed here, whether it works, and how to mend what does not."""

import dataclasses
import os
import platform
import re
import shutil
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

import torch

import hrvmamba
from hrvmamba.analysis.self_test import OpCheck, self_test
from hrvmamba.ops import toolchain
from hrvmamba.ops.backend import MISSING_KERNELS

# What is reported of each package: the names that it may be distributed under.
_PACKAGES = {
    "torchvision": ("torchvision",),
    "numpy": ("numpy",),
    "setuptools": ("setuptools",),
    "mmengine": ("mmengine", "mmengine-lite"),
    "mmcv": ("mmcv", "mmcv-lite", "mmcv-full"),
    "mmpose": ("mmpose",),
    "mmpretrain": ("mmpretrain",),
    "mmsegmentation": ("mmsegmentation",),
    "mmdet": ("mmdet",),
    "xtcocotools": ("xtcocotools",),
    "opencv": ("opencv-python", "opencv-python-headless", "opencv-contrib-python"),
    "onnx": ("onnx",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
}

# What is imported of the packages that are installed, since theirs is where versions do not fit.
_MODULES = ("torchvision", "mmengine", "mmpose.apis", "mmpretrain.models", "mmseg.models")

_POSE_STACK = 'pip install "hrvmamba[pose]", then pip install --no-deps mmpose==1.3.2'

# Advice for what importing them is known to raise.
_ADVICE = (
    (r"pkg_resources", 'pip install "setuptools<81"'),
    (r"numpy\.dtype size changed|compiled using NumPy 1\.x", 'pip install "numpy<2"'),
    (r"numpy\.core\.multiarray failed to import", 'pip install "numpy<2"'),
    (
        r"torchvision::nms",
        "torch and torchvision are of different builds: pip install --force-reinstall both from "
        "one index, such as torch==2.11.0 torchvision==0.26.0",
    ),
    (r"MMCV==\S+ is used but incompatible", 'pip install "mmcv-lite>=2.1.0,<2.2.0"'),
    (r"No module named 'cv2", 'pip install "opencv-python<4.12"'),
    (r"libGL\.so|libgthread", "apt-get install libgl1 libglib2.0-0, or opencv-python-headless"),
    (r"No module named '(mmcv|xtcocotools)", _POSE_STACK),
    (r"No module named 'PIL'", "pip install pillow"),
    (r"No module named '([\w-]+)'", r"pip install \1"),
)


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something to mend.

    Attributes:
        what: what is wrong or missing, in one line.
        advice: how to mend it, in one line.
    """

    what: str
    advice: str


@dataclasses.dataclass(frozen=True)
class Kernels:
    """The compiled kernels of a device.

    Attributes:
        device: cpu or cuda.
        works: whether they are built and load.
        detail: what they run with here; or why there are none.
    """

    device: str
    works: bool
    detail: str


@dataclasses.dataclass(frozen=True)
class Gpu:
    """A GPU that PyTorch finds.

    Attributes:
        name: as its driver calls it.
        capability: compute capability, such as "9.0".
        memory_bytes: all of its memory.
    """

    name: str
    capability: str
    memory_bytes: int


@dataclasses.dataclass(frozen=True)
class Installation:
    """What is installed here.

    Attributes:
        versions: of hrvmamba, python, torch and the packages it works with; None is not installed.
        folder: where this package is.
        system: operating system and machine.
        torch_cuda: version of CUDA that torch is built for, None without CUDA.
        threads: of torch, on the CPU.
        kernels: of each device.
        gpus: that torch finds.
        self_test: of each operator on each backend.
        problems: what is broken.
        notes: what works but could be more or quicker.
    """

    versions: dict[str, str | None]
    folder: str
    system: str
    torch_cuda: str | None
    threads: int
    kernels: list[Kernels]
    gpus: list[Gpu]
    self_test: list[OpCheck]
    problems: list[Finding]
    notes: list[Finding]

    def as_dict(self) -> dict:
        """The report as JSON takes it."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        lines = [f"hrvmamba       {self.versions['hrvmamba']}  ({self.folder})"]
        lines.append(f"python         {self.versions['python']}  ({self.system})")
        cuda = f"CUDA {self.torch_cuda}" if self.torch_cuda else "without CUDA"
        lines.append(f"torch          {self.versions['torch']}  ({cuda}, {self.threads} threads)")
        for name in _PACKAGES:
            lines.append(f"{name:<14} {self.versions[name] or 'not installed'}")
        lines += ["", "GPUs"]
        for gpu in self.gpus:
            memory = f"{gpu.memory_bytes / 2**30:.0f} GiB"
            lines.append(f"  {gpu.name}, compute capability {gpu.capability}, {memory}")
        lines += [] if self.gpus else ["  none that torch finds"]
        lines += ["", "compiled kernels"]
        lines += [f"  {kernels.device:<5} {kernels.detail}" for kernels in self.kernels]
        lines += ["", "self-test (largest error against float64, as a share of the largest value)"]
        for check in self.self_test:
            result = check.failure or f"{check.error:.0e}"
            verdict = "passed" if check.passed else "FAILED"
            lines.append(
                f"  {check.device:<5} {check.backend:<10} {check.op:<18} {verdict}  {result}"
            )
        for title, findings in (("notes", self.notes), ("problems", self.problems)):
            if findings:
                lines += ["", title]
            for finding in findings:
                lines += [f"  {finding.what}", f"    -> {finding.advice}"]
        count = len(self.problems)
        verdict = f"{count} problem{'s' if count > 1 else ''} found" if count else "all is well"
        lines += ["", verdict]
        return "\n".join(lines)


def check_installation() -> Installation:
    """Look at what is installed, import it, and test the operators on every backend.

    Problems are what is installed and broken. What is not installed, or not built, is noted, with
    what it would be needed for.
    """
    versions = _versions()
    problems, notes = [], []
    gpus = _gpus()
    kernels = [_cpu_kernels(problems, notes), _cuda_kernels(bool(gpus), problems, notes)]
    checks = self_test()
    _judge_ops(checks, problems)
    _judge_torch(bool(gpus), problems, notes)
    _judge_packages(versions, problems, notes)
    return Installation(
        versions=versions,
        folder=str(Path(hrvmamba.__file__).parent),
        system=f"{platform.system()} {platform.machine()}",
        torch_cuda=torch.version.cuda,
        threads=torch.get_num_threads(),
        kernels=kernels,
        gpus=gpus,
        self_test=checks,
        problems=problems,
        notes=notes,
    )


def _versions() -> dict[str, str | None]:
    versions = {
        "hrvmamba": hrvmamba.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    for name, distributions in _PACKAGES.items():
        versions[name] = next(filter(None, map(_version, distributions)), None)
    return versions


def _version(distribution: str) -> str | None:
    """The version that is installed, with the name if that is not the package's own."""
    try:
        version = metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
    return version if distribution in _PACKAGES else f"{version} ({distribution})"


# The kernels


def _cpu_kernels(problems: list[Finding], notes: list[Finding]) -> Kernels:
    if "cpu" not in MISSING_KERNELS:
        return Kernels("cpu", True, f"built; {_instruction_set()} here")
    if find_spec("hrvmamba._C"):
        return _broken("cpu", problems)
    reason = toolchain.obstacle()
    notes.append(
        Finding(
            "the ops run in plain PyTorch on the CPU, several times slower than compiled kernels",
            _how_to_build(reason),
        )
    )
    return Kernels("cpu", False, _not_built(reason))


def _cuda_kernels(gpu: bool, problems: list[Finding], notes: list[Finding]) -> Kernels:
    if "cuda" not in MISSING_KERNELS:
        return Kernels("cuda", True, "built" if gpu else "built; there is no GPU to run them on")
    if find_spec("hrvmamba._C_cuda"):
        if torch.version.cuda is None:
            return Kernels("cuda", False, "built, but this torch is one without CUDA")
        return _broken("cuda", problems)
    reason = toolchain.obstacle() or toolchain.cuda_obstacle()
    if gpu:
        notes.append(
            Finding(
                "the ops run in plain PyTorch on the GPU, several times slower than CUDA kernels",
                _how_to_build(reason),
            )
        )
    return Kernels("cuda", False, _not_built(reason))


def _instruction_set() -> str:
    """The best that the machine has, or the one that the environment names, as the kernels take it.

    The conditions of csrc/cpu/kernels.cpp are also those of torch's own kernels.
    """
    named = os.environ.get("HRVMAMBA_CPU_CAPABILITY")
    if named:
        return f"{named} (HRVMAMBA_CPU_CAPABILITY)"
    best = torch.backends.cpu.get_cpu_capability().upper()
    return next((name for name in ("AVX512", "AVX2") if best.startswith(name)), "portable code")


def _broken(device: str, problems: list[Finding]) -> Kernels:
    reason = MISSING_KERNELS[device]
    problems.append(
        Finding(
            f"the compiled kernels for {device} do not load: {reason}",
            f"build them for this torch, {torch.__version__}: {_BUILD}",
        )
    )
    return Kernels(device, False, f"built, but do not load: {reason}")


_BUILD = "pip install -v --force-reinstall --no-deps the source folder of hrvmamba"


def _not_built(reason: str | None) -> str:
    return f"not built: {reason}" if reason else "not built when hrvmamba was installed"


def _how_to_build(reason: str | None) -> str:
    return f"they are not built: {reason}. Mend that, then: {_BUILD}" if reason else _BUILD


def _judge_ops(checks: Sequence[OpCheck], problems: list[Finding]) -> None:
    for check in checks:
        if check.passed:
            continue
        what = f"{check.op} on {check.device}, backend {check.backend}, "
        what += check.failure or f"deviates by {check.error:.0e} of its largest value"
        advice = "hrvmamba.ops.backend('reference') goes without it; please report this"
        if check.backend == "native":
            advice = f"build the kernels on this machine: {_BUILD}"
        if check.backend == "reference":
            advice = "torch itself miscomputes here: install it anew"
        if check.failure and "HRVMAMBA_CPU_CAPABILITY" in check.failure:
            advice = "unset HRVMAMBA_CPU_CAPABILITY, or name what this machine has"
        problems.append(Finding(what, advice))


# Torch and the packages beside it


def _gpus() -> list[Gpu]:
    if not torch.cuda.is_available():
        return []
    found = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return [Gpu(gpu.name, f"{gpu.major}.{gpu.minor}", gpu.total_memory) for gpu in found]


def _judge_torch(gpu: bool, problems: list[Finding], notes: list[Finding]) -> None:
    if toolchain.torch_version(Path(torch.__file__).parent) < (2, 4):
        problems.append(
            Finding(f"torch {torch.__version__} is too old", 'pip install "torch>=2.10"')
        )
    if shutil.which("nvidia-smi") and not gpu:
        why = "it is built without CUDA" if torch.version.cuda is None else "it finds no driver"
        notes.append(
            Finding(
                f"nvidia-smi is here, but torch uses no GPU: {why}",
                "if nvidia-smi lists a GPU: install a torch built for a CUDA that its driver knows",
            )
        )


def _judge_packages(
    versions: dict[str, str | None], problems: list[Finding], notes: list[Finding]
) -> None:
    for module in _MODULES:
        if not find_spec(module.partition(".")[0]):
            continue
        failure = _import_failure(module)
        if failure:
            problems.append(Finding(f"{module} cannot be imported: {failure}", _advice(failure)))
    if versions["mmengine"] and not _is_registered():
        problems.append(
            Finding(
                "MMEngine is installed, but HRVMamba is not registered with it",
                "mend what `python -W always -c 'import hrvmamba.integrations'` warns of",
            )
        )
    old_mmengine = re.match(r"0\.(\d|10)\.", versions["mmengine"] or "")
    if old_mmengine and not find_spec("pkg_resources"):
        problems.append(
            Finding(
                "MMEngine 0.10 needs pkg_resources, which setuptools dropped in version 82: "
                "configs that inherit another library's ('mmpose::...') do not load",
                _advice("pkg_resources"),
            )
        )
    if not versions["mmpose"]:
        what = "MMPose is not installed: training, testing and `hrvmamba infer` need it"
        python = "in Python 3.10 or 3.11, " if sys.version_info >= (3, 12) else ""
        notes.append(Finding(what, f"{python}{_POSE_STACK}"))


def _import_failure(module: str) -> str | None:
    """The first line of what importing a module raises, None if it imports."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import_module(module)
    except Exception as error:  # an installed library can fail in any way
        lines = str(error).strip().splitlines()
        return f"{type(error).__name__}: {lines[0] if lines else ''}"
    return None


def _is_registered() -> bool:
    try:
        from mmengine.registry import MODELS
    except Exception:  # told as mmengine's own failure
        return True
    return "HRVMamba" in MODELS


def _advice(failure: str) -> str:
    for pattern, advice in _ADVICE:
        found = re.search(pattern, failure)
        if found:
            return found.expand(advice)
    return f"install the versions that are tested together: {_POSE_STACK}"
