"""The trained detector that the package brings, its checkpoint and config in a clone, and their licence."""

from pathlib import Path

from oil_storage.errors import UserError

NAME = "ssd_lite0_multires"
PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent
"""Root of a clone; with an installed wheel, the folder of the installed packages."""
EXPORTED = PACKAGE / "weights" / f"{NAME}.onnx"
"""Exported detector, which also is in the wheel."""
CONFIG = ROOT / "configs" / "oil" / f"{NAME}.py"
WEIGHTS = ROOT / "weights" / f"{NAME}.safetensors"
LICENCE = "CC BY-NC-SA 4.0: non-commercial use only, with attribution to Airbus DS Intelligence"
"""Licence of the weights, which is that of the scenes that they were trained on."""


def detector() -> tuple[None, Path]:
    """Return the config (none is needed) and the path of the exported detector.

    Raises:
        UserError: the file does not exist.
    """
    if not EXPORTED.is_file():
        raise UserError(f"{EXPORTED}: the shipped detector is not installed; give --weights")
    return None, EXPORTED


def checkpoint() -> tuple[Path, Path]:
    """Return the paths of the config and the weights for PyTorch.

    Raises:
        UserError: one of the files does not exist, because only a clone of the repository contains them.
    """
    for path in (CONFIG, WEIGHTS):
        if not path.is_file():
            raise UserError(f"{path}: is only in a clone of the repository; give --config and --weights")
    return CONFIG, WEIGHTS


def is_shipped(path: Path) -> bool:
    """Return whether a file has the shipped weights."""
    return path.resolve() in (EXPORTED, WEIGHTS)
