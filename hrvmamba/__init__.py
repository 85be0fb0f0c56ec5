"""HRVMamba: high-resolution visual state-space backbones for human pose estimation.

The ops, layers and models need torch alone. Importing this package also registers the backbone
with every OpenMMLab library that is installed.
"""

__version__ = "0.1.0"

from hrvmamba.integrations import register_installed

register_installed()
