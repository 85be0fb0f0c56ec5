"""Let the OpenMMLab libraries run on today's stack: without a compiled mmcv, on torch >= 2.6.

1. `mmcv.ops` is answered with placeholders where mmcv was installed without its compiled part.
2. The runner's checkpoints load with weights_only=True, by an allow-list; local files and
   downloads of the authors' come in our names.
3. A missing pkg_resources, which MMEngine 0.10 needs, is told at once, with its remedy.
"""

import abc
import codecs
import functools
import importlib.machinery
import importlib.util
import os
import pickle
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any


@functools.cache
def install() -> None:
    """Install all three; needs MMEngine. Further calls do nothing."""
    sys.meta_path.insert(0, _PlaceholderFinder())
    _allow_runner_checkpoints()
    _load_checkpoints_safely()
    if _mmengine_needs_pkg_resources() and importlib.util.find_spec("pkg_resources") is None:
        warnings.warn(
            "MMEngine 0.10 needs pkg_resources, which setuptools dropped in version 82: configs "
            "that inherit another library's ('mmpose::...') will not load. "
            'Mend it with: pip install "setuptools<81"',
            stacklevel=2,
        )


def _mmengine_needs_pkg_resources() -> bool:
    import mmengine

    return mmengine.utils.digit_version(mmengine.__version__) < (0, 11)


# 1. mmcv.ops. MMPose, MMDetection and MMSegmentation import it for heads that HRVMamba does not
# use.


class _PlaceholderFinder:
    """Find placeholder modules for mmcv.ops and what is below it, unless mmcv is compiled."""

    def find_spec(
        self, name: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not f"{name}.".startswith("mmcv.ops.") or importlib.util.find_spec("mmcv._ext"):
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _PlaceholderModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


class _PlaceholderModule(types.ModuleType):
    """A module whose every public attribute is a placeholder class."""

    # What mmcv tells of its compiler when it lists the environment.
    get_compiler_version = get_compiling_cuda_version = staticmethod(lambda: "n/a")

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return _placeholder(name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # mmcv.ops.nms and others are both a submodule and, within mmcv.ops, a function.
        raise _missing_op(self.__name__.rpartition(".")[2])


class _PlaceholderType(abc.ABCMeta):  # an ABCMeta, so that a subclass may also be a BaseModule
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        raise _missing_op(cls._op)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"type object {cls.__name__!r} has no attribute {name!r}")
        raise _missing_op(cls._op)


@functools.cache
def _placeholder(op: str) -> type:
    return _PlaceholderType(op, (), {"_op": op, "__module__": "mmcv.ops"})


def _missing_op(op: str) -> ImportError:
    return ImportError(
        f"mmcv.ops.{op} needs the compiled mmcv, and this one is mmcv-lite. To replace it, which "
        "takes a C++ compiler and several minutes: pip uninstall mmcv-lite, then "
        "pip install mmcv==2.1.0 --no-build-isolation. "
        "HRVMamba itself uses none of mmcv's ops."
    )


# 2. Checkpoints. A runner's checkpoint holds, beside tensors, the history of its losses (MMEngine's
# HistoryBuffer) and NumPy values, which torch.load(weights_only=True) refuses unless told of them.


def _allow_runner_checkpoints() -> None:
    import numpy as np
    import torch
    from mmengine.logging import HistoryBuffer

    def statistic(owner: Any, name: str) -> Callable:
        """Stand in for getattr: a HistoryBuffer names its methods by it, and nothing else may."""
        if owner is not HistoryBuffer or name not in ("min", "max", "current", "mean"):
            raise pickle.UnpicklingError(f"refused: getattr({owner!r}, {name!r}) in a checkpoint")
        return getattr(HistoryBuffer, name)

    reconstruct = np.empty(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    dtypes = {type(np.dtype(code)) for code in "?US" + np.typecodes["AllInteger"] + "efdFD"}
    torch.serialization.add_safe_globals(
        [
            HistoryBuffer,
            np.ndarray,
            np.dtype,
            *dtypes,
            codecs.encode,  # how bytes are kept; allowed by torch itself from 2.5 on
            _named("builtins.getattr", statistic),
            # NumPy 2 renamed numpy.core: the files of either version load with both.
            _named("numpy.core.multiarray._reconstruct", reconstruct),
            _named("numpy._core.multiarray._reconstruct", reconstruct),
            _named("numpy.core.multiarray.scalar", scalar),
            _named("numpy._core.multiarray.scalar", scalar),
        ]
    )


def _named(path: str, function: Callable) -> Callable:
    """Wrap a function for the allow-list, which knows it by the name that a file refers to."""

    def allowed(*args: Any) -> Any:
        return function(*args)

    allowed.__module__, _, allowed.__name__ = path.rpartition(".")
    allowed.__qualname__ = allowed.__name__
    return allowed


def _load_checkpoints_safely() -> None:
    from mmengine.runner import checkpoint

    def load_from_local(filename: str, map_location: Any = None) -> dict:
        from hrvmamba.checkpoints import read_checkpoint

        return read_checkpoint(os.path.expanduser(filename), map_location)

    download = checkpoint.load_url

    def load_url(url: str, *args: Any, **kwargs: Any) -> dict:
        from hrvmamba.checkpoints.reading import damage_told, in_our_names

        try:
            # torch.hub's download still defaults to weights_only=False.
            with damage_told(url):
                loaded = download(url, *args, **kwargs, weights_only=True)
        except OSError as error:
            raise ConnectionError(f"checkpoint {url} cannot be downloaded: {error}") from error
        return in_our_names(loaded, url)

    checkpoint.CheckpointLoader.register_scheme(prefixes="", loader=load_from_local, force=True)
    checkpoint.load_url = load_url
