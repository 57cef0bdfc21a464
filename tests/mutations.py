"""Mutate small files byte by byte, and inside of their archives, by a seed."""

import io
import struct
import zipfile

import numpy as np

INTERESTING = (
    *(struct.pack("<h", n) for n in (0, -1, 1, 32767, -32768)),
    *(struct.pack("<i", n) for n in (0, -1, 1, 2**31 - 1, -(2**31), 10**6)),
    *(struct.pack(">i", n) for n in (1, 1000, 2**31 - 1)),
    *(struct.pack("<q", n) for n in (-1, 2**62, 2**40)),
    *(struct.pack("<f", x) for x in (0, float("nan"), float("inf"), 1e38, -1e-40)),
    *(struct.pack("<d", x) for x in (float("nan"), float("-inf"), 1e300)),
    b"-1",
    b"99999999999",
    b"1e999",
    b"NaN",
    b"null",
    b"{}",
    b"[",
    b'"',
    b"\n",
    b"\0",
)
HEADER = 1100  # bytes where half of the changes go


def mutate(content, rng):
    """Change bytes here and there, a few times.

    Parameters
    ----------
    content : bytes
        A file.
    rng : numpy.random.Generator
        Where everything random comes from.

    Returns
    -------
    content : bytes
        Changed, or cut, or longer.
    """
    content = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        if not content:
            break
        end = HEADER if rng.random() < 0.5 else len(content)
        at = int(rng.integers(min(end, len(content))))
        size = int(rng.integers(1, 1 + min(64, len(content))))
        some = content[at : at + size]
        kind = rng.integers(9)
        if kind == 0:
            content[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            content[at : at + size] = rng.bytes(len(some))
        elif kind in (2, 3):
            value = INTERESTING[rng.integers(len(INTERESTING))]
            content[at : at + len(value)] = value
        elif kind == 4:
            del content[at : at + size]
        elif kind == 5:
            content[at:at] = some * int(rng.integers(1, 20))
        elif kind == 6:
            content[at : at + size] = bytes(len(some))
        elif kind == 7:
            other = int(rng.integers(len(content)))
            content[other : other + size] = some
        elif rng.random() < 0.3:
            del content[at:]
        else:
            content += rng.bytes(size)
    return bytes(content)


def mutate_member(content, rng):
    """Mutate one member of a zip archive, whose sums then are right.

    Parameters
    ----------
    content : bytes
        An archive.
    rng : numpy.random.Generator
        Where everything random comes from.

    Returns
    -------
    content : bytes
        Another archive.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    chosen = list(parts)[rng.integers(len(parts))]
    if rng.random() < 0.05:
        parts[chosen + "x"] = parts.pop(chosen)
    else:
        parts[chosen] = mutate(parts[chosen], rng)
    packing = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[rng.integers(2)]
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", packing) as archive:
        for name, value in parts.items():
            archive.writestr(name, value)
    return target.getvalue()


def make_good_files(folder):
    """Write a small file of each kind.

    Parameters
    ----------
    folder : Path
        Where to.

    Returns
    -------
    files : dict of str to bytes
        Content by kind; besides, "vae.keras" and "reference.trk" lie there.
    """
    from made_data import make_bundles, make_tractogram

    from dipy_tractoencoder import (
        decode,
        encode,
        save_latents,
        save_model,
        save_tractogram,
        train,
    )
    from dipy_tractoencoder.generation.density_file import save_densities
    from dipy_tractoencoder.generation.sampling import fit_bundle_density

    bundles = make_bundles(np.random.default_rng(7), n_streamlines=5)
    tractogram = make_tractogram([line for bundle in bundles for line in bundle])
    options = {"n_points": 16, "latent_dim": 3, "epochs": 1, "batch_size": 15}
    model = train(bundles, **options, validation_fraction=0)
    save_model(model, folder / "vae.keras")
    for extension in ("trk", "tck", "trx"):
        save_tractogram(tractogram, folder / f"good.{extension}")
    save_tractogram(tractogram, folder / "reference.trk")
    latents = encode(model, tractogram)
    save_latents(latents, folder / "good.h5")
    points = decode(model, latents)
    density = fit_bundle_density(model, points, name="one", space=latents.space)
    save_densities([density], folder / "good_densities.h5", latents.fingerprint)
    files = {
        e: (folder / f"good.{e}").read_bytes() for e in ("trk", "tck", "trx", "h5")
    }
    files["densities"] = (folder / "good_densities.h5").read_bytes()
    return {**files, "keras": (folder / "vae.keras").read_bytes()}


def arguments(kind, path, folder, number):
    """Command line that reads a file.

    Parameters
    ----------
    kind : str
        What the file is.
    path, folder : Path
        The file, and where `make_good_files` wrote.
    number : int
        Of the case; some go through other commands.

    Returns
    -------
    command : str
        Its name.
    arguments : list of str
        Files, and where outputs go: ``folder / "out"``.
    """
    out = ["--out_dir", folder / "out", "--force"]
    model = folder / "vae.keras"
    if kind == "keras":
        command, values = "dipy_encode_vae", [path, folder / "reference.trk"]
    elif kind == "h5":
        extension = ("trk", "tck", "trx")[number % 3]
        command = "dipy_decode_vae"
        values = [model, path, "--out_tractogram", f"decoded.{extension}"]
    elif kind == "densities":
        command = "dipy_sample_vae"
        values = [model, "--density_file", path, "--n_streamlines", "2"]
    elif number % 40 == 7:
        command = "dipy_train_vae"
        values = [path, "--reference", folder / "reference.trk", "--n_points", 16]
        values += ["--latent_dim", 3, "--epochs", 1]
    elif number % 40 == 11:
        command = "dipy_filter_vae"
        known = ["--plausible_files", folder / "reference.trk"]
        values = [model, path, *known, "--reference", folder / "reference.trk"]
    elif number % 40 == 27:
        command = "dipy_label_vae"
        known = ["--bundle_files", folder / "reference.trk"]
        values = [model, path, *known, "--reference", folder / "reference.trk"]
    else:
        command = "dipy_encode_vae" if number % 20 else "dipy_reconstruct_vae"
        values = [model, path, "--reference", folder / "reference.trk"]
        if number % 5 == 1:
            values.append("--save_tractogram")
    return command, [str(value) for value in (*values, *out)]
