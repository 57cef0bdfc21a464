"""Bundles kept in a model decide as the files that they come from."""

import logging

from made_data import make_tractogram
import numpy as np
import pytest
from trx.trx_file_memmap import TrxFile, save as save_trx

from dipy_tractoencoder import save_tractogram
from dipy_tractoencoder.errors import (
    EmptyDataError,
    InputFileError,
    InvalidArgumentError,
)
from dipy_tractoencoder.segment.atlas import fit_atlas, keep_bundles
from dipy_tractoencoder.segment.bundle_classifier import fit_latent_classifier
from dipy_tractoencoder.segment.bundle_files import LabelledLatents, bundle_latents
from dipy_tractoencoder.segment.filtering import fit_plausibility_scorer
from dipy_tractoencoder.segment.from_atlas import (
    atlas_classifier,
    atlas_density,
    atlas_points,
)
from dipy_tractoencoder.segment.labelling import (
    fit_bundle_classifier,
    label_streamlines,
)
from dipy_tractoencoder.segment.plausibility_scores import judge_streamlines
from dipy_tractoencoder.segment.thinning import covering_rows, thin_bundles

NAMES = ("AF", "CST", "UF")


@pytest.fixture
def model(trained_ae):
    """Model without sections."""
    again = type(trained_ae).from_config(trained_ae.get_config())
    again.set_weights(trained_ae.get_weights())
    again.sections = None
    return again


@pytest.fixture(scope="module")
def folder(tmp_path_factory, bundles):
    """Write a file per bundle."""
    folder = tmp_path_factory.mktemp("atlas")
    for name, bundle in zip(NAMES, bundles):
        save_tractogram(make_tractogram(bundle), folder / f"{name}.trk")
    return folder


@pytest.fixture(scope="module")
def new(bundles):
    """Streamlines like those of the bundles, and some of none."""
    rng = np.random.default_rng(3)
    like = [line + rng.normal(0, 1, 3) for bundle in bundles for line in bundle]
    return [*like, *(line + 25 for line in bundles[0])]


def many(n_each=400, n_bundles=4, seed=0):
    """Latents of bundles that lie side by side."""
    rng = np.random.default_rng(seed)
    bundle = np.repeat(np.arange(n_bundles), n_each)
    mean = rng.normal(0, 1, (len(bundle), 4)) + 5 * bundle[:, None]
    names = tuple("ABCDEFGH"[:n_bundles])
    length = rng.uniform(40, 80, len(bundle)).astype(np.float32)
    return LabelledLatents(mean.astype(np.float32), bundle, names, length)


def judgement(model, classifier, lines):
    labels = label_streamlines(model, lines, classifier, alpha=0.1)
    return labels.bundle, labels.p


def test_label_by_the_model_equals_label_by_files(model, folder, new):
    files = fit_bundle_classifier(model, [folder])
    atlas = keep_bundles(model, [folder])
    assert atlas.names == NAMES and atlas.counts.tolist() == [20] * 3
    kept = fit_bundle_classifier(model)
    np.testing.assert_array_equal(kept.mean, files.mean)
    np.testing.assert_array_equal(kept.length, files.length)
    (one, p), (other, other_p) = (judgement(model, c, new) for c in (files, kept))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(p, other_p, rtol=1e-5)
    assert set(one) == {-1, 0, 1, 2}


@pytest.mark.parametrize("options", [{"n_neighbors": 3}, {"groups": ["AF", "U*"]}])
def test_options_decide_as_by_files(model, folder, new, options):
    paths = [folder]
    if "groups" in options:
        paths = [folder / "AF.trk", folder / "UF.trk"]
    keep_bundles(model, [folder])
    files = fit_bundle_classifier(model, paths, **options)
    kept = fit_bundle_classifier(model, **options)
    for one, other in zip(*(judgement(model, c, new) for c in (files, kept))):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_filter_by_the_model_equals_filter_by_files(model, folder, new):
    files = fit_plausibility_scorer(model, [folder])
    keep_bundles(model, [folder])
    kept = fit_plausibility_scorer(model)
    np.testing.assert_allclose(np.sort(files.own), np.sort(kept.own), rtol=1e-5)
    (score, far, _), (other, other_far, _) = (
        judge_streamlines(scorer, new) for scorer in (files, kept)
    )
    np.testing.assert_array_equal(score, other)
    np.testing.assert_allclose(far, other_far, rtol=1e-5, atol=1e-6)
    p, other_p = (scorer.density.p_values(far, 1.2) for scorer in (files, kept))
    np.testing.assert_allclose(p, other_p, rtol=1e-5)
    with pytest.raises(InvalidArgumentError, match="needs streamlines"):
        fit_plausibility_scorer(model, score="reconstruction")


def test_a_model_without_bundles_says_what_helps(model):
    for use in (fit_bundle_classifier, fit_plausibility_scorer, atlas_points):
        with pytest.raises(InvalidArgumentError, match="keep_bundles"):
            use(model)


def test_thinned_bundles_reject_as_many_as_promised():
    latents, test = many(1500), many(600, seed=1)
    for per_bundle in (30, 100):
        atlas = fit_atlas(latents, per_bundle=per_bundle)
        assert len(atlas.mean) == 4 * per_bundle and atlas.thinned
        classifier = atlas_classifier(atlas)
        p, _ = classifier.p_values(classifier.judge(test.mean))
        assert 0.025 < (p <= 0.05).mean() < 0.06
        density, _ = atlas_density(atlas)
        p = density.p_values(density.judge(test.mean)[1])
        assert 0.025 < (p <= 0.05).mean() < 0.06
        # By the latents alone, which lie apart, hardly any would be.
        naive = fit_latent_classifier(atlas.mean, atlas.bundle, atlas.names)
        p, _ = naive.p_values(naive.judge(test.mean))
        assert (p <= 0.05).mean() < 0.03


def test_some_of_thinned_bundles_are_chosen():
    atlas = fit_atlas(many(), per_bundle=50)
    classifier = atlas_classifier(atlas, groups=["B", "D"])
    assert classifier.names == ("B", "D")
    assert set(classifier.decisions.strangers_bundle) == {0, 1}
    bundle, _, _ = classifier.label(many(5, seed=2).mean)
    assert set(bundle[:5]) | set(bundle[10:15]) <= {-1, 0, 1}
    assert (bundle[5:10] == 0).mean() > 0.5 and (bundle[15:] == 1).mean() > 0.5
    density, nearest = atlas_density(atlas, groups=["B", "D"])
    assert len(density.mean) == len(nearest) == 100
    assert len(density.decisions.known) == 100
    with pytest.raises(InvalidArgumentError, match="5 neighbours"):
        atlas_classifier(atlas, n_neighbors=3)


def test_latents_are_drawn_to_cover_and_not_by_their_order():
    latents = many(300, 2)
    order = np.random.default_rng(1).permutation(600)
    one = thin_bundles(latents.mean, latents.bundle, 2, per_bundle=40)
    other = thin_bundles(latents.mean[order], latents.bundle[order], 2, per_bundle=40)
    np.testing.assert_array_equal(latents.mean[one.row], latents.mean[order][other.row])
    np.testing.assert_array_equal(one.own, other.own)
    # Further from each other than random ones.
    line = np.linspace(0, 1, 1000)[:, None] ** 3
    rows = covering_rows(line, 20, np.random.default_rng(0))
    assert len(rows) == 20 and np.diff(np.sort(line[rows, 0])).max() < 0.2
    equal = np.zeros((30, 2))
    assert len(covering_rows(equal, 10, np.random.default_rng(0))) == 10


def test_decoded_streamlines_are_like_those_kept(model, folder, bundles):
    keep_bundles(model, [folder])
    points = atlas_points(model, ["CST"])
    assert list(points) == ["CST"] and points["CST"].shape == (20, 32, 3)
    centre = np.concatenate(bundles[1]).mean(axis=0)
    assert np.linalg.norm(points["CST"].mean(axis=(0, 1)) - centre) < 15
    with pytest.raises(InputFileError, match="AF, CST, UF"):
        atlas_points(model, ["left"])


# The files of the reference play no part.


def write_ways(folder, bundles):
    """Write the same bundles as a TRX with groups, files, parts of files, doubled."""
    rng = np.random.default_rng(0)
    order = rng.permutation(60)
    lines = [line for bundle in bundles for line in bundle]
    code = np.repeat(np.arange(3), 20)
    trx = TrxFile.from_sft(make_tractogram([lines[row] for row in order]))
    for number, name in enumerate(NAMES):
        trx.groups[name] = np.flatnonzero(code[order] == number).astype(np.uint32)
    save_trx(trx, str(folder / "all.trx"))
    ways = {"groups": [folder / "all.trx"]}
    for way, n_parts in (("files", 1), ("ten", 10), ("doubled", 2)):
        ways[way] = []
        for name, bundle in zip(NAMES, bundles):
            parts = np.array_split(rng.permutation(20), n_parts)
            if way == "doubled":
                parts = [np.arange(20)[::-1], np.tile(np.arange(20), 2)]
            for part, rows in enumerate(parts):
                place = folder / way / f"{part}"
                place.mkdir(parents=True, exist_ok=True)
                some = make_tractogram([bundle[row] for row in rows])
                save_tractogram(some, place / f"{name}.trk")
                ways[way].append(place / f"{name}.trk")
        rng.shuffle(ways[way])
    whole = folder / "whole.trk"
    save_tractogram(make_tractogram(lines), whole)
    parts = np.array_split(order, 10)
    random = []
    for part, rows in enumerate(parts):
        random.append(folder / f"random_{part}.trk")
        save_tractogram(make_tractogram([lines[row] for row in rows]), random[-1])
    return ways, {**ways, "whole": [whole], "random": random}


def test_files_of_the_reference_change_no_decision(model, tmp_path, bundles, new):
    labelled, plausible = write_ways(tmp_path, bundles)
    labels = {
        way: judgement(model, fit_bundle_classifier(model, paths), new)
        for way, paths in labelled.items()
    }
    for way, (bundle, p) in labels.items():
        np.testing.assert_array_equal(bundle, labels["files"][0], err_msg=way)
        np.testing.assert_array_equal(p, labels["files"][1], err_msg=way)
    kept = {}
    for way, paths in plausible.items():
        scorer = fit_plausibility_scorer(model, paths)
        _, far, _ = judge_streamlines(scorer, new)
        kept[way] = scorer.density.p_values(far, 1.1)
        np.testing.assert_array_equal(kept[way], kept["groups"], err_msg=way)
    atlas = keep_bundles(model, labelled["ten"], per_bundle=10)
    for way in ("groups", "doubled"):
        other = keep_bundles(model, labelled[way], per_bundle=10)
        np.testing.assert_allclose(other.mean, atlas.mean, atol=1e-3, err_msg=way)
        np.testing.assert_allclose(other.known, atlas.known, atol=1e-3, err_msg=way)


# Unusual bundles


def test_empty_bundles_are_kept_and_named(model, folder, new, tmp_path, caplog):
    save_tractogram(make_tractogram([]), tmp_path / "no.trk")
    save_tractogram(make_tractogram([new[0][:1]]), tmp_path / "point.trk")
    paths = [folder, tmp_path / "no.trk", tmp_path / "point.trk"]
    latents = bundle_latents(model, paths)
    assert latents.names == (*NAMES, "no", "point")
    assert set(latents.bundle) == {0, 1, 2}
    with caplog.at_level(logging.WARNING):
        labels = label_streamlines(model, new, fit_bundle_classifier(model, paths))
    (record,) = caplog.records
    assert "2 of 5 bundles" in record.getMessage()
    assert "no (0), point (0)" in record.getMessage()
    assert [len(rows) for rows in labels.members().values()][3:5] == [0, 0]
    keep_bundles(model, paths)
    kept = fit_bundle_classifier(model)
    assert kept.names == (*NAMES, "no", "point")
    assert len(atlas_points(model)["no"]) == 0
    with pytest.raises(EmptyDataError, match="no streamline of"):
        bundle_latents(model, paths[1:])


def test_names_in_upper_and_lower_case_are_refused(model, folder, tmp_path, bundles):
    save_tractogram(make_tractogram(bundles[0]), tmp_path / "af.trk")
    with pytest.raises(InvalidArgumentError, match=r"AF \(.*AF.trk\) and af \("):
        fit_bundle_classifier(model, [folder, tmp_path / "af.trk"])


def test_doubled_and_single_bundles_are_named(model, folder, tmp_path, bundles, caplog):
    save_tractogram(make_tractogram(bundles[0][:15]), tmp_path / "arcuate.trk")
    with caplog.at_level(logging.WARNING):
        fit_bundle_classifier(model, [folder, tmp_path / "arcuate.trk"])
    (record,) = caplog.records
    assert "AF and arcuate have 15 streamlines in common" in record.getMessage()
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        fit_bundle_classifier(model, [folder / "AF.trk"])
    (record,) = caplog.records
    assert "one bundle only, AF" in record.getMessage()
