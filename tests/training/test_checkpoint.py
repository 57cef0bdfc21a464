"""A training that was stopped goes on as if it had not been."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

from flow_data import assert_refused, call_command, run_command
import keras
from made_data import make_tractogram
import numpy as np
import pytest
from slow import slow, slow_but

from dipy_tractoencoder import load_model, save_tractogram
from dipy_tractoencoder.errors import InputFileError, TrainingDivergedError
from dipy_tractoencoder.training import checkpoint as module
from dipy_tractoencoder.training.checkpoint import FORMAT_VERSION, Checkpoint, FitState
from dipy_tractoencoder.training.settings import TrainingSettings
from dipy_tractoencoder.training.train import run_training

QUICK = {
    "n_points": 32,
    "latent_dim": 5,
    "epochs": 4,
    "batch_size": 15,
    "validation_fraction": 0.25,
}
FREE = {"linear_skip": False, "learning_rate": 5e-3}
OPTIONS = {
    "dense": {},
    "patience": {"patience": 2, "learning_rate": 1e-5},
    "augment": {"orientation": "augment", "kl_annealing": "cyclical"},
    "constant rate": {"rate_schedule": False, "validation_fraction": 0},
    "compact": {"backbone": "compact", **FREE},
    "autoencoder": {"model": "ae", **FREE},
}


class StopAt(keras.callbacks.Callback):
    """Interrupt in the middle of an epoch; the best epoch is not asked."""

    def __init__(self, epoch):
        super().__init__()
        self.stop_at = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch >= self.stop_at:
            raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch):
    monkeypatch.setattr(module, "SECONDS_BETWEEN_WRITES", 0)
    monkeypatch.setattr(module, "SECONDS_BETWEEN_COPIES", 0)
    monkeypatch.setattr(module, "WRITING_FRACTION", 1e9)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "vae.checkpoint.npz"


def assert_same(run, other):
    assert run.model.record == other.model.record
    for first, second in zip(run.model.get_weights(), other.model.get_weights()):
        np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(run.reconstructed, other.reconstructed)


def stopped(bundles, path, epoch, **options):
    with pytest.raises(KeyboardInterrupt):
        run_training(
            bundles, **options, checkpoint=path, resume=True, callbacks=[StopAt(epoch)]
        )


@pytest.fixture(scope="module")
def whole(bundles):
    """Train without a stop."""
    return run_training(bundles, **QUICK)


@pytest.fixture(scope="module")
def content(bundles, tmp_path_factory):
    """Bytes of what a training leaves that was stopped in its third epoch."""
    path = tmp_path_factory.mktemp("stopped") / "vae.checkpoint.npz"
    stopped(bundles, path, 2, **QUICK)
    return path.read_bytes()


@pytest.fixture
def left(content, path):
    """Path of the checkpoint of a training that was stopped."""
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", slow_but(OPTIONS, "dense"))
def test_the_same_model_as_without_stops(name, bundles, path):
    options = {**QUICK, **OPTIONS[name]}
    whole = run_training(bundles, **options)
    stopped(bundles, path, 1, **options)
    resumed = run_training(bundles, **options, checkpoint=path, resume=True)
    assert_same(resumed, whole)
    # The file stays, and says that all is done.
    again = run_training(
        bundles, **options, checkpoint=path, resume=True, callbacks=[StopAt(0)]
    )
    assert_same(again, whole)


@slow
def test_stops_in_both_parts_of_a_refit(bundles, path, monkeypatch):
    options = {**QUICK, **OPTIONS["compact"], "refit": True}
    whole = run_training(bundles, **options)
    assert whole.model.record.best_epoch > 2
    stopped(bundles, path, 2, **options)
    kept = Checkpoint.keep

    def stop_in_refit(self, phase, state):
        kept(self, phase, state)
        if phase == "refit" and state.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "keep", stop_in_refit)
    with pytest.raises(KeyboardInterrupt):
        run_training(bundles, **options, checkpoint=path, resume=True)
    monkeypatch.setattr(Checkpoint, "keep", kept)
    assert_same(run_training(bundles, **options, checkpoint=path, resume=True), whole)


def test_an_interruption_writes_what_is_only_in_memory(bundles, path, monkeypatch):
    monkeypatch.setattr(module, "SECONDS_BETWEEN_WRITES", 1e9)
    stopped(bundles, path, 2, **QUICK)
    with np.load(path) as file:
        about = json.loads(str(file["about"]))
    assert about["phases"]["training"]["epoch"] == 2


def test_writing_takes_a_small_share_of_the_time(path, monkeypatch):
    now = [0.0]

    def tick(seconds):
        now[0] += seconds

    monkeypatch.setattr(module, "SECONDS_BETWEEN_WRITES", 5)
    monkeypatch.setattr(module, "WRITING_FRACTION", 0.02)
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module.np, "savez", lambda *args, **kwargs: tick(2))
    keeper = Checkpoint(path, TrainingSettings(), {"backend": "x"})
    for _ in range(1000):
        tick(1)
        keeper.keep("training", FitState(epoch=1))
    assert 1000 < now[0] <= 1030


@pytest.mark.slow
def test_without_resume_the_training_starts_anew(bundles, left):
    with pytest.raises(KeyboardInterrupt):
        run_training(bundles, **QUICK, checkpoint=left, callbacks=[StopAt(0)])


@pytest.mark.slow
def test_resume_without_a_file_starts_from_the_beginning(bundles, path, whole, caplog):
    caplog.set_level("INFO")
    resumed = run_training(bundles, **QUICK, checkpoint=path, resume=True)
    assert path.name in caplog.text
    assert_same(resumed, whole)


@pytest.mark.slow
def test_a_diverged_training_leaves_no_checkpoint(bundles, path):
    class Diverge(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise TrainingDivergedError("lost")

    with pytest.raises(TrainingDivergedError):
        run_training(bundles, **QUICK, checkpoint=path, callbacks=[Diverge()])
    assert not path.exists()


@pytest.mark.slow
def test_a_full_disk_does_not_end_the_training(bundles, path, monkeypatch, caplog):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.np, "savez", full)
    run_training(bundles, **QUICK, checkpoint=path)
    assert caplog.text.count("No space left on device") == 1  # Not each epoch.
    assert not list(path.parent.iterdir())


# Another training, or a broken file


@pytest.mark.parametrize(
    "options, says",
    [
        ({"epochs": 9}, "epochs=4 not 9"),
        ({"seed": 1}, "seed=0 not 1"),
        ({"backbone": "compact"}, "backbone='dense' not 'compact'"),
    ],
)
def test_other_settings_are_refused(bundles, left, options, says):
    before = left.read_bytes()
    with pytest.raises(InputFileError, match=says):
        run_training(bundles, **{**QUICK, **options}, checkpoint=left, resume=True)
    assert left.read_bytes() == before


def test_other_streamlines_are_refused(bundles, left):
    before = left.read_bytes()
    moved = [[line + np.float32(1e-3) for line in bundle] for bundle in bundles]
    for other in (moved, bundles[::-1]):
        with pytest.raises(InputFileError, match="streamlines"):
            run_training(other, **QUICK, checkpoint=left, resume=True)
    assert left.read_bytes() == before


def change_about(path, **values):
    with np.load(path) as file:
        arrays = dict(file)
    about = {**json.loads(str(arrays.pop("about"))), **values}
    np.savez(path, about=np.array(json.dumps(about)), **arrays)


def test_another_backend_is_refused_and_other_versions_are_said(
    bundles, left, whole, caplog
):
    versions = whole.model.record.versions
    change_about(left, versions={**versions, "backend": "other"})
    with pytest.raises(InputFileError, match="KERAS_BACKEND"):
        run_training(bundles, **QUICK, checkpoint=left, resume=True)
    change_about(left, versions={**versions, "numpy": "0.1"})
    run_training(bundles, **QUICK, checkpoint=left, resume=True)
    warned = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert any("numpy" in message for message in warned)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_cut_short(bundles, path, content, share):
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputFileError, match="vae.checkpoint.npz.*`resume`"):
        run_training(bundles, **QUICK, checkpoint=path, resume=True)


def test_other_contents(bundles, path, content):
    for arrays in (
        {"x": np.zeros(3)},
        {"about": np.array("[]")},
        {"about": np.array("{")},
        {"about": np.array({"a": 1}, dtype=object)},
    ):
        np.savez(path, **arrays, allow_pickle=True)
        with pytest.raises(InputFileError, match=path.name):
            run_training(bundles, **QUICK, checkpoint=path, resume=True)
    (fine := path.with_name("fine.npz")).write_bytes(content)
    change_about(fine, format_version=FORMAT_VERSION + 1)
    with pytest.raises(InputFileError, match=f"version {FORMAT_VERSION + 1}"):
        run_training(bundles, **QUICK, checkpoint=fine, resume=True)


def test_arrays_of_another_model(bundles, left):
    with np.load(left) as file:
        arrays = dict(file)
    arrays["training/variables/00000"] = np.zeros((3, 3), dtype=np.float32)
    np.savez(left, **arrays)
    with pytest.raises(InputFileError, match=f"{left.name}.*model"):
        run_training(bundles, **QUICK, checkpoint=left, resume=True)


# The command


@pytest.fixture
def here(bundles, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_tractogram(make_tractogram([x for b in bundles for x in b]), "a.trk")
    return tmp_path


ARGUMENTS = ("a.trk", "--n_points", 32, "--latent_dim", 3, "--epochs", 4)


@pytest.mark.slow
def test_command_keeps_resumes_and_cleans_up(here, capsys, monkeypatch):
    def call(*more):
        return call_command(capsys, "dipy_train_vae", *ARGUMENTS, *more)

    from dipy_tractoencoder.viz import base as plotting

    figure = plotting.training_figure

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    whole = call("--out_dir", "whole")
    assert whole.code == 0, whole.err
    assert sorted(path.name for path in (here / "whole").iterdir()) == [
        "history.csv",
        "report.html",
        "training.png",
        "vae.keras",
    ]
    monkeypatch.setattr(plotting, "training_figure", interrupt)
    assert_refused(call("--out_dir", "out"), "Interrupted", code=130)
    kept = here / "out" / "vae.checkpoint.npz"
    assert kept.is_file()
    monkeypatch.setattr(plotting, "training_figure", figure)
    assert_refused(call("--out_dir", "out"), kept.name, "--resume", "--force")
    assert_refused(
        call("--out_dir", "out", "--resume", "--seed", 1), "seed=0 not 1", kept.name
    )
    # As if it had been killed between its outputs.
    (here / "out" / "history.csv").write_text("half")
    resumed = call("--out_dir", "out", "--resume")
    assert resumed.code == 0, resumed.err
    assert f"{kept.name} (" in resumed.out
    assert not kept.exists()
    first, second = (load_model(here / d / "vae.keras") for d in ("whole", "out"))
    for one, other in zip(first.get_weights(), second.get_weights()):
        np.testing.assert_array_equal(one, other)
    table = "history.csv"
    assert (here / "out" / table).read_text(encoding="utf-8") == (
        here / "whole" / table
    ).read_text(encoding="utf-8")
    # Nothing to resume any more, and nothing of it replaced.
    assert_refused(call("--out_dir", "out", "--resume"), "Output exists")


# Jobs that a shell runs in the background ignore SIGINT, and pass that on.
HEARS_SIGINT = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number, code", [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_saves_and_ends_the_process(here, number, code):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    script = os.path.join(os.path.dirname(sys.executable), "dipy_train_vae")
    arguments = (*ARGUMENTS[:-1], 100000, "--backbone", "compact", "--no_linear_skip")
    process = subprocess.Popen(
        [sys.executable, "-c", HEARS_SIGINT, script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=here,
        env=environment,
    )
    kept = here / "vae.checkpoint.npz"
    try:
        deadline = time.monotonic() + 300
        while not kept.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(getattr(signal, number))
        out, err = process.communicate(timeout=200)
    finally:
        process.kill()  # Does nothing to one that has ended.
    assert process.returncode == code, err
    (line,) = (line for line in err.splitlines() if line.startswith("ERROR"))
    assert number in line
    assert kept.name in out
    assert "--resume" in out
    names = sorted(path.name for path in here.iterdir())
    assert names == ["a.trk", kept.name]
    resumed = run_command(
        "dipy_train_vae", *arguments[:-4], 2, *arguments[-3:], "--resume", cwd=here
    )
    assert_refused(resumed, "epochs=100000 not 2")
