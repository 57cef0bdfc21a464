"""Training on coefficients, with points read again, is training on points in memory."""

from dataclasses import replace
import tracemalloc

from keras import ops
from made_data import make_bundle, make_tractogram
import numpy as np
import pytest
from slow import slow, slow_but

from dipy_tractoencoder.errors import InputFileError
from dipy_tractoencoder.io.chunks import TractogramChunks
from dipy_tractoencoder.io.tractogram import save_tractogram
from dipy_tractoencoder.nn.provenance import fingerprint
from dipy_tractoencoder.streamlines.pca import fit_principal
from dipy_tractoencoder.streamlines.preprocessing import Preprocessing
from dipy_tractoencoder.training import measure, reader
from dipy_tractoencoder.training.coefficient_data import CoefficientData
from dipy_tractoencoder.training.coefficient_trainer import (
    Coefficients,
    coefficient_distances,
    inputs_of,
    trainer_of,
)
from dipy_tractoencoder.training.dataset import add_held_out, gather, split
from dipy_tractoencoder.training.fit import build_model, fit, train_with_settings
from dipy_tractoencoder.training.reader import RepeatedReader
from dipy_tractoencoder.training.settings import TrainingSettings
from dipy_tractoencoder.training.train import run_training
from dipy_tractoencoder.utils.again import Again

NAN = np.full((4, 3), np.nan, dtype=np.float32)
N_POINTS = 32
SETTINGS = TrainingSettings(n_points=N_POINTS, latent_dim=4, epochs=2, batch_size=15)
N_COMPONENTS = 64


@pytest.fixture
def read_again(monkeypatch):
    """Keep no points in memory that can be read again."""
    monkeypatch.setattr(reader, "MOST_KEPT", 0)


@pytest.fixture(scope="module")
def wiggly():
    """Tractograms that 64 directions do not hold, with some to be rejected."""
    rng = np.random.default_rng(1)
    lines = [
        (rng.normal(size=(rng.integers(30, 60), 3)).cumsum(axis=0) * 3).astype("f4")
        for _ in range(300)
    ]
    return [[NAN, *lines[:120]], [], [*lines[120:], NAN]]


@pytest.fixture
def files(wiggly, tmp_path):
    """Write what can be written of the same tractograms as files."""
    paths = [tmp_path / f"{number}.trk" for number in range(3)]
    for path, lines in zip(paths, wiggly):
        good = [line for line in lines if line is not NAN]
        save_tractogram(make_tractogram(good), path)
    return paths


def opened(paths, chunk_size=37):
    return [TractogramChunks(path, chunk_size=chunk_size) for path in paths]


def prepared(
    tractograms, held_out=None, *, max_streamlines=None, normalise=True, **more
):
    preprocessing = Preprocessing(n_points=N_POINTS, **more)
    source = RepeatedReader(
        tractograms, preprocessing, max_streamlines=max_streamlines, seed=2
    )
    data = CoefficientData(source, preprocessing, normalise=normalise)
    if held_out is None:
        held_out = split(data.source, 0.2, seed=0)
    data.survey(held_out, np.arange(len(data)))
    return data, held_out


def relative(found, wanted):
    """Largest difference, by the root mean square of the numbers."""
    return np.abs(found - wanted).max() / np.sqrt(np.square(wanted).mean())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_streamlines": 100},
        {"orientation": "as_is", "normalise": False},
        {"min_length": 150.0},
    ],
    ids=str,
)
def test_coefficients_are_those_of_points_in_memory(wiggly, read_again, options):
    options = dict(options)
    data, held_out = prepared(wiggly, **options)
    limits = {name: options.pop(name, None) for name in ("max_streamlines",)}
    normalise = options.pop("normalise", True)
    whole = gather(
        wiggly,
        Preprocessing(n_points=N_POINTS, **options),
        **limits,
        normalise=normalise,
        seed=2,
    )
    assert data.reads == whole.reads and data.n_read == whole.n_read == 302
    np.testing.assert_array_equal(data.source, whole.source)
    assert data.preprocessing.axis == whole.preprocessing.axis
    np.testing.assert_allclose(data.preprocessing.centre, whole.preprocessing.centre)
    np.testing.assert_allclose(data.preprocessing.scale, whole.preprocessing.scale)
    rows = np.arange(0, len(data), 3)
    np.testing.assert_allclose(data.some(rows), whole.some(rows), atol=1e-4)
    training, validation = data.coefficients(held_out, N_COMPONENTS)
    model = build_model(whole.preprocessing, replace(SETTINGS))
    for of_all in (False, True):
        points = whole.points if of_all else whole.points[~held_out]
        if of_all:
            training, nothing = data.coefficients(None, N_COMPONENTS)
            assert len(nothing) == 0
        principal = fit_principal(points, N_COMPONENTS)
        np.testing.assert_allclose(training.principal.mean, principal.mean, atol=1e-6)
        np.testing.assert_allclose(
            training.principal.total_variance, principal.total_variance, rtol=1e-5
        )
        model.set_principal(principal)
        wanted = inputs_of(trainer_of(model), points)
        assert training.inputs.dtype == np.float32 and wanted[:, -1].mean() > 1e-3
        assert relative(training.inputs[:, :-1], wanted[:, :-1]) < 1e-5
        assert relative(training.inputs[:, -1], wanted[:, -1]) < 1e-5
        if not of_all:  # The same sums in the same order.
            np.testing.assert_array_equal(training.inputs, wanted)
        if not of_all:
            wanted = inputs_of(trainer_of(model), whole.points[held_out])
            assert relative(validation, wanted) < 1e-5


def test_chunks_change_no_bit(files, wiggly, read_again):
    data, held_out = prepared(opened(files))
    training, validation = data.coefficients(held_out, N_COMPONENTS)
    for other in (opened(files, 300), [list(some) for some in opened(files, 9)]):
        if isinstance(other[0], list):
            other = [[line for chunk in some for line in chunk] for some in other]
        again, _ = prepared(other)
        assert again.preprocessing == data.preprocessing
        np.testing.assert_array_equal(again.identity, data.identity)
        found, held = again.coefficients(held_out, N_COMPONENTS)
        np.testing.assert_array_equal(found.inputs, training.inputs)
        np.testing.assert_array_equal(held, validation)
    changed, _ = prepared([wiggly[0], wiggly[2]])
    assert not np.array_equal(changed.identity, data.identity)


def test_kept_points_read_again_and_generators_give_the_same_model(
    files, wiggly, monkeypatch
):
    few = replace(SETTINGS, epochs=1, max_streamlines=90, seed=5)

    def model(tractograms):
        return train_with_settings(tractograms, few).model

    lines = [[line for chunk in some for line in chunk] for some in opened(files)]
    kept = model(opened(files))
    monkeypatch.setattr(reader, "MOST_KEPT", 0)
    again, once = model(opened(files)), model(iter(opened(files)))
    streams = model([iter(some) for some in lines])  # Each can be read only once.
    others = {fingerprint(other) for other in (kept, again, once, streams)}
    assert len(others) == 1
    assert kept.record.data["n_training"] == 81


def test_the_same_coefficients_give_the_same_model(data):
    points, preprocessing = data.points, data.preprocessing
    model, history, best = fit(points[::2], points[1::2], preprocessing, SETTINGS)
    trainer = trainer_of(model)
    prepared = Coefficients(
        fit_principal(points[::2], model.principal.n_components),
        inputs_of(trainer, points[::2]),
    )
    other, found, found_best = fit(
        prepared, inputs_of(trainer, points[1::2]), preprocessing, SETTINGS
    )
    assert (found, found_best) == (history, best)
    assert fingerprint(other) == fingerprint(model)


@pytest.mark.parametrize("options", [pytest.param({}, marks=slow), {"refit": True}])
def test_the_held_out_error_is_that_of_points_in_memory(wiggly, read_again, options):
    settings = replace(SETTINGS, epochs=6, validation_fraction=0.2, **options)
    run = train_with_settings(wiggly, settings)
    whole = gather(wiggly, Preprocessing(n_points=N_POINTS))
    held_out = split(whole.source, 0.2, seed=0)
    model, _, _ = fit(
        whole.points[~held_out],
        whole.points[held_out],
        whole.preprocessing,
        settings,
    )
    back = ops.convert_to_numpy(model(whole.points[held_out])["points"])
    off = np.square(back - whole.points[held_out], dtype=np.float64)
    wanted = whole.preprocessing.scale * np.sqrt(off.sum(axis=-1).mean())
    assert run.errors()["error_mm"] == pytest.approx(wanted, rel=0.01)
    assert run.errors()["n_streamlines"] == held_out.sum()


@pytest.mark.parametrize(
    "model, precision",
    [
        ("vae", "mixed_bfloat16"),
        pytest.param("vae", "float32", marks=slow),
        pytest.param("ae", "float32", marks=slow),
    ],
)
def test_distances_of_coefficients_are_those_of_points(wiggly, model, precision):
    from dipy_tractoencoder.latent.reconstruction import reconstruct_points
    from dipy_tractoencoder.streamlines.metrics import point_distance

    settings = replace(SETTINGS, model=model, precision=precision, linear_skip=False)
    run = train_with_settings(wiggly, settings)
    shown = run.model.preprocessing.normalise(run.points)
    inputs = run.model.principal_directions().whitened(shown)
    distances = coefficient_distances(run.model, inputs)
    sides = (
        reconstruct_points(run.model, run.points),
        run.model.pca_baseline().reconstruct(run.points),
    )
    for found, measured, side in zip(
        distances, (run.distance, run.pca_distance), sides, strict=True
    ):
        wanted = point_distance(run.points, side)
        np.testing.assert_allclose(found, wanted, rtol=2e-4)
        np.testing.assert_allclose(measured, wanted, rtol=2e-4)


def test_validation_tractograms_are_read_in_the_same_way(wiggly, read_again):
    run = train_with_settings(wiggly[:1], SETTINGS, validation=wiggly[1:])
    learned = gather(wiggly[:1], Preprocessing(n_points=N_POINTS))
    joined, held_out = add_held_out(learned, wiggly[1:])
    preprocessing = run.model.preprocessing
    np.testing.assert_allclose(preprocessing.centre, learned.preprocessing.centre)
    np.testing.assert_allclose(preprocessing.scale, learned.preprocessing.scale)
    assert set(run.source.tolist()) == {2}
    np.testing.assert_allclose(run.points, joined.some(held_out), atol=1e-4)
    assert run.model.record.data["n_validation"] == held_out.sum() == 180


@pytest.mark.parametrize("backbone", slow_but(["dense", "compact"], "dense"))
def test_errors_are_those_of_all_while_points_are_a_sample(
    bundles, backbone, monkeypatch
):
    options = {"n_points": N_POINTS, "latent_dim": 3, "epochs": 0, "backbone": backbone}
    whole = run_training(bundles, validation_fraction=0.5, **options)
    monkeypatch.setattr(measure, "MOST_SHOWN", 7)
    monkeypatch.setattr(measure, "ROWS_AT_A_TIME", 4)
    run = run_training(bundles, validation_fraction=0.5, **options)
    assert len(run.points) == len(run.reconstructed) == len(run.pca_reconstructed) == 7
    assert len(run.source) == len(run.distance) == len(whole.points) == 30
    assert run.errors() == pytest.approx(whole.errors())
    rows = {row.tobytes() for row in whole.points}
    assert all(row.tobytes() in rows for row in run.points)


# What changes while it is read


def change_at(tractograms, reading, change):
    """Give tractograms that are changed before a reading, counted from 0."""
    count = 0

    def start():
        nonlocal count
        if count == reading:
            change()
        count += 1
        return iter(tractograms())

    return Again(start)


@pytest.mark.parametrize("reading", [1, 2])
@pytest.mark.parametrize(
    "change, message",
    [
        (lambda lines: lines[:-1], "120 streamlines at the first reading, and 119"),
        (lambda lines: [*lines, lines[0]], "others at a later"),
        (lambda lines: [*lines, NAN], "and 121 at a later one"),
        (lambda lines: [lines[0] + np.float32(1), *lines[1:]], "others at a later"),
        (lambda lines: [lines[0][[0, -1]], *lines[1:]], "others at a later"),
        (lambda lines: lines[::-1], "others at a later"),
        (lambda lines: [], "and 0 at a later one"),
    ],
    ids=["less", "more", "more rejected", "moved", "in between", "order", "nothing"],
)
def test_a_file_that_changes_is_an_error(
    files, wiggly, read_again, reading, change, message
):
    path = files[0]

    def again():
        lines = [line for line in wiggly[0] if line is not NAN]
        some = change(lines)
        # Files cannot hold what is not finite.
        if any(line is NAN for line in some):
            some = [line if line is not NAN else line[:1] * 0 for line in some]
        save_tractogram(make_tractogram(some), path, overwrite=True)

    source = change_at(lambda: opened(files), reading, again)
    with pytest.raises(InputFileError, match=f"{path.name} has changed.*{message}"):
        train_with_settings(source, SETTINGS)


def test_a_file_that_goes_away_is_an_error(files, read_again):
    source = change_at(lambda: opened(files), 1, files[2].unlink)
    with pytest.raises(InputFileError, match=files[2].name):
        train_with_settings(source, SETTINGS)


@pytest.mark.parametrize(
    "change", [lambda files: files.pop(), lambda files: files.append(files[1])]
)
def test_fewer_or_more_tractograms_are_an_error(files, read_again, change):
    source = change_at(lambda: opened(files), 1, lambda: change(files))
    with pytest.raises(InputFileError, match="3 tractograms at the first reading"):
        train_with_settings(source, SETTINGS)


# Memory


def test_what_memory_grows_by_with_each_streamline(rng, tmp_path, monkeypatch):
    """Points would take 3,072 bytes each, and as much again to train on them."""
    monkeypatch.setattr(reader, "MOST_KEPT", 2**20)
    lines = make_bundle(rng, 512)  # Divides the blocks.
    peaks = []
    for n_copies in (16, 32):
        path = tmp_path / f"{n_copies}.trk"
        save_tractogram(make_tractogram(lines * n_copies), path)
        tracemalloc.start()
        preprocessing = Preprocessing()
        source = [TractogramChunks(path, chunk_size=2000)]
        data = CoefficientData(RepeatedReader(source, preprocessing), preprocessing)
        data.survey(np.zeros(len(data), dtype=bool), np.empty(0, dtype=int))
        training, _ = data.coefficients(None, N_COMPONENTS)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(training) == 512 * n_copies
    growth = (peaks[1] - peaks[0]) / (512 * 16)
    assert 260 <= growth < 500
