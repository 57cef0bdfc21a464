"""Checkpoints that contradict themselves or the settings are refused."""

import io
import json
import zipfile

import keras
import numpy as np
import pytest
from slow import slow_but

from dipy_tractoencoder.errors import InputFileError
from dipy_tractoencoder.nn.build import build_model
from dipy_tractoencoder.training import checkpoint as module
from dipy_tractoencoder.training.checkpoint import Checkpoint
from dipy_tractoencoder.training.checkpoint_checks import check_phases, read_arrays
from dipy_tractoencoder.training.coefficient_trainer import trainer_of
from dipy_tractoencoder.training.resume import check_end, put_back
from dipy_tractoencoder.training.settings import TrainingSettings
from dipy_tractoencoder.training.train import run_training

NAN, INF = float("nan"), float("inf")
OPTIONS = {
    "n_points": 32,
    "latent_dim": 5,
    "epochs": 4,
    "batch_size": 15,
    "validation_fraction": 0.25,
    "rate_schedule": False,
}
STEPS = 3  # Per epoch.


class StopAfterTwo(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def content(bundles, tmp_path_factory):
    """Checkpoint after two of four epochs: what `about` says, and all arrays."""
    path = tmp_path_factory.mktemp("stopped") / "vae.checkpoint.npz"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SECONDS_BETWEEN_COPIES", 0)
        with pytest.raises(KeyboardInterrupt):
            run_training(
                bundles, **OPTIONS, checkpoint=path, callbacks=[StopAfterTwo()]
            )
    arrays = read_arrays(path)
    return json.loads(str(arrays.pop("about"))), arrays


def values(**changes):
    """Change values of the state."""
    return lambda about, arrays: about["phases"]["training"].update(changes)


def history(change):
    def apply(about, arrays):
        change(about["phases"]["training"]["history"])

    return apply


def of_about(**changes):
    return lambda about, arrays: about.update(changes)


def setting(name, value):
    return lambda about, arrays: about["settings"].update({name: value})


def array(number, change, part="variables"):
    """Change an array, counted from the end if negative."""

    def apply(about, arrays):
        names = sorted(name for name in arrays if f"/{part}/" in name)
        arrays[names[number]] = change(arrays[names[number]])

    return apply


def every(part, change):
    def apply(about, arrays):
        for name in arrays:
            if (
                f"/{part}/" in name
                and arrays[name].dtype.kind == "f"
                and arrays[name].ndim
            ):
                arrays[name] = change(arrays[name])

    return apply


def counters(n_steps):
    """Change the whole numbers that count the steps that were done."""

    def apply(about, arrays):
        found = [n for n, a in arrays.items() if a.shape == () and a == 2 * STEPS]
        assert found
        for name in found:
            arrays[name] = np.asarray(n_steps, arrays[name].dtype)

    return apply


def rates(rate):
    def apply(about, arrays):
        (name,) = (
            n for n, a in arrays.items() if a.shape == () and a == np.float32(2e-3)
        )
        arrays[name] = np.float32(rate)

    return apply


def drop(part, number):
    def apply(about, arrays):
        names = sorted(name for name in arrays if f"/{part}/" in name)
        del arrays[names[number]]

    return apply


def second_fit(about, arrays):
    about["phases"]["refit"] = about["phases"]["training"]


HOSTILE = {
    "epoch 10^9": values(epoch=10**9),
    "epoch 10^9, done": values(epoch=10**9, done=True),
    "epoch beyond the last": values(epoch=5),
    "epoch 0": values(epoch=0),
    "epoch 0, done": values(epoch=0, done=True, best_epoch=0),
    "negative epoch": values(epoch=-1),
    "half an epoch": values(epoch=1.5),
    "epoch of text": values(epoch="2"),
    "epoch of nan": values(epoch=NAN),
    "epoch without a number": values(epoch=None),
    "another epoch": values(epoch=3),
    "last epoch, not done": values(epoch=4),
    "done": values(done=True),
    "done of text": values(done="no"),
    "best of nan": values(best=NAN),
    "best of 0": values(best=0.0, best_epoch=0),
    "best of text": values(best="low"),
    "no best": values(best=None),
    "best -inf": values(best=-INF),
    "best epoch to come": values(best_epoch=3),
    "best epoch -1": values(best_epoch=-1),
    "best epoch of text": values(best_epoch="1"),
    "unknown value": values(other=1),
    "history of text": values(history="none"),
    "no history": values(history={}),
    "short history": history(lambda h: h["loss"].pop()),
    "history of one": history(lambda h: h.update(error_mm=3.0)),
    "history of nan": history(lambda h: h.update(error_mm=[NAN, NAN])),
    "history of texts": history(lambda h: h.update(other=["a", "b"])),
    "history without validation": history(lambda h: h.pop("val_error_mm")),
    "history without losses": history(lambda h: h.pop("loss")),
    "no phases": of_about(phases={}),
    "phases of another kind": of_about(phases=[1]),
    "unknown phase": of_about(phases={"other": {}}),
    "phase of text": of_about(phases={"training": "x"}),
    "refit without one": second_fit,
    "settings of text": of_about(settings="x"),
    "other settings": setting("epochs", 10**9),
    "long settings": setting("epochs", "9" * 10**5),
    "settings of nan": setting("learning_rate", NAN),
    "versions of text": of_about(versions="x"),
    "no backend": of_about(versions={}),
    "data of lists": of_about(data=[1]),
    "no data": of_about(data=None),
    "version of text": of_about(format_version="x"),
    "version of lists": of_about(format_version=[[1]] * 1000),
    "weights of nan": every("variables", lambda a: np.full_like(a, NAN)),
    "weights of zeros": every("variables", np.zeros_like),
    "best weights of nan": every("best_weights", lambda a: np.full_like(a, NAN)),
    "best weights of zeros": every("best_weights", np.zeros_like),
    "best weights of another shape": array(0, lambda a: a[None], "best_weights"),
    "best weights missing": drop("best_weights", -1),
    "array missing": drop("variables", 3),
    "last array missing": drop("variables", -1),
    "array of another shape": array(0, lambda a: a[None]),
    "array of texts": array(0, lambda a: np.array(["a"])),
    "array of complex numbers": array(0, lambda a: a.astype(complex)),
    "weights of whole numbers": every("variables", lambda a: a.astype(int)),
    "unknown array": lambda about, arrays: arrays.update(other=np.zeros(3)),
    "steps 10^9": counters(10**9),
    "steps 0": counters(0),
    "steps -1": counters(-1),
    "learning rate 0": rates(0),
    "learning rate 10^9": rates(1e9),
    "learning rate -1": rates(-1),
}


def hostile(content, path, name):
    about, arrays = content
    about, arrays = json.loads(json.dumps(about)), dict(arrays)
    HOSTILE[name](about, arrays)
    np.savez(path, about=np.array(json.dumps(about)), **arrays)


# Those that only show when they are compared with the model, or its errors.
TO_BUILD = {
    "best weights of another shape",
    "best weights missing",
    "last array missing",
    "array of another shape",
    "weights of whole numbers",
    "steps 10^9",
    "steps 0",
    "steps -1",
    "learning rate 0",
    "learning rate 10^9",
    "learning rate -1",
    "done",
}
TO_MEASURE = {"weights of zeros", "best weights of zeros", "best of 0"}


@pytest.fixture(scope="module")
def trainer(data):
    """Compile a model with the settings of the checkpoint."""
    settings = TrainingSettings(**OPTIONS)
    model = build_model(data.preprocessing, settings)
    model.ensure_built()
    trainer = trainer_of(model)
    trainer.compile(optimizer=keras.optimizers.Adam(2e-3, global_clipnorm=1.0))
    return trainer, model


def open_checkpoint(path, content):
    versions = content[0]["versions"]
    return Checkpoint(path, TrainingSettings(**OPTIONS), versions, resume=True)


@pytest.mark.parametrize("name", [name for name in HOSTILE if name not in TO_MEASURE])
def test_hostile_checkpoints_are_refused(content, trainer, data, tmp_path, name):
    path = tmp_path / "bad.checkpoint.npz"
    hostile(content, path, name)
    before = path.read_bytes()
    with pytest.raises(InputFileError, match="bad.checkpoint.npz.*`resume`") as caught:
        keeper = open_checkpoint(path, content)
        keeper.bind(data.points, data.source > 0, data.preprocessing)
    if name in TO_BUILD:  # Only the streamlines are others.
        assert "other streamlines" in str(caught.value)
        state = open_checkpoint(path, content).states["training"]
        trainer, model = trainer
        with pytest.raises(InputFileError, match="bad.checkpoint.npz") as caught:
            check_end(state, TrainingSettings(**OPTIONS), path, stoppable=False)
            put_back(
                trainer,
                state,
                path,
                counters=[model.step],
                steps_per_epoch=STEPS,
                rate=2e-3,
            )
    elif "data" not in name:
        assert "other streamlines" not in str(caught.value)
    assert path.read_bytes() == before
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", slow_but(TO_MEASURE, "best weights of zeros"))
def test_weights_have_the_errors_that_are_said(bundles, content, tmp_path, name):
    path = tmp_path / "bad.checkpoint.npz"
    hostile(content, path, name)
    with pytest.raises(InputFileError, match="bad.checkpoint.npz.*error of"):
        run_training(bundles, **OPTIONS, checkpoint=path, resume=True)


def test_the_unchanged_one_is_resumed(bundles, content, tmp_path):
    about, arrays = content
    path = tmp_path / "good.checkpoint.npz"
    np.savez(path, about=np.array(json.dumps(about)), **arrays)
    resumed = run_training(bundles, **OPTIONS, checkpoint=path, resume=True)
    assert len(resumed.model.record.history["loss"]) == 4


# The archive


def npy(shape, dtype="<f4", data=b""):
    """Content of an NPY file whose header claims a shape."""
    file = io.BytesIO()
    about = {"shape": shape, "fortran_order": False, "descr": dtype}
    np.lib.format.write_array_header_1_0(file, about)
    return file.getvalue() + data


@pytest.mark.parametrize(
    "content",
    [
        npy((10**12,)),
        npy((-4,), data=bytes(16)),
        npy((5,), data=bytes(16)),
        npy((3,), data=bytes(16)),
        npy((2,), "<c8", bytes(16)),
        npy((2,), "|O", bytes(16)),
        npy((2,), "<U0"),
        npy((4,), [("a", "<f4")], bytes(16)),
        b"\x93NUMPY\x09\x00" + bytes(99),
        b"\x93NUMPY\x01\x00\xff\xff{" + b" " * 99,
        b"text",
        b"",
    ],
    ids=range(12),
)
def test_arrays_that_are_not_there(tmp_path, content):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", content)
    with pytest.raises((ValueError, InputFileError)):
        read_arrays(path)


def test_compressed_archives_are_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(10**7))
    with pytest.raises(ValueError, match="x.npy is compressed"):
        read_arrays(tmp_path / "a.npz")


def test_one_changed_byte_is_found(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.zeros(1000))
    content = bytearray(path.read_bytes())
    content[4000] ^= 1
    path.write_bytes(content)
    with pytest.raises(zipfile.BadZipFile):
        read_arrays(path)


@pytest.mark.parametrize(
    "values",
    [np.arange(6.0).reshape(2, 3).T, np.array("text"), np.array(3), np.zeros((0, 3))],
)
def test_arrays_of_numpy_are_read(tmp_path, values):
    np.savez(tmp_path / "a.npz", x=values)
    read = read_arrays(tmp_path / "a.npz")["x"]
    np.testing.assert_array_equal(read, values)
    assert read.dtype == values.dtype


# A second fit


def state(epoch, **changes):
    return {
        "epoch": epoch,
        "done": True,
        "history": {n: [1.0] * epoch for n in ("loss", "error_mm", "learning_rate")},
        "best": None,
        "best_epoch": 0,
        **changes,
    }


def test_a_second_fit_follows_the_first():
    first = state(5, best=1.0, best_epoch=3)
    first["history"]["val_error_mm"] = [2.0, 2, 1, 2, 2]
    arrays = {"training/best_weights/00000": np.zeros(3)}
    settings = {"epochs": 5, "refit": True}
    phases = {"refit": state(3), "training": first}
    assert list(check_phases(phases, arrays, settings)) == ["training", "refit"]
    for wrong, options in (
        ({"refit": state(3)}, settings),
        ({**phases, "refit": state(4)}, settings),
        (phases, {**settings, "refit": False}),
        ({**phases, "training": {**first, "epoch": 4, "done": False}}, settings),
    ):
        with pytest.raises(ValueError):
            check_phases(wrong, arrays, options)
