"""A fingerprint tells models apart by what they compute."""

from dataclasses import replace

from keras import ops

from dipy_tractoencoder.nn.provenance import fingerprint


def copy_of(model):
    """Make the same model once more, free to be changed."""
    again = type(model).from_config(model.get_config())
    again.set_weights(model.get_weights())
    return again


def test_fingerprint_tells_what_a_model_computes(trained_vae):
    mine = fingerprint(trained_vae)
    assert len(mine) == 64 and int(mine, 16) >= 0
    same = copy_of(trained_vae)
    same.record = None
    same.seed = 99
    assert fingerprint(same) == mine
    for weight in (same.principal.mean, same.decoder_body.weights[0]):
        kept = ops.convert_to_numpy(weight).copy()
        changed = kept.copy()
        changed.flat[0] += 1e-3
        weight.assign(changed)
        assert fingerprint(same) != mine
        weight.assign(kept)
    assert fingerprint(same) == mine
    preprocessing = same.preprocessing
    same.preprocessing = replace(preprocessing, min_length=3.0)
    assert fingerprint(same) != mine
