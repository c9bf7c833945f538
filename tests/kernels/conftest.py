import pytest

from keras_transformer import kernels


@pytest.fixture(autouse=True)
def fast():
    """Fast forms are tested even where the environment asks for plain ones."""
    with kernels.plain_only(False):
        yield
