"""The former place of :mod:`hrvmamba.whole_file`."""

from hrvmamba.whole_file import whole_file

__all__ = ["whole_file"]
