"""What makes a result doubtful: each kind is found, and not found without reason."""

from dataclasses import replace

import numpy as np
import pytest

from dipy_tractoencoder.align.alignment import Alignment
from dipy_tractoencoder.nn.provenance import TrainingRecord
from dipy_tractoencoder.segment.bundle_classifier import fit_latent_classifier
from dipy_tractoencoder.segment.decisions import SubjectFactor, given_factor
from dipy_tractoencoder.segment.doubts import KINDS, find_doubts, training_error
from dipy_tractoencoder.segment.labels import Labels

RECORD = TrainingRecord(
    data={"length_mm": [20.0, 60.0, 150.0]},
    history={"val_error_mm": [2.0, 1.0, 1.5], "error_mm": [0.5]},
)


def kinds(**evidence):
    found = find_doubts(**evidence)
    for doubt in found:
        assert doubt.kind in KINDS and doubt.message and doubt.figures
    return [doubt.kind for doubt in found]


def alignment(verdict, transform="none"):
    reasons = () if verdict == "accepted" else ("They lie 3.0 times as far.",)
    quality = {"check_ratio": 3.0}
    return Alignment(
        np.eye(4),
        transform=transform,
        verdict=verdict,
        reasons=reasons,
        quality=quality,
    )


@pytest.fixture
def classifier(rng):
    """Two bundles of 200 latents, 40 to 60 mm long."""
    bundle = np.repeat([0, 1], 200)
    mean = np.array([[0.0, 0], [50, 0]])[bundle] + rng.normal(size=(400, 2))
    length = rng.uniform(40, 60, 400)
    return fit_latent_classifier(mean, bundle, ("AF", "UF"), length=length)


def labels(counts=(100, 50), unassigned=10, missed=(0, 0), median=(50.0, 50.0)):
    bundle = np.repeat([0, 1, -1], [*counts, unassigned])
    numbers = np.ones(len(bundle), np.float32)
    return Labels(
        ("AF", "UF"),
        bundle,
        numbers,
        numbers,
        {},
        factor=SubjectFactor(1.2, 1.2, 0.9, len(bundle)),
        missed=np.array(missed),
        median_length=np.array(median),
    )


def test_nothing_known_is_no_doubt(classifier):
    assert kinds() == []
    assert kinds(labels=labels(), classifier=classifier, record=RECORD) == []


@pytest.mark.parametrize(
    ("verdict", "found"),
    [("accepted", []), ("uncertain", ["not_aligned"]), ("refused", ["not_aligned"])],
)
def test_alignment_that_is_not_certain(verdict, found):
    assert kinds(alignment=alignment(verdict)) == found


def test_a_fitted_alignment_is_named_as_such():
    (doubt,) = find_doubts(alignment=alignment("uncertain", "rigid"))
    assert "the alignment may be wrong" in doubt.message
    assert "3.0 times" in doubt.message and "`align`" in doubt.message


def test_a_large_factor_says_that_it_is_another_space():
    estimated = SubjectFactor(1.0, 2.6, 0.1, 500)
    (doubt,) = find_doubts(factor=estimated)
    assert doubt.kind == "not_aligned" and "2.6 times" in doubt.message
    assert kinds(factor=replace(estimated, estimate=2.4)) == []
    assert kinds(factor=given_factor(3.0)) == []  # The user knows.


def test_streamlines_far_from_the_training_data():
    assert kinds(record=RECORD, error_mm=3.1) == ["far_from_model"]
    assert kinds(record=RECORD, error_mm=2.9) == []
    assert kinds(record=None, error_mm=99.0) == []
    assert training_error(RECORD) == (1.0, "validation")
    assert training_error(TrainingRecord()) is None


def test_lengths_that_hardly_any_training_streamline_has():
    assert kinds(record=RECORD, length=np.full(50, 10.0)) == ["lengths"]
    assert kinds(record=RECORD, length=np.full(50, 400.0)) == ["lengths"]
    assert kinds(record=RECORD, length=np.full(50, 19.0)) == []
    assert kinds(record=RECORD, length=np.full(3, 400.0)) == []
    assert kinds(record=TrainingRecord(), length=np.full(50, 400.0)) == []


def test_what_follows_from_the_alignment_is_not_said_too(classifier):
    found = kinds(
        alignment=alignment("uncertain"), record=RECORD, error_mm=9.0, length=[9] * 99
    )
    assert found == ["not_aligned"]
    odd = labels(median=(5.0, 5.0), missed=(99, 99))
    found = kinds(
        alignment=alignment("uncertain"), labels=odd, classifier=classifier, alpha=0.05
    )
    assert found == ["not_aligned"]


@pytest.mark.parametrize(
    ("n_kept", "n", "alpha", "found"),
    [
        (9, 1000, 0.05, ["hardly_any"]),
        (11, 1000, 0.05, []),
        (0, 5, 0.05, ["hardly_any"]),
        (0, 0, 0.05, []),
        (997, 1000, 0.05, ["nearly_all"]),
        (994, 1000, 0.05, []),
        (997, 1000, 0.01, []),  # A tenth of alpha.
        (150, 150, 0.05, []),  # One bundle, all of which belongs.
        (1000, 1000, 0.0, []),  # That was asked.
        (1000, 1000, 1.0, []),  # A threshold decided.
    ],
)
def test_hardly_any_and_nearly_all(n_kept, n, alpha, found):
    assert kinds(kept=np.arange(n) < n_kept, alpha=alpha) == found


def test_labels_of_streamlines_that_cannot_be_encoded_do_not_count():
    found = labels(counts=(1000, 0), unassigned=500)
    found.vote_share[1000:] = np.nan
    assert kinds(labels=found) == ["nearly_all"]
    assert kinds(labels=found, alpha=0.0) == []


def test_lengths_unlike_the_bundle(classifier):
    odd = labels(median=(20.0, 50.0))
    (doubt,) = find_doubts(labels=odd, classifier=classifier)
    assert doubt.kind == "lengths" and "AF (20 mm, in the atlas 4" in doubt.message
    assert doubt.figures == {"AF": 20.0}
    few = labels(counts=(9, 50), median=(20.0, 50.0))
    assert kinds(labels=few, classifier=classifier) == []
    unknown = replace(classifier, length=np.full((2, 3), np.nan))
    assert kinds(labels=odd, classifier=unknown) == []


@pytest.mark.parametrize(
    ("missed", "found"),
    [
        ((60, 0), ["missing_neighbour"]),
        ((40, 0), []),  # Fewer than half of those of the bundle.
        ((0, 19), []),
        ((0, 30), ["missing_neighbour"]),
    ],
)
def test_neighbours_missing_from_the_atlas(classifier, missed, found):
    assert kinds(labels=labels(missed=missed), classifier=classifier) == found
