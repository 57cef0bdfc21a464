from keras import ops
import numpy as np
import pytest

from dipy_tractoencoder.errors import InvalidArgumentError
from dipy_tractoencoder.nn.annealing import anneal
from dipy_tractoencoder.nn.architecture import KL_ANNEALINGS

# Schedule, options, and the share at each point of the training, by hand.
TABLES = [
    ("constant", {}, {0: 1, 0.001: 1, 0.5: 1, 1: 1}),
    ("warmup", {}, {0: 0, 0.03: 0.1, 0.15: 0.5, 0.3: 1, 0.31: 1, 0.7: 1, 1: 1}),
    ("warmup", {"rise": 0.5}, {0: 0, 0.1: 0.2, 0.25: 0.5, 0.5: 1, 0.9: 1, 1: 1}),
    ("warmup", {"rise": 1.0}, {0: 0, 0.25: 0.25, 0.9: 0.9, 1: 1}),
    (
        "cyclical",
        {},
        {
            0: 0,
            0.0625: 0.5,
            0.125: 1,
            0.1875: 1,
            0.2499: 1,
            0.25: 0,
            0.3125: 0.5,
            0.375: 1,
            0.4999: 1,
            0.5: 0,
            0.75: 0,
            0.78125: 0.25,
            0.875: 1,
            0.9375: 1,
            1: 1,
        },
    ),
    ("cyclical", {"n_cycles": 1}, {0: 0, 0.25: 0.5, 0.5: 1, 0.99: 1, 1: 1}),
    ("cyclical", {"n_cycles": 2}, {0: 0, 0.125: 0.5, 0.25: 1, 0.5: 0, 0.625: 0.5}),
    (
        "rise_and_fall",
        {},
        {0: 0, 0.15: 0.5, 0.3: 1, 0.475: 0.775, 0.65: 0.55, 0.825: 0.325, 1: 0.1},
    ),
    (
        "rise_and_fall",
        {"rise": 0.5, "floor": 0.0},
        {0: 0, 0.25: 0.5, 0.5: 1, 0.75: 0.5, 1: 0},
    ),
    ("rise_and_fall", {"rise": 1.0}, {0: 0, 0.5: 0.5, 1: 1}),
]


@pytest.mark.parametrize("kl_annealing, options, table", TABLES)
def test_table_of_values(kl_annealing, options, table):
    for progress, expected in table.items():
        share = float(anneal(kl_annealing, progress, **options))
        assert share == pytest.approx(expected, abs=1e-5), progress


@pytest.mark.parametrize("kl_annealing, options, table", TABLES)
def test_works_on_arrays_as_on_numbers(kl_annealing, options, table):
    shares = anneal(kl_annealing, np.array(list(table), dtype=np.float32), **options)
    shares = ops.convert_to_numpy(shares)
    assert shares.shape == (len(table),)
    np.testing.assert_allclose(shares, list(table.values()), atol=1e-5)


def test_every_schedule_has_a_table():
    assert {name for name, _, _ in TABLES} == set(KL_ANNEALINGS)


@pytest.mark.parametrize("kl_annealing", KL_ANNEALINGS)
@pytest.mark.parametrize("rise, n_cycles, floor", [(0.3, 4, 0.1), (0.01, 7, 1.0)])
def test_bounds(kl_annealing, rise, n_cycles, floor):
    progress = np.linspace(-0.5, 1.5, 2001, dtype=np.float32)
    shares = ops.convert_to_numpy(
        anneal(kl_annealing, progress, rise=rise, n_cycles=n_cycles, floor=floor)
    )
    assert shares.min() >= 0 and shares.max() <= 1
    assert shares.max() == pytest.approx(1, abs=0.11)
    # Outside of the training the weight is that of its start or end.
    assert (shares[progress < 0] == shares[progress == 0]).all()
    assert (shares[progress > 1] == shares[progress == 1]).all()


@pytest.mark.parametrize(
    "options, name",
    [
        ({"kl_annealing": "sigmoid"}, "kl_annealing"),
        ({"rise": 0}, "rise"),
        ({"rise": 1.5}, "rise"),
        ({"n_cycles": 0}, "n_cycles"),
        ({"n_cycles": 1.5}, "n_cycles"),
    ],
)
def test_bad_options(options, name):
    with pytest.raises(InvalidArgumentError, match=f"`{name}`"):
        anneal(**{"kl_annealing": "cyclical", "progress": 0.5, **options})
