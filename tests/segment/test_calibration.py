"""Decisions calibrated by labelled streamlines of other subjects."""

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from dipy_tractoencoder.errors import EmptyDataError, InputFileError
from dipy_tractoencoder.io.tractogram import save_tractogram
from dipy_tractoencoder.segment.bundle_classifier import fit_latent_classifier
from dipy_tractoencoder.segment.calibration_files import calibrate_by_files
from dipy_tractoencoder.segment.decisions import Decisions
from dipy_tractoencoder.segment.reference_density import fit_reference_density

ALPHA = 0.05


def decisions(known):
    zeros = np.zeros(len(known), int)
    return Decisions(known, zeros, known[:50] + 3, zeros[:50], 1)


def rejected(judge, new):
    return (judge.p_values(new, np.zeros(len(new), int)) <= ALPHA).mean()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.5, 3))
def test_exchangeable_streamlines_are_rejected_as_promised(seed, factor):
    """Whatever the subject's factor, which is divided out."""
    rng = np.random.default_rng(seed)
    known, other, new = rng.normal(0, 0.4, (3, 3000))
    everything = np.ones(3000, bool)
    zeros = np.zeros(3000, int)
    judge = decisions(known).calibrated(other + np.log(factor), zeros, everything)
    assert judge.prior_factor == pytest.approx(factor, rel=0.1)
    assert rejected(judge, new) == pytest.approx(ALPHA, abs=0.02)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.2, 0.8))
def test_decisions_come_nearer_to_the_promise(seed, spread):
    """Another subject is more, or less, scattered than the reference."""
    rng = np.random.default_rng(seed)
    known = rng.normal(0, 0.4, 1000)
    other, new = rng.normal(0, spread, (2, 4000))
    plain = decisions(known)
    zeros, everything = np.zeros(4000, int), np.ones(4000, bool)
    judge = plain.calibrated(other, zeros, everything)
    before, after = (abs(rejected(d, new) - ALPHA) for d in (plain, judge))
    assert after <= before + 0.01
    assert after < 0.05


def test_each_subject_has_its_own_factor_and_strangers_are_added(rng):
    known = rng.normal(0, 0.4, 500)
    plain = decisions(known)
    subject = np.repeat(["a", "b"], 300)
    values = rng.normal(0, 0.4, 600) + np.where(subject == "a", 0, np.log(2))
    belongs = np.tile(np.arange(300) < 200, 2)
    values = np.where(belongs, values, values + 3)
    values[:10] = np.nan  # Cannot be encoded.
    zeros = np.zeros(600, int)
    judge = plain.calibrated(values, zeros, belongs, subject)
    assert len(judge.known) == 500 + 390 and len(judge.strangers) == 50 + 200
    assert judge.known.std() == pytest.approx(0.4, abs=0.05)
    assert judge.strangers[50:].mean() == pytest.approx(3, abs=0.15)
    assert judge.prior_factor == pytest.approx(np.sqrt(2), abs=0.2)
    with pytest.raises(EmptyDataError, match="Nothing of a subject"):
        plain.calibrated(values, zeros, belongs & (subject == "a"), subject)


@pytest.fixture
def clusters(rng):
    bundle = np.repeat([0, 1], 60)
    return np.array([[0.0, 0], [30, 0]])[bundle] + rng.normal(size=(120, 2)), bundle


def test_a_classifier_is_calibrated(clusters, rng):
    mean, bundle = clusters
    classifier = fit_latent_classifier(mean, bundle, ("AF", "UF", "none"))
    new = mean + rng.normal(scale=0.5, size=mean.shape)
    truth = np.where(np.arange(120) < 5, -1, bundle)
    truth[5:8] = 2  # A bundle of which there is no streamline.
    found = classifier.calibrated(new, truth)
    assert len(found.decisions.known) == len(classifier.decisions.known) + 112
    assert len(found.decisions.strangers) == len(classifier.decisions.strangers) + 8
    assert found.decisions is not classifier.decisions
    np.testing.assert_array_equal(found.mean, classifier.mean)


def test_a_density_is_calibrated(rng):
    density = fit_reference_density(rng.normal(size=(300, 2)))
    new = np.concatenate([rng.normal(size=(100, 2)), rng.normal(9, 1, (50, 2))])
    _, remoteness = density.judge(new)
    found = density.calibrated(remoteness, np.arange(150) < 100)
    assert len(found.decisions.known) == len(density.decisions.known) + 100
    assert len(found.decisions.strangers) == len(density.decisions.strangers) + 50


def test_files_are_bundles_by_name(trained_vae, bundles, tmp_path):
    from made_data import make_tractogram

    from dipy_tractoencoder.latent.codec import encode

    known = [encode(trained_vae, make_tractogram(lines)).mean for lines in bundles]
    codes = np.repeat(range(len(bundles)), list(map(len, known)))
    names = ("AF", "CST", "UF")
    classifier = fit_latent_classifier(np.concatenate(known), codes, names)
    save_tractogram(make_tractogram(bundles[1]), tmp_path / "CST.trk")
    save_tractogram(make_tractogram(bundles[1]), tmp_path / "x.trk")
    found = calibrate_by_files(trained_vae, classifier, [tmp_path / "CST.trk"])
    more = found.decisions.known_bundle[len(classifier.decisions.known) :]
    assert len(more) == len(bundles[1]) and (more == 1).all()
    with pytest.raises(InputFileError, match=r"x\.trk: neither its groups"):
        calibrate_by_files(trained_vae, classifier, [tmp_path / "x.trk"])
