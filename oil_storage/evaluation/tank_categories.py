"""Categories of ground truth and detections: which of them are tanks."""

import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from oil_storage.annotations.record import LEFT_OUT, with_usual_spellings
from oil_storage.coco import CocoCategory
from oil_storage.errors import UserError
from oil_storage.scene import CLASS_NAME

Category = int | str
"""Name of a category, or its number if it has no name."""
ClassMap = Mapping[str, str | None]
"""Meaning of each class name; see :func:`oil_storage.annotations.record.parse_class_map`."""


def category_names(categories: Iterable[CocoCategory]) -> dict[Category, str]:
    """Return the names of categories by id, without groups of categories, such as category 0 of Roboflow."""
    groups = {category.supercategory for category in categories if category.supercategory != category.name}
    return {category.id: category.name for category in categories if category.name not in groups}


def label_of(category: Category | None, names: Mapping[Category, str]) -> Category | None:
    """Return the name of a category, or the category itself if it has no name."""
    return None if category is None else names.get(category, category)


def tanks_among(
    used: Iterable[Category | None], class_map: ClassMap, path: Path, known: Collection[Category] = ()
) -> set[Category | None]:
    """Return the categories that are tanks.

    Args:
        used: category of each box; None if the file has no categories, which means tanks.
        class_map: meaning of class names; numbers stand for categories without a name.
        path: file with the boxes, for messages.
        known: further categories that are tanks.

    Raises:
        UserError: the meaning of a category is not known. If a file has a single category with a number but no name,
            its boxes are tanks.
    """
    counts = Counter(used)
    named = [category for category in counts if category is not None]
    meanings = with_usual_spellings(class_map, map(str, named))
    tanks: set[Category | None] = {None, *known}
    tanks |= {category for category in named if meanings.get(str(category)) == CLASS_NAME}
    unknown = [category for category in named if str(category) not in meanings and category not in tanks]
    if unknown and len(counts) == 1 and isinstance(unknown[0], int):
        return {unknown[0]}
    if unknown:
        listed = ", ".join(f"{category!r} ({counts[category]})" for category in named)
        of_truth = f", and those of the ground truth are of {', '.join(map(repr, known))}" if known else ""
        tank, other = (shlex.quote(",".join(f"{one}={target}" for one in unknown)) for target in (CLASS_NAME, LEFT_OUT))
        categories = f"{len(named)} {'category' if len(named) == 1 else 'categories'}"
        raise UserError(
            f"{path}: contains boxes of {categories}: {listed}{of_truth};\n"
            f"add --class-map {other} to leave {'it' if len(unknown) == 1 else 'them'} out, or {tank} for tanks"
        )
    return tanks
