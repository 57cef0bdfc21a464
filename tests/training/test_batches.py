"""Batches: their order, and how many steps run at once."""

import keras
import numpy as np
import pytest
from slow import slow

from dipy_tractoencoder.training.batches import ShuffledRows, steps_at_once
from dipy_tractoencoder.training.settings import TrainingSettings
from dipy_tractoencoder.training.train import run_training

QUICK = {
    "n_points": 32,
    "latent_dim": 5,
    "epochs": 4,
    "batch_size": 15,
    "validation_fraction": 0.25,
}


@pytest.mark.parametrize("steps_per_epoch, steps", [(1, 1), (7, 7), (60, 25)])
def test_steps_at_once(steps_per_epoch, steps, monkeypatch):
    monkeypatch.setattr(keras, "__version__", "3.15.0")
    assert steps_at_once(TrainingSettings(), steps_per_epoch) == steps
    assert steps_at_once(TrainingSettings(backbone="compact"), steps_per_epoch) == 1
    monkeypatch.setattr(keras, "__version__", "3.6.0")
    assert steps_at_once(TrainingSettings(), steps_per_epoch) == 1


@slow
@pytest.mark.parametrize("n_streamlines", [30, 57])
def test_steps_at_once_do_not_change_the_training(n_streamlines, lines, monkeypatch):
    some = lines[:n_streamlines]
    options = {"n_points": 16, "latent_dim": 3, "epochs": 3, "batch_size": 8}
    histories = []
    for at_once in (1, 25):
        monkeypatch.setattr(
            "dipy_tractoencoder.training.batches.STEPS_AT_ONCE", at_once
        )
        histories.append(run_training([some], **options).model.record.history)
    for name, values in histories[0].items():
        np.testing.assert_allclose(values, histories[1][name], rtol=1e-4, err_msg=name)


def test_each_epoch_has_its_own_order_and_every_row_once():
    rows = ShuffledRows(np.arange(10.0)[:, None], batch_size=4, seed=3)
    orders = []
    for epoch in (0, 1, 2, 1):
        rows.shuffle(epoch)
        batches = [rows[i][0] for i in range(rows.num_batches)]
        assert [len(batch) for batch in batches] == [4, 4, 2]
        orders.append(tuple(np.concatenate(batches).ravel()))
        assert sorted(orders[-1]) == list(range(10))
    assert orders[1] == orders[3]
    assert len(set(orders)) == 3


@slow
def test_training_sees_another_order_in_each_epoch(bundles, monkeypatch):
    seen = []
    shuffle = ShuffledRows.shuffle

    def spy(self, epoch):
        shuffle(self, epoch)
        seen.append(self.order.copy())

    monkeypatch.setattr(ShuffledRows, "shuffle", spy)
    run_training(bundles, **QUICK)
    assert len({tuple(order) for order in seen}) == QUICK["epochs"]
