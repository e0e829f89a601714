"""What lies in a source's folders."""

from pathlib import Path


def visible(source: Path, *layouts: str) -> list[Path]:
    """Files and folders of ``source`` that match glob patterns, sorted within each.

    Hidden ones are passed over: ``._a.txt`` and ``.ipynb_checkpoints`` come with archives and are no one's annotations.
    """
    return [
        path
        for layout in layouts
        for path in sorted(source.glob(layout))
        if not any(part.startswith(".") for part in path.relative_to(source).parts)
    ]
