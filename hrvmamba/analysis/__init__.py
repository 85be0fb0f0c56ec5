"""What a model costs, and what it looks at."""

from hrvmamba.analysis.cost import Cost, cost

__all__ = ["Cost", "cost"]
