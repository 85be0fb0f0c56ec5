"""HRVMamba: high-resolution visual state-space backbones for human pose estimation.

The ops, layers and models need torch alone. Importing this package also registers the backbone
with MMEngine, and so with every OpenMMLab library: at once where MMEngine is imported already, else
as soon as it is. What needs neither, such as ``hrvmamba infer --onnx``, starts without them.
"""

from hrvmamba.import_hook import import_after

__version__ = "0.1.0"

import_after("mmengine", "hrvmamba.integrations")
