"""The trained detector in the repository: its config, its weights and their licence."""

from pathlib import Path

from oil_storage.errors import UserError

NAME = "ssd_lite0_multires"
ROOT = Path(__file__).resolve().parent.parent
"""Root of a clone; with an installed wheel, the folder of the installed packages."""
CONFIG = ROOT / "configs" / "oil" / f"{NAME}.py"
WEIGHTS = ROOT / "weights" / f"{NAME}.safetensors"
LICENCE = "CC BY-NC-SA 4.0: non-commercial use only, with attribution to Airbus DS Intelligence"
"""Licence of the weights, which is that of the scenes that they were trained on."""


def detector() -> tuple[Path, Path]:
    """Return the paths of the config and the weights.

    Raises:
        UserError: one of the files does not exist.
    """
    for path in (CONFIG, WEIGHTS):
        if not path.is_file():
            raise UserError(f"{path}: the shipped detector is not installed; give --config and --weights")
    return CONFIG, WEIGHTS
