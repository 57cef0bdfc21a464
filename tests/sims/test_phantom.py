from dipy.io.gradients import read_bvals_bvecs
import nibabel as nib
from nibabel.streamlines import ArraySequence
import numpy as np
import pytest
from trx.trx_file_memmap import load as load_trx

from dipy_tractoencoder.errors import (
    EmptyDataError,
    InvalidArgumentError,
    OutputFileError,
)
from dipy_tractoencoder.io.tractogram import load_tractogram
from dipy_tractoencoder.sims.fibercup import (
    BUNDLE_SIZES,
    LARGEST_GAP,
    N_STREAMLINES,
    make_fibercup,
    wrong_turns,
)
from dipy_tractoencoder.sims.geometry import (
    AFFINE,
    BUNDLES,
    HALF_WIDTH,
    WAYPOINTS,
    centre_line,
    fibercup_mask,
    in_white_matter,
    lengths_along,
)
from dipy_tractoencoder.sims.labels import (
    FAULTS,
    apportion,
    join,
    score_phantom,
    split_streamlines,
    winding,
)
from dipy_tractoencoder.sims.tracking import (
    ALGORITHMS,
    S0,
    fibre_populations,
    gradient_scheme,
    simulate_signal,
    track_fibercup,
)
from dipy_tractoencoder.workflows.simulate import SimulateFiberCupFlow, save_labelled

LABELS = ("bundle", "plausible", "fault")


@pytest.fixture(scope="module")
def made():
    """300 plausible and 300 implausible streamlines; not to be written to."""
    return make_fibercup(300, 0.5, seed=3)


@pytest.fixture(scope="module")
def gtab():
    return gradient_scheme(seed=0)


@pytest.fixture(scope="module")
def signal(gtab):
    """Diffusion signal with noise; not to be written to."""
    return simulate_signal(gtab, seed=1)


def of(made, fault):
    return made[made.fault == FAULTS.index(fault)]


def same(first, second):
    return (
        len(first) == len(second)
        and all(
            np.array_equal(a, b) for a, b in zip(first.streamlines, second.streamlines)
        )
        and all(np.array_equal(getattr(first, n), getattr(second, n)) for n in LABELS)
    )


def ends_reached(line):
    """For each end of a streamline, the nearest end of a bundle and its distance."""
    nodes = {}
    for name in BUNDLES:
        for side in (0, -1):
            node = "trunk" if name[0] == "E" and side == 0 else (name, side)
            nodes[node] = centre_line(name).points[side]
    nearest = []
    for end in (line[0], line[-1]):
        distances = {n: np.linalg.norm(end[:2] - p) for n, p in nodes.items()}
        node = min(distances, key=distances.get)
        nearest.append((node, distances[node]))
    return nearest


def is_bundle(first, second):
    pairs = [{(name, 0), (name, -1)} for name in ("A", "U", "B", "S")]
    pairs += [{"trunk", (name, -1)} for name in ("E1", "E2", "E3")]
    return {first, second} in pairs


def test_mask_has_the_size_and_place_of_the_phantom():
    mask = fibercup_mask()
    assert mask.shape == (64, 64, 3)
    for z in range(3):
        assert 600 <= mask[..., z].sum() <= 760
    x, y, _ = np.nonzero(mask)
    assert (x.min(), x.max()) == (10, 52)
    assert 6 <= y.min() <= 8 and 48 <= y.max() <= 50


@pytest.mark.parametrize(
    "bundle, length",
    zip(("A", "U", "B", "S", "E1", "E2", "E3"), (109, 89, 131, 69, 106, 114, 133)),
)
def test_centre_lines_follow_the_waypoints(bundle, length):
    line = centre_line(bundle)
    waypoints = np.array(WAYPOINTS[bundle]) * 3
    assert line.nearest(waypoints)[0].max() < 0.5 * 3
    assert abs(line.length - length) < 4
    assert np.allclose(line.points[[0, -1]], waypoints[[0, -1]])
    assert np.allclose(line.at(line.along, 0.0), line.points)
    # Offsets stay on their side of the curve, without folding over.
    for offset in (-5, 5):
        beside = line.at(line.along, offset)
        assert np.all(
            np.einsum("ij,ij->i", np.diff(beside, axis=0), line.tangents[1:]) > 0
        )


def test_points_outside_of_the_image_are_not_in_white_matter():
    points = [[-10, 0, 0], [1e4, 0, 0], [36 * 3, 21 * 3, -2], [36 * 3, 21 * 3, 7.4]]
    assert in_white_matter(np.array(points)).tolist() == [False, False, False, True]


def test_apportion_keeps_the_published_sizes_and_adds_up():
    assert tuple(apportion(N_STREAMLINES, BUNDLE_SIZES)) == BUNDLE_SIZES
    for total in (0, 1, 5, 100, 3113):
        shares = apportion(total, BUNDLE_SIZES)
        assert shares.sum() == total
        assert np.abs(shares - np.array(BUNDLE_SIZES) * total / N_STREAMLINES).max() < 1


def test_one_seed_makes_everything():
    first, second = (make_fibercup(40, 0.5, seed=5) for _ in range(2))
    assert same(first, second)
    assert not same(first, make_fibercup(40, 0.5, seed=6))
    assert same(first, make_fibercup(40, 0.5, seed=np.random.default_rng(5)))


def test_labels_agree_with_each_other(made):
    assert len(made) == 600
    assert made.plausible.sum() == 300
    assert np.array_equal(made.plausible == 1, made.fault == 0)
    sizes = np.bincount(made.bundle[made.plausible == 1])
    assert np.array_equal(sizes, apportion(300, BUNDLE_SIZES))
    assert np.bincount(made.fault).tolist() == [300, 120, 105, 45, 30]
    groups = made.groups()
    assert np.array_equal(groups["plausible"], np.flatnonzero(made.plausible))
    assert len(groups["implausible"]) == 300
    for prefix, whole in (("bundle_", "plausible"), ("fault_", "implausible")):
        parts = [members for name, members in groups.items() if name.startswith(prefix)]
        assert np.array_equal(np.sort(np.concatenate(parts)), groups[whole])
    assert "300 plausible, 300 implausible (120 early_stop" in made.summary()


def test_no_implausible_ones_without_a_share():
    made = make_fibercup(7, 0)
    assert made.plausible.all()
    assert not any(name.startswith("fault") for name in made.groups())


def test_all_streamlines_lie_in_the_mask(made):
    assert all(in_white_matter(line).all() for line in made.streamlines)
    assert made.tractogram().is_bbox_in_vox_valid()


def test_plausible_streamlines_fill_their_bundle_from_end_to_end(made):
    right = of(made, "none")
    for code, name in enumerate(BUNDLES):
        line = centre_line(name)
        members = right.streamlines[right.bundle == code]
        points = np.concatenate(list(members))
        distance, _ = line.nearest(points[:, :2])
        assert distance.max() < HALF_WIDTH + 1.5
        assert 2 < np.sqrt(np.mean(distance**2)) < HALF_WIDTH
        assert np.ptp(points[:, 2]) > 6
        for streamline in members:
            assert is_bundle(*(node for node, _ in ends_reached(streamline)))
            gaps = line.along[line.nearest(streamline[[0, -1], :2])[1]]
            gaps = np.minimum(gaps, line.length - gaps)
            assert gaps.max() < LARGEST_GAP + 2
        starts = line.nearest(np.array([s[0, :2] for s in members]))[1]
        assert len(np.unique(starts > len(line.points) / 2)) == 2  # Both directions.
    steps = [np.median(np.diff(lengths_along(s))) for s in right.streamlines]
    assert min(steps) < 0.7 and max(steps) > 1.5


def test_early_stops_end_far_from_all_bundle_ends(made):
    for line in of(made, "early_stop").streamlines:
        assert max(distance for _, distance in ends_reached(line)) > 11


def test_wrong_turns_join_ends_of_different_bundles(made):
    wrong = of(made, "wrong_turn")
    pairs = set()
    for line in wrong.streamlines:
        (first, gap), (second, other_gap) = ends_reached(line)
        assert first != second and not is_bundle(first, second)
        assert max(gap, other_gap) < HALF_WIDTH + LARGEST_GAP
        pairs.add(frozenset((first, second)))
    assert len(pairs) == len(wrong_turns()) == 21


def test_u_turns_come_back_and_loops_go_round(made):
    for line in of(made, "u_turn").streamlines:
        (first, _), (second, _) = ends_reached(line)
        assert first == second
        assert lengths_along(line)[-1] > 2 * 15
    for line in of(made, "loop").streamlines:
        assert winding(line[None, :, :2]) > 300


def test_scoring_by_end_regions_finds_what_was_made(made):
    scored = score_phantom(made.streamlines)
    right = made.plausible == 1
    assert scored.plausible[right].all()
    assert np.array_equal(scored.bundle[right], made.bundle[right])
    # Measured on 11,250 implausible streamlines of five seeds: all, with their fault.
    assert (scored.plausible[~right] == 0).mean() >= 0.99
    assert (scored.fault == made.fault).mean() >= 0.99
    assert (scored.bundle == made.bundle)[~right].mean() > 0.8


def test_scoring_does_not_depend_on_direction_or_order(made):
    part = made[:80]
    back = ArraySequence([line[::-1] for line in part.streamlines][::-1])
    forward, backward = score_phantom(part.streamlines), score_phantom(back)
    for name in LABELS:
        assert np.array_equal(getattr(forward, name), getattr(backward, name)[::-1])


def test_short_pieces_at_a_bundle_end_are_early_stops():
    piece = np.linspace([150, 68, 3], [156, 68, 3], 10)
    elsewhere = np.linspace([10, 10, 3], [10, 40, 3], 10)
    scored = score_phantom([piece, elsewhere])
    assert [FAULTS[code] for code in scored.fault] == ["early_stop"] * 2


def test_scoring_refuses_what_has_no_length():
    line = np.linspace([30, 60, 3], [60, 60, 3], 10)
    for bad in (
        line[:1],
        np.repeat(line[:1], 3, axis=0),
        np.where(line > 55, np.nan, line),
    ):
        with pytest.raises(InvalidArgumentError, match="number 1"):
            score_phantom([line, bad])
    assert len(score_phantom([])) == 0


def test_splits_are_disjoint_stratified_and_repeatable(made):
    shares = {"train": 0.6, "validation": 0.15, "test": 0.25}
    splits, again = (split_streamlines(made, shares, seed=2) for _ in range(2))
    assert list(splits) == list(shares)
    assert all(same(splits[name], again[name]) for name in shares)
    first_points = {
        name: {tuple(line[0]) for line in part.streamlines}
        for name, part in splits.items()
    }
    assert len(set().union(*first_points.values())) == len(made)
    assert sum(map(len, splits.values())) == len(made)
    for code in range(len(BUNDLES)):
        for fault in range(len(FAULTS)):
            total = np.sum((made.bundle == code) & (made.fault == fault))
            for name, share in shares.items():
                part = splits[name]
                count = np.sum((part.bundle == code) & (part.fault == fault))
                assert abs(count - share * total) < 1
    other = split_streamlines(made, shares, seed=3)
    assert not same(splits["train"], other["train"])
    assert len(join(splits.values())) == len(made)


@pytest.mark.parametrize("shares", [{"train": 1, "tset": 1}, {"train": 1, "test": 0}])
def test_unknown_or_empty_splits_are_refused(made, shares):
    with pytest.raises(InvalidArgumentError, match="fractions"):
        split_streamlines(made, shares)


@pytest.mark.parametrize(
    "arguments",
    [(0,), (-3,), (2.5,), (10, 1.0), (10, -0.1), (10, np.nan), (10, 0.1, -1)],
)
def test_bad_numbers_are_refused(arguments):
    *values, seed = arguments if len(arguments) == 3 else (*arguments, 0)
    with pytest.raises(InvalidArgumentError):
        make_fibercup(*values, seed=seed)


def test_trx_keeps_labels_and_groups(made, tmp_path):
    path = tmp_path / "made.trx"
    save_labelled(made, path)
    tractogram = load_tractogram(path)
    assert np.array_equal(tractogram.affine, AFFINE)
    assert tuple(tractogram.dimensions) == (64, 64, 3)
    assert len(tractogram) == len(made)
    for line, original in zip(tractogram.streamlines, made.streamlines):
        assert np.array_equal(line, original)
    for name in LABELS:
        values = np.asarray(tractogram.data_per_streamline[name])
        assert values.shape == (len(made), 1)
        assert np.array_equal(values[:, 0], getattr(made, name))
    trx = load_trx(str(path))
    groups = made.groups()
    assert set(trx.groups) == set(groups)
    for name, members in groups.items():
        assert np.array_equal(trx.groups[name], members)
    trx.close()


def test_trk_keeps_labels(made, tmp_path):
    save_labelled(made, tmp_path / "made.trk")
    tractogram = load_tractogram(tmp_path / "made.trk")
    for name in LABELS:
        values = np.asarray(tractogram.data_per_streamline[name])[:, 0]
        assert np.array_equal(values, getattr(made, name))


def test_fibre_populations_meet_at_crossings():
    fractions, directions = fibre_populations()
    assert fractions.min() >= 0 and fractions.sum(axis=2).max() < 1 + 1e-9
    present = fractions > 0
    sizes = np.linalg.norm(directions, axis=3)
    assert np.allclose(sizes[present], 1) and np.all(sizes[~present] == 0)
    crossing = fractions[18, 39]
    assert np.allclose(crossing[[0, 2]], 0.5, atol=0.1)
    assert np.allclose(np.abs(directions[18, 39, 0]), [1, 0, 0])
    trunk = fractions[27, 12]  # One population of three bundles.
    assert np.allclose(trunk[4:], 1 / 3, atol=0.05) and trunk[:4].sum() == 0
    inside = fibercup_mask()[..., 1]
    assert fractions.sum(axis=2)[inside].min() > 0.2


def test_signal_is_weakest_along_the_fibres(gtab):
    clean = simulate_signal(gtab, snr=None)
    assert clean.shape == (64, 64, 3, 65) and clean.dtype == np.float32
    assert np.allclose(clean[..., 0], S0)
    assert np.array_equal(clean, simulate_signal(gtab, snr=None, seed=9))
    along = np.abs(gtab.bvecs[1:, 0])
    values = clean[30, 38, 1, 1:]  # In A, along x.
    assert np.corrcoef(along, values)[0, 1] < -0.9
    assert np.allclose(clean[0, 0, 0, 1:], S0 * np.exp(-1500 * 2e-3), rtol=1e-4)


def test_noise_has_the_wanted_size(gtab, signal):
    clean = simulate_signal(gtab, snr=None)
    assert np.std((signal - clean)[..., 0]) == pytest.approx(S0 / 20, rel=0.05)
    assert np.array_equal(signal, simulate_signal(gtab, seed=1))
    assert np.all(signal > 0)
    for snr in (0, -3, np.inf):
        with pytest.raises(InvalidArgumentError, match="snr"):
            simulate_signal(gtab, snr=snr)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_tracking_gives_plausible_and_implausible_streamlines(signal, gtab, algorithm):
    tracked, again = (
        track_fibercup(signal, gtab, 40, algorithm=algorithm, seed=4) for _ in range(2)
    )
    assert same(tracked, again)
    assert tracked.plausible.sum() == 40
    assert np.array_equal(tracked.plausible == 1, tracked.fault == 0)
    # Measured with 1,500 plausible ones: 0.60 deterministic, 0.29 probabilistic.
    assert 0.15 < tracked.plausible.mean() < 0.8
    assert len(np.unique(tracked.bundle)) >= 5
    assert same(tracked, score_phantom(tracked.streamlines))
    for line in tracked.streamlines:
        assert lengths_along(line)[-1] >= 10
        assert in_white_matter(line).mean() > 0.95


def test_tracking_in_noise_is_given_up(gtab):
    noise = simulate_signal(gtab, snr=0.1)
    with pytest.raises(EmptyDataError, match="snr"):
        track_fibercup(noise, gtab, 10)


def test_tracking_refuses_bad_arguments(signal, gtab):
    with pytest.raises(InvalidArgumentError, match="algorithm"):
        track_fibercup(signal, gtab, 10, algorithm="probably")
    with pytest.raises(InvalidArgumentError, match="n_plausible"):
        track_fibercup(signal, gtab, 0)


SMALL = {"n_train": 30, "n_validation": 8, "n_test": 10}


def test_command_makes_three_sets(tmp_path):
    flow = SimulateFiberCupFlow()
    flow.run(**SMALL, implausible_fraction=0.2, out_dir=str(tmp_path))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "train.trx",
        "validation.trx",
        "test.trx",
        "mask.nii.gz",
        "fibercup.png",
    }
    assert set(flow.last_generated_outputs.values()) == set(
        map(str, tmp_path.iterdir())
    )
    starts = set()
    for name, size in zip(("train", "validation", "test"), SMALL.values()):
        tractogram = load_tractogram(tmp_path / f"{name}.trx")
        assert np.asarray(tractogram.data_per_streamline["plausible"]).sum() == size
        assert len(tractogram) == size + round(size / 4)
        starts |= {tuple(line[0]) for line in tractogram.streamlines}
    assert len(starts) == 48 + 8 + 2 + 2
    mask = nib.load(tmp_path / "mask.nii.gz")
    assert np.array_equal(mask.affine, AFFINE)
    assert np.array_equal(np.asarray(mask.dataobj) == 1, fibercup_mask())
    before = (tmp_path / "train.trx").read_bytes()
    with pytest.raises(OutputFileError, match="--force"):
        flow.run(**SMALL, out_dir=str(tmp_path))
    assert (tmp_path / "train.trx").read_bytes() == before
    SimulateFiberCupFlow(force=True).run(
        **SMALL, implausible_fraction=0.2, plausible_train=True, out_dir=str(tmp_path)
    )
    assert len(load_tractogram(tmp_path / "train.trx")) == 30


def test_command_tracks_and_writes_the_signal(tmp_path):
    SimulateFiberCupFlow().run(
        **SMALL,
        tracked=True,
        algorithm="deterministic",
        save_signal=True,
        out_dir=str(tmp_path),
        out_train="train.trk",
        out_figure="phantom.png",
    )
    labels = [
        load_tractogram(tmp_path / name).data_per_streamline["plausible"]
        for name in ("train.trk", "validation.trx", "test.trx")
    ]
    assert sum(np.sum(np.asarray(values)) for values in labels) == 48
    assert nib.load(tmp_path / "dwi.nii.gz").shape == (64, 64, 3, 65)
    bvals, bvecs = read_bvals_bvecs(
        str(tmp_path / "dwi.bval"), str(tmp_path / "dwi.bvec")
    )
    assert bvals[0] == 0 and np.all(bvals[1:] == 1500)
    assert np.allclose(np.linalg.norm(bvecs[1:], axis=1), 1)
    assert (tmp_path / "phantom.png").stat().st_size > 10_000
    assert len(list(tmp_path.iterdir())) == 8


@pytest.mark.parametrize(
    "options, error",
    [
        ({"n_train": 0}, InvalidArgumentError),
        ({"n_test": -1}, InvalidArgumentError),
        ({"implausible_fraction": 1.0}, InvalidArgumentError),
        ({"algorithm": "eudx"}, InvalidArgumentError),
        ({"snr": 0.0}, InvalidArgumentError),
        ({"seed": -1}, InvalidArgumentError),
        ({"out_train": "train.tck"}, OutputFileError),
        ({"out_mask": "mask.png"}, InvalidArgumentError),
        ({"out_figure": "figure.trx"}, InvalidArgumentError),
        ({"out_test": "train.trx"}, OutputFileError),
        ({"out_mask": "mask.nii", "out_dir": "file"}, OutputFileError),
    ],
)
def test_command_refuses_before_any_work(tmp_path, monkeypatch, options, error):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(error):
        SimulateFiberCupFlow().run(**{"out_dir": "new", **options})
    assert not list((tmp_path / "new").glob("*"))
