"""The scikit-learn transformer: its own behaviour, and scikit-learn's checks."""

from dataclasses import fields
import inspect
import pickle
from types import SimpleNamespace
import warnings

from made_data import make_tractogram
from nibabel.streamlines import ArraySequence
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from slow import slow

import dipy_tractoencoder as dte
from dipy_tractoencoder.errors import EmptyDataError, InvalidArgumentError
from dipy_tractoencoder.streamlines.metrics import point_distance, pooled_distance
from dipy_tractoencoder.training.settings import TrainingSettings

# PCA's solution: what training adds is tested with training.
SMALL = {"n_points": 16, "latent_dim": 3, "epochs": 0}
# A streamline of one point, and one that is nowhere.
FAULTY = [np.zeros((1, 3)), np.full((5, 3), np.nan)]


@pytest.fixture(scope="module")
def fitted(lines):
    """Fit a transformer to the three made bundles; not to be changed."""
    return dte.StreamlineEmbedding(**SMALL).fit(lines)


@pytest.fixture(scope="module")
def labels(bundles):
    return np.repeat(np.arange(len(bundles)), [len(bundle) for bundle in bundles])


def test_parameters_are_the_settings_with_their_defaults():
    own = inspect.signature(dte.StreamlineEmbedding).parameters
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in own.values())
    settings = {field.name: field.default for field in fields(TrainingSettings)}
    assert {n: p.default for n, p in own.items()} == {
        **settings,
        "rejects": "raise",
        "reference": None,
    }
    assert list(own)[: len(settings)] == list(settings)
    types = {field.name: field.type for field in fields(TrainingSettings)}
    assert {name: own[name].annotation for name in settings} == types


def test_settings_reach_the_training(fitted, lines, monkeypatch):
    from dipy_tractoencoder.training import fit as training

    given = []

    def record(tractograms, settings):
        given.append((list(tractograms), settings))
        return SimpleNamespace(model=fitted.model_)

    monkeypatch.setattr(training, "train_with_settings", record)
    changed = {"model": "ae", "orientation": "as_is", "min_length": 2.0, "seed": 3}
    assert dte.StreamlineEmbedding(**changed).fit(lines).model_ is fitted.model_
    assert given == [([lines], TrainingSettings(**changed))]


def test_latents_are_those_of_the_library(fitted, lines):
    model = dte.train(lines, **SMALL)
    latents = dte.encode(model, lines)
    found = fitted.transform(lines)
    assert found.dtype == np.float32
    assert np.array_equal(found, latents.mean)
    assert fitted.n_features_out_ == found.shape[1] == 3
    assert fitted.model_.record.settings == model.record.settings


def test_epochs_train(fitted, lines):
    options = {**SMALL, "epochs": 2, "batch_size": 15, "validation_fraction": 0}
    embedding = dte.StreamlineEmbedding(**options)
    found = embedding.fit_transform(lines)
    assert embedding.model_.record.best_epoch == 2
    assert np.array_equal(found, dte.encode(embedding.model_, lines).mean)


def test_back_to_points(fitted, lines):
    array = fitted.model_.preprocessing.array(lines)
    points = fitted.inverse_transform(fitted.transform(lines))
    assert points.shape == (len(lines), 16, 3)
    error = pooled_distance(point_distance(array.points, points))
    assert 0 < error < 10
    assert fitted.score(lines) == pytest.approx(-error)


def test_names_of_the_latents(fitted):
    names = [f"streamlineembedding{k}" for k in range(3)]
    assert fitted.get_feature_names_out().tolist() == names


# What is read


def test_every_kind_of_streamlines_gives_the_same_rows(fitted, lines, tmp_path):
    expected = fitted.transform(lines)
    tractogram = make_tractogram(lines)
    same = [ArraySequence(lines), tuple(lines), tractogram, [lines[:7], lines[7:]]]
    for given in same:
        assert np.array_equal(fitted.transform(given), expected)
    halves = []
    for number, rows in enumerate((slice(0, 40), slice(40, None))):
        halves.append(tmp_path / f"{number}.trk")
        dte.save_tractogram(tractogram[rows], halves[-1])
    # The file's voxel space costs a few bits.
    assert np.allclose(fitted.transform(halves), expected, atol=1e-3)
    assert np.allclose(fitted.transform(str(halves[1])), expected[40:], atol=1e-3)
    array = fitted.model_.preprocessing.array(lines).points
    assert np.array_equal(fitted.transform(array), fitted.transform(list(array)))


def test_space_of_a_tractogram_is_left_as_it_is(fitted, lines):
    tractogram = make_tractogram(lines)
    tractogram.to_vox()
    found = fitted.transform(tractogram)
    assert np.allclose(found, fitted.transform(lines), atol=1e-3)
    assert tractogram.space.value == "vox"


def test_files_train_as_streamlines_do(lines, tmp_path):
    dte.save_tractogram(make_tractogram(lines), tmp_path / "a.tck")
    dte.save_tractogram(make_tractogram(lines[:1]), tmp_path / "space.trk")
    embedding = dte.StreamlineEmbedding(**SMALL, reference=tmp_path / "space.trk")
    found = embedding.fit_transform([tmp_path / "a.tck"])
    expected = dte.StreamlineEmbedding(**SMALL).fit_transform(lines)
    assert np.allclose(found, expected, atol=1e-3)


def test_chunks_have_no_part_in_the_result(fitted, lines, monkeypatch):
    from dipy_tractoencoder.io import chunks

    expected, score = fitted.transform(lines), fitted.score(lines)
    monkeypatch.setattr(chunks, "CHUNK_SIZE", 7)
    assert len(list(chunks.each_chunk(lines))) == 9
    assert np.allclose(fitted.transform(lines), expected, atol=1e-4)
    assert np.isclose(fitted.score(lines), score)


@pytest.mark.parametrize(
    "given",
    [
        3,
        None,
        {"a": 1},
        np.zeros((4, 3)),
        np.zeros((4, 7)),
        ["nothing.trk"],
        iter([np.zeros((4, 3))]),
        np.zeros((4, 5, 3), dtype=complex),
        np.array([["a", "b"]], dtype=object),
        np.zeros(3),
    ],
    ids=[
        *("number", "none", "dict", "one streamline", "table", "no file", "iterator"),
        *("complex", "words", "one point"),
    ],
)
def test_what_holds_no_streamlines_is_refused(fitted, given):
    for use in (fitted.transform, fitted.score, dte.StreamlineEmbedding().fit):
        with pytest.raises(dte.TractoencoderError, match="streamline|not found"):
            use(given)


def test_no_streamlines_give_no_rows(fitted):
    assert fitted.transform([]).shape == (0, 3)
    assert fitted.inverse_transform(np.empty((0, 3))).shape == (0, 16, 3)
    for use in (fitted.score, dte.StreamlineEmbedding(**SMALL).fit):
        with pytest.raises(EmptyDataError):
            use([])


# Streamlines that cannot be encoded


def test_rejects_are_named_before_any_training(fitted, lines, monkeypatch):
    from dipy_tractoencoder.training import fit as training

    mixed = [*lines[:3], FAULTY[0], *lines[3:], FAULTY[1]]
    monkeypatch.setattr(training, "train_with_settings", None)
    named = r"2 of 62 .* 3 \(too_few_points\), 61 \(non_finite\)\. .*rejects=\"nan\""
    for use in (fitted.transform, fitted.score, clone(fitted).fit):
        with pytest.raises(InvalidArgumentError, match=named):
            use(mixed)


def test_limits_of_length_count_as_rejects(lines):
    length = np.linalg.norm(np.diff(lines[0], axis=0), axis=1).sum()
    embedding = dte.StreamlineEmbedding(**SMALL, min_length=length + 1e-3)
    with pytest.raises(InvalidArgumentError, match=r"0 \(too_short\)"):
        embedding.fit(lines)


def test_many_rejects_are_counted(fitted):
    with pytest.raises(InvalidArgumentError, match="12 of 12 .* and 2 more"):
        fitted.transform([FAULTY[0]] * 12)


def test_rejects_as_rows_of_nan(lines):
    mixed = [*lines[:3], FAULTY[0], *lines[3:], FAULTY[1]]
    is_bad = np.isin(np.arange(len(mixed)), [3, 61])
    embedding = dte.StreamlineEmbedding(**SMALL, rejects="nan")
    found = embedding.fit_transform(mixed)
    assert np.array_equal(np.isnan(found).all(axis=1), is_bad)
    assert np.isfinite(found[~is_bad]).all()
    plain = dte.StreamlineEmbedding(**SMALL).fit(lines)
    assert np.array_equal(found[~is_bad], plain.transform(lines))
    assert embedding.score(mixed) == plain.score(lines)
    points = embedding.inverse_transform(found)
    assert np.isnan(points[is_bad]).all()
    decoded = plain.inverse_transform(found[~is_bad])
    assert np.allclose(points[~is_bad], decoded, atol=1e-4)
    with pytest.raises(InvalidArgumentError, match="row 3"):
        plain.inverse_transform(found)
    # Half a row of nan is no streamline that was rejected.
    found[0, 0] = np.nan
    with pytest.raises(InvalidArgumentError, match="row 0"):
        embedding.inverse_transform(found)


def test_unknown_ways_with_rejects_are_refused(lines):
    with pytest.raises(InvalidArgumentError, match="`rejects`"):
        dte.StreamlineEmbedding(**SMALL, rejects="drop").fit(lines)


# As an estimator


def test_clone_is_not_fitted(fitted, lines):
    other = clone(fitted.set_params(seed=0))
    assert other.get_params() == fitted.get_params()
    for use in (other.transform, other.inverse_transform, other.score):
        with pytest.raises(NotFittedError):
            use(lines)
    with pytest.raises(NotFittedError):
        other.get_feature_names_out()


def test_wrong_parameters_show_when_fitted(lines):
    embedding = dte.StreamlineEmbedding(**SMALL).set_params(model="gan")
    with pytest.raises(InvalidArgumentError, match="`model`"):
        embedding.fit(lines)
    with pytest.raises(ValueError, match="nothing"):
        embedding.set_params(nothing=1)


def test_pickle_holds_the_model_file_and_no_object_of_keras(fitted, lines):
    from dipy_tractoencoder.nn.provenance import fingerprint

    data = pickle.dumps(fitted)
    assert b"tractoencoder.json" in data
    state = fitted.__getstate__()
    assert isinstance(state["model_"], bytes)
    other = pickle.loads(data)
    assert fingerprint(other.model_) == fingerprint(fitted.model_)
    assert np.array_equal(other.transform(lines), fitted.transform(lines))
    assert other.model_.record.settings == fitted.model_.record.settings
    with pytest.raises(NotFittedError):
        pickle.loads(pickle.dumps(clone(fitted))).transform(lines)


def test_pipeline_clusters_and_classifies(lines, labels):
    clusters = make_pipeline(
        dte.StreamlineEmbedding(**SMALL), KMeans(3, n_init=5, random_state=0)
    ).fit_predict(lines)
    pairs = set(zip(clusters, labels))
    assert len(pairs) == 3  # One cluster, one bundle.
    classifier = make_pipeline(
        dte.StreamlineEmbedding(**SMALL), KNeighborsClassifier(3)
    )
    assert cross_val_score(classifier, lines, labels, cv=2).mean() == 1
    assert classifier.fit(ArraySequence(lines), labels).score(lines, labels) == 1


@slow
def test_grid_search_over_the_size_of_the_latent(lines, labels):
    pipeline = make_pipeline(dte.StreamlineEmbedding(**SMALL), KNeighborsClassifier(3))
    halves = [(np.arange(0, 60, 2), np.arange(1, 60, 2))]
    grid = {"streamlineembedding__latent_dim": [1, 2]}
    search = GridSearchCV(pipeline, grid, cv=halves).fit(lines, labels)
    assert search.predict(lines).tolist() == labels.tolist()
    # Without labels its own score chooses: more numbers, less error.
    alone = dte.StreamlineEmbedding(**SMALL)
    search = GridSearchCV(alone, {"latent_dim": [1, 4]}, cv=halves, refit=False)
    assert search.fit(lines).best_params_ == {"latent_dim": 4}


def test_tables_of_named_columns(fitted, lines):
    pandas = pytest.importorskip("pandas")
    frame = clone(fitted).set_output(transform="pandas").fit_transform(lines)
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame) == fitted.get_feature_names_out().tolist()
    points = fitted.inverse_transform(frame)
    assert np.array_equal(points, fitted.inverse_transform(frame.to_numpy()))


# scikit-learn's own checks. They bring tables of numbers, so here each row of a table
# makes a curve; a table's width is the table's own affair.


class OfRows(dte.StreamlineEmbedding):
    """Transformer of tables: each row makes one curve."""

    def fit(self, X, y=None):
        lines = curves(X)
        self.n_features_in_ = np.asarray(X).shape[-1]
        return super().fit(lines, y)

    def transform(self, X):
        lines = curves(X)
        width = np.asarray(X).shape[-1]
        if hasattr(self, "model_") and width != self.n_features_in_:
            raise ValueError("Tables differ in width.")
        return super().transform(lines)

    def score(self, X, y=None):
        return super().score(curves(X), y)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = False
        return tags

    def _more_tags(self):
        return {**super()._more_tags(), "X_types": ["2darray"]}


def curves(table):
    """Make a smooth curve of 8 points of each row, mm; what is no table stays."""
    if hasattr(table, "toarray"):
        raise TypeError("A sparse table holds no curves.")
    table = np.asarray(table)
    if table.ndim != 2 or table.dtype.kind not in "fiu":
        return table
    t = np.linspace(0, 1, 8)
    waves = np.sin(np.arange(table.shape[1])[:, None] * t)
    bends = np.sin(np.arange(3 * table.shape[1])).reshape(-1, 3)
    lines = 10 * t[:, None] + np.einsum("ij,jp,jk->ipk", table, waves, bends)
    return lines.astype(table.dtype)


# What lists of curves have no counterpart of.
NO_WIDTH = "curves of any number of points are taken: there is no number of features"
OWN_WORDS = "refused, as tested above, but with a message about streamlines"
SKIPPED = {
    "check_n_features_in": NO_WIDTH,
    "check_n_features_in_after_fitting": NO_WIDTH,
    "check_estimators_empty_data_messages": NO_WIDTH,
    "check_complex_data": OWN_WORDS,
    "check_estimators_nan_inf": OWN_WORDS,
    "check_fit2d_predict1d": OWN_WORDS,
    "check_fit2d_1sample": "refused, but the message counts streamlines, not samples",
    "check_dtype_object": "an array of objects is a list of curves of any length",
}


def checks(estimator):
    """List all checks that the installed scikit-learn has for an estimator."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of what some versions leave out.
        if hasattr(estimator_checks, "estimator_checks_generator"):  # From 1.6 on.
            found = estimator_checks.estimator_checks_generator(estimator)
        else:
            found = estimator_checks.check_estimator(estimator, generate_only=True)
        return [check for _, check in found]


def name_of(check):
    options = "-".join(getattr(check, "keywords", {}))
    return f"{check.func.__name__}{'-' * bool(options)}{options}"


TABLES = OfRows(n_points=4, latent_dim=2, epochs=0)


@slow
@pytest.mark.parametrize("check", checks(TABLES), ids=name_of)
def test_checks_of_scikit_learn(check):
    if reason := SKIPPED.get(check.func.__name__):
        pytest.skip(reason)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(clone(TABLES))


def test_checks_that_are_skipped_exist():
    names = [check.func.__name__ for check in checks(TABLES)]
    assert len(names) > 30
    # That of fitting comes with scikit-learn 1.6.
    assert set(SKIPPED) - set(names) <= {"check_n_features_in_after_fitting"}


def test_tags_say_what_is_read():
    """Without the adapter, scikit-learn knows that it has no data to give."""
    names = {check.func.__name__ for check in checks(dte.StreamlineEmbedding())}
    assert "check_transformer_general" not in names
