"""Reading checkpoints, the authors' among them, and loading them into models."""

from hrvmamba.checkpoints.conversion import Conversion, convert_posevmamba
from hrvmamba.checkpoints.loading import LoadReport, load_checkpoint, load_state_dict
from hrvmamba.checkpoints.posevmamba import from_posevmamba, is_posevmamba
from hrvmamba.checkpoints.reading import read_checkpoint

__all__ = [
    "Conversion",
    "LoadReport",
    "convert_posevmamba",
    "from_posevmamba",
    "is_posevmamba",
    "load_checkpoint",
    "load_state_dict",
    "read_checkpoint",
]
