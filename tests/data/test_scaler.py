"""TimeSeriesScaler is StandardScaler for any leading shape, and survives JSON."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.preprocessing import StandardScaler

from forecast.data import TimeSeriesScaler

VALUES = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=4, max_side=6),
    elements=st.floats(-1e6, 1e6, allow_nan=False, width=32),
)


@given(VALUES)
def test_arithmetic_is_standard_scaler_s(values):
    rows = values.reshape(-1, values.shape[-1])
    oracle = StandardScaler().fit(rows)
    scaler = TimeSeriesScaler().fit(values)
    np.testing.assert_allclose(scaler.mean_, oracle.mean_, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(scaler.scale_, oracle.scale_, rtol=1e-9)
    expected = oracle.transform(rows).reshape(values.shape)
    np.testing.assert_allclose(scaler.transform(values), expected, rtol=1e-6, atol=1e-6)


@given(VALUES)
def test_inverse_undoes_transform(values):
    scaler = TimeSeriesScaler().fit(values)
    back = scaler.inverse_transform(scaler.transform(values))
    np.testing.assert_allclose(back, values, rtol=1e-9, atol=1e-6)


def test_constant_feature_is_centred_only():
    values = np.column_stack([np.full(50, 0.1), np.arange(50.0)])
    scaler = TimeSeriesScaler().fit(values)
    assert scaler.scale_[0] == 1.0
    np.testing.assert_allclose(scaler.transform(values)[:, 0], 0.0, atol=1e-12)


def test_without_centring_zero_stays_zero():
    scaler = TimeSeriesScaler(center=False).fit(np.arange(10.0)[:, None] + 5)
    assert scaler.transform(np.zeros((1, 1)))[0, 0] == 0.0


@given(VALUES)
def test_json_round_trip_is_exact(values):
    scaler = TimeSeriesScaler().fit(values)
    restored = TimeSeriesScaler.from_json(json.loads(json.dumps(scaler.to_json())))
    np.testing.assert_array_equal(restored.transform(values), scaler.transform(values))


def test_nothing_to_fit():
    with pytest.raises(ValueError, match="at least one row"):
        TimeSeriesScaler().fit(np.empty((0, 3)))
