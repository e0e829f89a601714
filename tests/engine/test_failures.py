import pytest
from torch.utils.data import DataLoader

from oil_storage.engine.failures import plain_errors
from oil_storage.errors import UserError


class Failing:
    """A data set whose samples raise."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> None:
        raise self.error


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (UserError("data: no tiles;\nrun: prepare"), UserError, "data: no tiles;\nrun: prepare"),
        (FileNotFoundError(2, "No such file", "a/b.png"), UserError, "a/b.png: no such file; "),
        (AssertionError("failed to load image: a/b.png"), UserError, "a/b.png: not an image"),
        (ValueError("boxes: 3"), (ValueError, RuntimeError), "boxes: 3"),
    ],
)
def test_the_users_words_come_out_of_a_worker(workers: int, error: Exception, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as caught, plain_errors():
        next(iter(DataLoader(Failing(error), num_workers=workers)))
    assert str(caught.value).startswith(text)
    assert "Traceback" not in str(caught.value)
