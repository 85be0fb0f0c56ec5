"""Importing a module as soon as another one is imported."""

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def import_after(trigger: str, module: str) -> None:
    """Import a module right after another one: now, if that is imported already.

    Args:
        trigger: the module, not below a package, that is waited for.
        module: the one to import.
    """
    if sys.modules.get(trigger) is not None:
        import_module(module)
    else:
        sys.meta_path.insert(0, _Finder(trigger, module))


class _Finder:
    """Finds the trigger as the finders behind it do, and makes its execution import the module."""

    def __init__(self, trigger: str, module: str) -> None:
        self.trigger, self.module = trigger, module

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != self.trigger:
            return None
        others = sys.meta_path[sys.meta_path.index(self) + 1 :]
        specs = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(loaded: ModuleType) -> None:
                execute(loaded)
                import_module(self.module)

            spec.loader.exec_module = exec_module
        return spec
