"""Files as the authors' programs saved them."""

import pickle
import types
from pathlib import Path
from typing import Any

import torch


def save_as_numpy_1(content: Any, path: Path) -> None:
    """Save with torch; NumPy's values get the names that they had when the files were published."""
    module = types.SimpleNamespace(Pickler=NumPy1Pickler, __name__="pickle")
    torch.save(content, path, pickle_module=module)


class NumPy1Pickler(pickle._Pickler):  # type: ignore[name-defined]  # the one that can be changed
    """Writes NumPy's functions under the names of NumPy 1."""

    def save_global(self, obj: Any, name: str | None = None) -> None:
        if getattr(obj, "__module__", None) == "numpy._core.multiarray":
            self.write(f"cnumpy.core.multiarray\n{name or obj.__name__}\n".encode())
            self.memoize(obj)
        else:
            super().save_global(obj, name)
