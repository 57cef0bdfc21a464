"""A short name for exactly this trained model."""

import hashlib
import json

import numpy as np

# What does not change what a model computes.
IGNORED = ("name", "record", "seed")


def fingerprint(model):
    """SHA-256 of a model's architecture, preprocessing and weights.

    Parameters
    ----------
    model : StreamlineAutoencoder or StreamlineVAE
        Model with its weights.

    Returns
    -------
    fingerprint : str
        64 hexadecimal digits; equal for models that compute the same by the same
        weights.
    """
    from keras import ops

    config = {k: v for k, v in model.get_config().items() if k not in IGNORED}
    config["class"] = type(model).__name__
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for weight in model.weights:
        if "seed_generator" in weight.path:
            continue
        values = np.ascontiguousarray(ops.convert_to_numpy(weight))
        digest.update(f"{values.dtype}{values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()
