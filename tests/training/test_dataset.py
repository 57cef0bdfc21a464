from pathlib import Path

import keras
from made_data import make_tractogram
import numpy as np
import pytest
from scipy import stats

from dipy_tractoencoder.align.alignment import Alignment
from dipy_tractoencoder.errors import (
    EmptyDataError,
    InputFileError,
    InvalidArgumentError,
)
from dipy_tractoencoder.io.chunks import TractogramChunks, as_tractogram_list
from dipy_tractoencoder.io.tractogram import load_tractogram, save_tractogram
from dipy_tractoencoder.nn.provenance import fingerprint
from dipy_tractoencoder.streamlines.preprocessing import Preprocessing
from dipy_tractoencoder.training import checkpoint
from dipy_tractoencoder.training.dataset import add_held_out, gather, split
from dipy_tractoencoder.training.train import train

NAN = np.full((4, 3), np.nan, dtype=np.float32)
POINT = np.zeros((1, 3), dtype=np.float32)


def numbered(numbers):
    """Straight streamlines of 10 mm whose x tells which one it is."""
    base = np.array([[0, 0, 0], [0, 5, 0], [0, 10, 0]], dtype=np.float32)
    return [base + np.float32([number, 0, 0]) for number in numbers]


def numbers_of(data):
    return data.points[:, 0, 0].round().astype(int).tolist()


@pytest.fixture
def as_read():
    return Preprocessing(n_points=4, orientation="as_is")


# Gather


def test_gather_keeps_every_row_in_order(as_read):
    tractograms = [
        [NAN, *numbered([0, 1])],
        [],
        [*numbered([2]), POINT, *numbered([3, 4]), NAN],
    ]
    data = gather(tractograms, as_read, normalise=False)
    assert numbers_of(data) == [0, 1, 2, 3, 4]
    assert data.source.tolist() == [0, 0, 2, 2, 2]
    assert data.n_read == 8 and len(data) == 5
    assert data.rejects == {"non_finite": 2, "too_few_points": 1}
    assert data.points.dtype == np.float32
    assert data.preprocessing == as_read


def test_gather_reads_any_iterable_of_any_tractogram(bundles, as_read):
    lists = gather(bundles, as_read)
    generator = gather((make_tractogram(bundle) for bundle in bundles), as_read)
    np.testing.assert_allclose(generator.points, lists.points, atol=1e-5)
    assert generator.source.tolist() == [0] * 20 + [1] * 20 + [2] * 20


def test_gather_learns_centre_and_scale(data):
    points = data.points.astype(np.float64)
    np.testing.assert_allclose(points.mean(axis=(0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(np.square(points).mean(), 1, rtol=1e-4)
    assert data.preprocessing.scale > 10


@pytest.mark.parametrize("normalise", [False, True])
def test_gathered_rows_are_what_the_model_will_see(bundles, lines, normalise):
    data = gather(bundles, Preprocessing(n_points=32), normalise=normalise)
    array = data.preprocessing.array(lines)
    np.testing.assert_allclose(
        data.points, data.preprocessing.normalise(array.points), atol=1e-4
    )
    assert 0 < array.is_reversed.sum() < len(lines)
    if not normalise:
        assert data.preprocessing.scale == 1
        np.testing.assert_allclose(data.points, array.points, atol=1e-4)


def test_gather_does_not_depend_on_directions(bundles, data):
    turned = [[line[::-1] for line in bundle] for bundle in bundles]
    again = gather(turned, Preprocessing(n_points=32))
    np.testing.assert_allclose(again.preprocessing.axis, data.preprocessing.axis)
    np.testing.assert_allclose(again.points, data.points, atol=1e-4)


def test_gather_uses_the_length_limits():
    preprocessing = Preprocessing(
        n_points=4, orientation="as_is", min_length=5, max_length=15
    )
    lines = [scale * line for scale, line in zip((0.1, 1, 9), numbered([0, 0, 0]))]
    data = gather([lines], preprocessing)
    assert data.rejects == {"too_short": 1, "too_long": 1} and len(data) == 1


@pytest.mark.parametrize(
    "tractograms, message",
    [
        ([], "of 0 read"),
        ([[], []], "of 0 read"),
        ([[NAN, POINT], [NAN]], "of 3 read, 2 non_finite, 1 too_few_points"),
    ],
)
def test_gather_nothing(tractograms, message, as_read):
    with pytest.raises(EmptyDataError, match=message):
        gather(tractograms, as_read)


@pytest.mark.parametrize("max_streamlines", [0, -1, 1.5, "ten"])
def test_gather_bad_maximum(max_streamlines, as_read):
    with pytest.raises(InvalidArgumentError, match="max_streamlines"):
        gather([numbered([0])], as_read, max_streamlines=max_streamlines)


@pytest.mark.parametrize("max_streamlines", [60, 61, 1000])
def test_a_maximum_that_is_not_reached_changes_nothing(
    bundles, as_read, max_streamlines
):
    whole = gather(bundles, as_read)
    limited = gather(bundles, as_read, max_streamlines=max_streamlines)
    np.testing.assert_array_equal(limited.points, whole.points)
    np.testing.assert_array_equal(limited.source, whole.source)


def test_a_maximum_is_reached_exactly_with_rows_and_sources_together(as_read):
    tractograms = [numbered(range(10)), [NAN, *numbered(range(10, 25))], []]
    tractograms.append(numbered(range(25, 30)))
    of = [0] * 10 + [1] * 15 + [3] * 5
    for seed in range(20):
        data = gather(
            tractograms, as_read, max_streamlines=12, normalise=False, seed=seed
        )
        numbers = numbers_of(data)
        assert len(numbers) == len(set(numbers)) == 12
        assert numbers == sorted(numbers)
        assert data.source.tolist() == [of[number] for number in numbers]
        assert data.n_read == 31 and data.rejects == {"non_finite": 1}


def test_subset_is_seeded(as_read):
    tractograms = [numbered(range(20)), numbered(range(20, 30))]
    draws = [
        numbers_of(
            gather(tractograms, as_read, max_streamlines=8, normalise=False, seed=seed)
        )
        for seed in (1, 1, 2)
    ]
    assert draws[0] == draws[1] != draws[2]


def test_subset_is_uniform_over_all_files(as_read):
    tractograms = [numbered(range(3)), numbered(range(3, 17)), numbered(range(17, 24))]
    counts = np.zeros(24, dtype=int)
    n_seeds = 500
    for seed in range(n_seeds):
        data = gather(
            tractograms, as_read, max_streamlines=6, normalise=False, seed=seed
        )
        counts[numbers_of(data)] += 1
    assert counts.sum() == 6 * n_seeds
    # Without replacement counts vary a little less than the chi-square law says.
    assert stats.chisquare(counts).pvalue > 1e-3


# Streamlines held out from elsewhere


def test_held_out_streamlines_go_through_what_was_learned(bundles):
    learned = gather(bundles[:2], Preprocessing(n_points=32))
    joined, held_out = add_held_out(learned, [[NAN, *bundles[2][:5]], bundles[2][5:]])
    assert held_out.tolist() == [False] * 40 + [True] * 20
    assert joined.preprocessing == learned.preprocessing
    np.testing.assert_array_equal(joined.points[:40], learned.points)
    array = learned.preprocessing.array(bundles[2])
    np.testing.assert_array_equal(
        joined.points[40:], learned.preprocessing.normalise(array.points)
    )
    assert joined.source.tolist() == [0] * 20 + [1] * 20 + [2] * 5 + [3] * 15
    assert joined.n_read == 61 and joined.rejects == {"non_finite": 1}


def test_nothing_held_out(data):
    with pytest.raises(EmptyDataError, match="validate"):
        add_held_out(data, [[NAN], []])


# Split


@pytest.mark.parametrize(
    "n, fraction, expected",
    [(100, 0.1, 10), (100, 0.25, 25), (3, 0.1, 1), (2, 0.9, 1), (10, 0.999, 9)],
)
def test_split_by_streamline(n, fraction, expected):
    held_out = split(np.zeros(n, int), fraction)
    assert held_out.dtype == bool and held_out.shape == (n,)
    assert held_out.sum() == expected


@pytest.mark.parametrize("groups", [None, ["a", "b"]])
def test_fraction_0_holds_nothing_out(groups):
    assert not split(np.array([0, 1, 1]), 0, groups=groups).any()
    assert not split(np.array([0]), 0.0, groups=groups and groups[:1]).any()


def test_split_is_seeded():
    source = np.zeros(100, int)
    first, again, other = (split(source, 0.2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_split_by_group_holds_whole_groups_out():
    groups = ["s1", "s2", "s1", "s3", "s2", "s4"]
    source = np.repeat(np.arange(6), [5, 1, 30, 2, 9, 4])
    label = np.array(groups)[source]
    drawn = set()
    for seed in range(30):
        held_out = split(source, 0.25, groups=groups, seed=seed)
        (one,) = set(label[held_out])
        assert held_out.sum() == (label == one).sum()
        drawn.add(one)
    assert drawn == set(groups)
    assert len(set(label[split(source, 0.5, groups=groups)])) == 2


def test_split_by_group_passes_over_groups_without_streamlines():
    source = np.array([0, 0, 2, 2, 2])  # Everything of the second was rejected.
    for seed in range(10):
        held_out = split(source, 0.34, groups=["a", "b", "c"], seed=seed)
        assert held_out.any() and not held_out.all()


@pytest.mark.parametrize("fraction", [-0.1, 1, 1.5, float("nan"), None])
def test_split_bad_fraction(fraction):
    with pytest.raises(InvalidArgumentError, match="validation_fraction"):
        split(np.zeros(10, int), fraction)


@pytest.mark.parametrize(
    "source, groups", [([0], None), ([0, 0, 1], ["a", "a"]), ([0, 0], ["a"])]
)
def test_split_with_nothing_to_choose_from(source, groups):
    with pytest.raises(InvalidArgumentError, match="validation_fraction"):
        split(np.array(source), 0.1, groups=groups)


@pytest.mark.parametrize("extension", ["trk", "trx"])
@pytest.mark.parametrize("max_streamlines", [None, 5, 17, 60])
def test_gather_in_chunks_is_the_same(
    extension, max_streamlines, lines, as_read, tmp_path
):
    paths = [tmp_path / f"{name}.{extension}" for name in "ab"]
    for path, some in zip(paths, (lines[:40], lines[40:])):
        save_tractogram(make_tractogram(some), path)
    options = {"max_streamlines": max_streamlines, "seed": 3}
    whole = gather([load_tractogram(p) for p in paths], as_read, **options)
    chunks = [TractogramChunks(p, chunk_size=7) for p in paths]
    found = gather(chunks, as_read, **options)
    np.testing.assert_allclose(found.points, whole.points, atol=1e-4)
    np.testing.assert_array_equal(found.source, whole.source)
    assert found.n_read == whole.n_read == 60
    joined, held_out = add_held_out(found, chunks)
    assert held_out.sum() == 60
    assert len(np.unique(joined.source[held_out])) == 2


def test_a_single_tractogram_of_any_kind_is_one(bundles, tractogram):
    sequence = tractogram.streamlines
    for single in (tractogram, sequence, list(bundles[0]), tuple(bundles[0])):
        (one,) = as_tractogram_list(single)
        assert one is single
    assert as_tractogram_list(bundles) is bundles
    assert as_tractogram_list([tractogram]) == [tractogram]


def test_arrays_and_plain_lists_are_counted_by_their_depth(bundles):
    array = np.zeros((5, 7, 3))
    ragged = np.array([*bundles[0], None], dtype=object)[:-1]
    empty = [[], np.empty((0, 3))]
    for single in (array, array.tolist(), ragged, [*empty, *bundles[0]], empty):
        (one,) = as_tractogram_list(single)
        assert one is single
    both = [[[], *bundles[0]], array.tolist()]
    for more in (np.stack([array, array]), both, [*both, array], [array, None], []):
        assert as_tractogram_list(more) is more


@pytest.mark.parametrize(
    "nothing",
    [
        "AF_L.trk",
        Path("AF_L.trk"),
        ["AF_L.trk"],
        (name for name in ["AF_L.trk"]),
        {"AF_L.trk": []},
    ],
    ids=lambda nothing: type(nothing).__name__,
)
def test_files_that_were_not_read_are_named(nothing, data):
    with pytest.raises(InvalidArgumentError, match=r"AF_L\.trk.*load_tractogram"):
        if isinstance(nothing, (str, dict)):
            add_held_out(data, nothing)
        gather(as_tractogram_list(nothing), Preprocessing(n_points=32))


@pytest.mark.parametrize("wrap", [np.asarray, np.ndarray.tolist, lambda a: [[], a[0]]])
def test_a_single_streamline_or_other_shapes_are_told(wrap):
    with pytest.raises(InvalidArgumentError, match=r"mm\. Received: .*shape \(\d+,"):
        gather(as_tractogram_list(wrap(np.zeros((4, 3)))), Preprocessing(n_points=32))


# Subjects in spaces of their own


def test_aligned_tractograms_are_gathered_in_one_space(bundles):
    matrix = np.array([[0, -1, 0, 5], [1, 0, 0, -30], [0, 0, 1, 8], [0, 0, 0, 1.0]])
    home = Alignment(matrix)
    away = [home.inverse().apply(bundle) for bundle in bundles[1:]]
    wanted, _ = add_held_out(gather(bundles[:2], Preprocessing(32)), bundles[2:])
    alignments = [None, home, home]
    data = gather([bundles[0], away[0]], Preprocessing(32), alignments=alignments)
    data, held_out = add_held_out(data, [away[1]], alignments=alignments)
    np.testing.assert_allclose(data.points, wanted.points, atol=1e-4)
    assert held_out.sum() == len(bundles[2])


def test_each_tractogram_needs_an_alignment(bundles):
    options = {"n_points": 32, "latent_dim": 2, "epochs": 0}
    with pytest.raises(InvalidArgumentError, match="`alignments`.*3 tractograms"):
        train(bundles, alignments=[None, None], **options)
    with pytest.raises(InvalidArgumentError, match="`alignments`.*3 tractograms"):
        train(bundles[:2], validation=bundles[2:], alignments=[None] * 2, **options)
    with pytest.raises(InvalidArgumentError, match="`alignment`"):
        train(bundles, alignments=[None, "affine.txt", None], **options)


def test_a_resumed_training_needs_the_same_alignments(bundles, tmp_path, monkeypatch):
    def start(shift, **more):
        matrix = np.eye(4)
        matrix[0, 3] = shift
        options = {"n_points": 32, "latent_dim": 2, "epochs": 1, **more}
        alignments = [None, Alignment(matrix), None]
        return train(
            bundles,
            alignments=alignments,
            checkpoint=tmp_path / "a.checkpoint.npz",
            resume=True,
            **options,
        )

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch:
                raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN_COPIES", 0)

    with pytest.raises(KeyboardInterrupt):
        start(3.0, callbacks=[Stop()], epochs=2)
    with pytest.raises(InputFileError, match="other streamlines"):
        start(4.0, epochs=2)
    resumed = start(3.0, epochs=2)
    (tmp_path / "a.checkpoint.npz").unlink()
    assert fingerprint(resumed) == fingerprint(start(3.0, epochs=2))
