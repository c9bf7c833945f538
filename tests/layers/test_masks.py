"""Masks of attention: True keeps, whatever shape they come in."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_transformer.layers import masks

PADDING = np.array([[True, True, False], [True, False, False]])


def values(mask):
    return ops.convert_to_numpy(mask)


def test_a_mask_of_keys_is_the_same_for_all_heads_and_queries():
    found = masks.keys_mask(PADDING)
    assert found.shape == (2, 1, 1, 3)
    np.testing.assert_array_equal(values(found)[:, 0, 0], PADDING)
    np.testing.assert_array_equal(values(masks.keys_mask(PADDING * 1)), values(found))
    assert masks.keys_mask(None) is None


@pytest.mark.parametrize(
    ("shape", "full"),
    [
        ((4, 3), (1, 1, 4, 3)),
        ((2, 4, 3), (2, 1, 4, 3)),
        ((2, 5, 4, 3), (2, 5, 4, 3)),
    ],
)
def test_a_mask_of_pairs_gets_the_axes_that_it_lacks(shape, full):
    mask = np.random.default_rng(0).integers(0, 2, shape)
    found = masks.full_mask(mask)
    assert found.shape == full
    np.testing.assert_array_equal(values(found).reshape(shape), mask.astype("bool"))
    assert masks.full_mask(None) is None


def test_a_query_sees_itself_and_what_was_before_it():
    found = masks.causal_mask(np.arange(2, 5), np.arange(5))
    expected = [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    np.testing.assert_array_equal(values(found)[0, 0], expected)


def test_joined_masks_keep_what_all_of_them_keep():
    one, other = masks.keys_mask(PADDING), masks.full_mask(np.tri(3))
    joined = values(masks.join_masks(None, one, None, other))
    expected = PADDING[:, None, :] & (np.tri(3) > 0)
    np.testing.assert_array_equal(joined[:, 0], expected)
    assert masks.join_masks(None, None) is None
    assert masks.join_masks(None, one) is one


def test_an_explicit_mask_is_joined_with_that_of_the_tensor():
    embedded = keras.layers.Embedding(9, 4, mask_zero=True)(np.array([[5, 7, 0]]))
    np.testing.assert_array_equal(
        values(masks.combined_mask(embedded)), [[True, True, False]]
    )
    explicit = np.array([[False, True, True]])
    np.testing.assert_array_equal(
        values(masks.combined_mask(embedded, explicit)), [[False, True, False]]
    )
    plain = ops.convert_to_tensor(np.ones((1, 3, 4)))
    assert masks.combined_mask(plain) is None
    np.testing.assert_array_equal(
        values(masks.combined_mask(plain, explicit)), explicit
    )
