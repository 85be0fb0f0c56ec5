"""The HRVMamba backbone."""

from hrvmamba.models.hrvmamba import ARCHS, Arch, HRVMamba

__all__ = ["ARCHS", "Arch", "HRVMamba"]
