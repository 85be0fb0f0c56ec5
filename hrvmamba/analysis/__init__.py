"""What a model costs."""

from hrvmamba.analysis.cost import Cost, cost

__all__ = ["Cost", "cost"]
