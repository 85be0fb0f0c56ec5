"""HRVMamba in the OpenMMLab libraries that are installed; none is required.

Importing this package registers it.
"""

import warnings
from importlib import import_module
from importlib.util import find_spec


def _register() -> None:
    """Register the backbone with the OpenMMLab libraries, if MMEngine is installed.

    MMEngine's root registry takes it, where MMPose, MMPreTrain and MMSegmentation find it too; they
    are slow to import, and are left alone. It also learns the names of HRVMamba's configs. An
    MMEngine that is installed but broken is warned about: the core (ops, layers, models) works
    without it.
    """
    try:
        if find_spec("mmengine"):
            import_module(".openmmlab_compat", __name__).install()
            import_module(".mmengine", __name__)
            import_module(".model_index", __name__).install()
    # An installed library can fail in any way: a version assert, a missing symbol, a syntax error.
    except Exception as error:
        warnings.warn(
            "HRVMamba is not registered with mmengine, which is installed but cannot be imported: "
            f"{type(error).__name__}: {error}. The ops, layers and models work without it.",
            stacklevel=2,
        )


_register()
