"""Which of a source's classes are tanks."""

import csv

from oil_storage.errors import UserError
from oil_storage.scene import CLASS_NAME

LEFT_OUT = "-"


def parse_class_map(text: str | None) -> dict[str, str | None]:
    """Read ``--class-map``: ``Storage Tank=oil-storage-tank,ship=-``.

    Args:
        text: pairs ``NAME=oil-storage-tank`` for tanks and ``NAME=-`` for what is left out, with commas between them; a
            pair whose name has a comma stands in double quotes. None where the option is not given.

    Returns:
        dict: class names of the source to :data:`~oil_storage.scene.CLASS_NAME`, or None for those left out. Our own
            name is in it, as itself unless ``text`` says otherwise.

    Raises:
        UserError: not such pairs, another class than ours, or a name given twice with different meanings.
    """
    class_map: dict[str, str | None] = {}
    for pair in next(csv.reader([text or ""], skipinitialspace=True), []):
        name, equals, target = (part.strip() for part in pair.rpartition("="))
        if not equals or not name or target not in (CLASS_NAME, LEFT_OUT):
            raise UserError(
                f"--class-map {text}: {pair!r} is not NAME={CLASS_NAME}, nor NAME={LEFT_OUT} to leave NAME out"
            )
        meaning = CLASS_NAME if target == CLASS_NAME else None
        if class_map.setdefault(name, meaning) != meaning:
            raise UserError(f"--class-map {text}: {name!r} is both a tank and left out; give it once")
    return {CLASS_NAME: CLASS_NAME, **class_map}
