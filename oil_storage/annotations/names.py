"""Names that tell a source's images apart, also where the source gives one twice."""


def unique_name(name: str, place: str, taken: set[str]) -> str:
    """``name``, or, where an image has it already, one with the place; it is added to ``taken``.

    Whether two images may be called the same is the audit's to judge; till then, each keeps its own boxes.
    """
    unique = name if name not in taken else f"{name} ({place})"
    taken.add(unique)
    return unique
