"""The HRVMamba backbone, and the image classifier that it is pretrained in."""

from hrvmamba.models.classifier import HRVMambaClassifier
from hrvmamba.models.hrnet_neck import HRNetNeck
from hrvmamba.models.hrvmamba import ARCHS, Arch, HRVMamba

__all__ = ["ARCHS", "Arch", "HRNetNeck", "HRVMamba", "HRVMambaClassifier"]
