"""The HRVMamba backbone, what follows it in other tasks, and VMamba to compare with."""

from hrvmamba.models.classifier import HRVMambaClassifier
from hrvmamba.models.hrnet_neck import HRNetNeck
from hrvmamba.models.hrnet_pyramid import HRNetPyramid
from hrvmamba.models.hrvmamba import ARCHS, Arch, HRVMamba
from hrvmamba.models.vmamba import VMamba

__all__ = ["ARCHS", "Arch", "HRNetNeck", "HRNetPyramid", "HRVMamba", "HRVMambaClassifier", "VMamba"]
