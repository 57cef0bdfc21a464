"""The reference for alignment in a model's section."""

import numpy as np
import pytest

from dipy_tractoencoder.align.fit import fit_alignment_reference
from dipy_tractoencoder.errors import InputFileError, InvalidArgumentError
from dipy_tractoencoder.nn import alignment as module
from dipy_tractoencoder.nn.alignment import (
    SECTION,
    alignment_reference,
    store_alignment_reference,
)
from dipy_tractoencoder.nn.model_file import load_model, save_model
from dipy_tractoencoder.nn.provenance import fingerprint


@pytest.fixture
def model(trained_ae):
    """Model without sections."""
    again = type(trained_ae).from_config(trained_ae.get_config())
    again.sections = None
    return again


def test_what_is_stored_is_found(model, lines, tmp_path):
    assert alignment_reference(model) is None
    before = fingerprint(model)
    reference = fit_alignment_reference(lines)
    store_alignment_reference(model, reference)
    assert fingerprint(model) != before
    save_model(model, tmp_path / "a.keras")
    found = alignment_reference(load_model(tmp_path / "a.keras"))
    np.testing.assert_array_equal(found.centroids, reference.centroids)
    np.testing.assert_array_equal(found.sample, reference.sample)
    assert found.digest == reference.digest
    store_alignment_reference(model, None)
    assert alignment_reference(model) is None and fingerprint(model) == before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"something else",
        b"DTEALIGN\x02\x00\x00\x00{}",
        b"DTEALIGN\x04\x00\x00\x00\xff\xff\xff\xff",
        b"DTEALIGN" + (90_000).to_bytes(4, "little") + b"[" * 90_000,
        bytes(2**20 + 1),
    ],
    ids=["empty", "other", "no header", "no text", "nested", "large"],
)
def test_damaged_references(model, content):
    model.sections[SECTION] = content
    with pytest.raises(InputFileError, match="Cannot align to this model"):
        alignment_reference(model)
    assert "reference for alignment is damaged" in repr(model)


def test_wrong_arguments(model, lines, monkeypatch):
    with pytest.raises(InvalidArgumentError, match="`model`"):
        alignment_reference("vae.keras")
    with pytest.raises(InvalidArgumentError, match="`reference`"):
        store_alignment_reference(model, lines)
    monkeypatch.setattr(module, "LARGEST", 1000)
    with pytest.raises(InvalidArgumentError, match="up to 1000"):
        store_alignment_reference(model, fit_alignment_reference(lines))
    assert not model.sections
