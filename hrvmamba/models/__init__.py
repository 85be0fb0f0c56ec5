"""The HRVMamba backbone, and what follows it in image classification and segmentation."""

from hrvmamba.models.classifier import HRVMambaClassifier
from hrvmamba.models.hrnet_neck import HRNetNeck
from hrvmamba.models.hrnet_pyramid import HRNetPyramid
from hrvmamba.models.hrvmamba import ARCHS, Arch, HRVMamba

__all__ = ["ARCHS", "Arch", "HRNetNeck", "HRNetPyramid", "HRVMamba", "HRVMambaClassifier"]
