"""Cases of fuzzing: mutated files, and files made to be hostile, by kind and number.

Kinds are formats of files, whose bytes change, and what a file says: ``names``,
``counts`` and ``sizes``.
"""

import gzip
import io
import json
import struct
import zipfile

import h5py
from hostile_hdf5 import KINDS as HOSTILE_HDF5
from made_data import make_bundles, make_tractogram
from mutations import INTERESTING, arguments, make_good_files, mutate, mutate_member
import numpy as np
from tiny_track_data import write as write_tiny_track
from trx_data import rich_parts, write_trx

TRACTOGRAMS = ("trk", "tck", "trx", "trk.gz", "tck.gz", "dpy", "vtk", "vtp", "tt.gz")
KINDS = (
    *TRACTOGRAMS,
    "keras",
    "h5",
    "densities",
    "checkpoint",
    "names",
    "counts",
    "sizes",
)
ZIPS = ("trx", "keras", "checkpoint")
TRAINING = ["--n_points", "16", "--latent_dim", "3", "--epochs", "2"]
# Folders up from where trx-python unpacks, absolute paths, what formats, figures,
# spreadsheets, shells and other systems take for something else.
NAMES = (
    "../escaped",
    "../../../../escaped",
    "{folder}/escaped",
    "/",
    ".",
    "..",
    "",
    "a.b",
    "a.b.float32",
    "a/b",
    "a\\b",
    "a:b",
    "a\0b",
    "a\nb",
    "\x1b[31m",
    "$\\frac{$",
    "a$_{$b",
    "_hidden",
    "=1+1",
    "@x",
    "-x",
    "--force",
    "%2F",
    "%",
    "<b>&amp;",
    "'; ls",
    "unassigned",
    "latents",
    "true",
    "Ü弓",
    "\u202eabc",
    "x" * 20,
    "x" * 260,
    "CON",
)
NUMBERS = (0, -1, 1, 2, 14, 16, 10**6, 2**31 - 1, -(2**31))
# Places in the header of a TRK, by type.
TRK_COUNTS = {6: "h", 8: "h", 36: "h", 238: "h", 988: "i", 992: "i", 996: "i"}
TRK_NUMBERS = (12, 16, 20, 440, 452, 460, 488, 500)


def make_files(folder):
    """Write a small good file of each kind.

    Parameters
    ----------
    folder : Path
        Where to.

    Returns
    -------
    good : dict of str to bytes
        Content by kind; "rich_trx" and "rich_trk" have data, the first groups, too.
        Besides, "vae.keras" and "reference.trk" lie there.
    """
    from dipy.io.dpy import Dpy

    from dipy_tractoencoder import save_tractogram

    good = make_good_files(folder)
    for kind in ("trk", "tck"):
        good[f"{kind}.gz"] = gzip.compress(good[kind], mtime=0)
    bundles = make_bundles(np.random.default_rng(7), n_streamlines=5)
    lines = [line for bundle in bundles for line in bundle]
    tractogram = make_tractogram(lines)
    dpy = Dpy(str(folder / "good.dpy"), mode="w")
    dpy.write_tracks(tractogram.streamlines)
    dpy.close()
    good["dpy"] = (folder / "good.dpy").read_bytes()
    tractogram.data_per_streamline["mean"] = np.arange(15.0)[:, None]
    tractogram.data_per_point["fa"] = [np.ones((len(line), 1)) for line in lines]
    save_tractogram(tractogram, folder / "rich.trk")
    good["rich_trk"] = (folder / "rich.trk").read_bytes()
    good["rich_trx"] = write_trx(folder / "rich.trx", rich_parts(lines)).read_bytes()
    good["vtk"] = vtk_content(lines)
    good["vtp"] = vtp_content(lines)
    near = [np.cumsum(np.diff(line, axis=0) / 8, axis=0) + 60 for line in lines]
    good["tt.gz"] = write_tiny_track(folder / "good.tt.gz", near).read_bytes()
    good["tt"] = gzip.decompress(good["tt.gz"])
    return good


def add_checkpoint(good, folder):
    """Train for the checkpoint of cases that resume from one.

    Parameters
    ----------
    good : dict of str to bytes
        From `make_files`; gets "checkpoint", unless it has it.
    folder : Path
        The folder of `make_files`.
    """
    from flow_data import call_command_in

    from dipy_tractoencoder.training.checkpoint import Checkpoint

    if "checkpoint" in good:
        return
    leave = Checkpoint.__exit__

    def keep(checkpoint, *err):
        leave(checkpoint, *err)
        checkpoint.write()
        good["checkpoint"] = checkpoint.path.read_bytes()

    Checkpoint.__exit__ = keep
    try:
        values = [folder / "reference.trk", *TRAINING, "--out_dir", folder / "first"]
        result = call_command_in(folder, "dipy_train_vae", *values)
    finally:
        Checkpoint.__exit__ = leave
    assert result.code == 0, result


def vtk_content(lines):
    """Bytes of a VTK file of streamlines, in RASMM."""
    points = np.concatenate(lines).astype(">f4")
    cells, start = [], 0
    for line in lines:
        cells += [len(line), *range(start, start + len(line))]
        start += len(line)
    return b"".join(
        [
            b"# vtk DataFile Version 3.0\nSPACE=RAS\nBINARY\nDATASET POLYDATA\n",
            b"POINTS %d float\n" % len(points),
            points.tobytes(),
            b"\nLINES %d %d\n" % (len(lines), len(cells)),
            np.array(cells, ">i4").tobytes(),
            b"\n",
        ]
    )


def vtp_content(lines):
    """Bytes of a VTP file of streamlines, in RASMM."""
    ends = np.cumsum([len(line) for line in lines])
    points = " ".join(f"{x:.3f}" for x in np.concatenate(lines).ravel())
    return (
        '<VTKFile type="PolyData" version="0.1" byte_order="LittleEndian"><PolyData>'
        f'<Piece NumberOfPoints="{ends[-1]}" NumberOfLines="{len(lines)}"><Points>'
        '<DataArray type="Float32" NumberOfComponents="3" format="ascii">'
        f'{points}</DataArray></Points><Lines><DataArray type="Int64" '
        f'Name="connectivity" format="ascii">{" ".join(map(str, range(ends[-1])))}'
        '</DataArray><DataArray type="Int64" Name="offsets" format="ascii">'
        f"{' '.join(map(str, ends))}</DataArray></Lines></Piece></PolyData></VTKFile>"
    ).encode()


def make_case(kind, number, good, folder):
    """Write the files of a case, and give the command line that reads them.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    number : int
        Which case.
    good : dict of str to bytes
        From `make_files`.
    folder : Path
        Folder with a model and a reference, for inputs, and for outputs in "out".

    Returns
    -------
    command : str
        Its name.
    arguments : list of str
        Its arguments.
    inputs : list of Path
        Files that must stay as they are.
    """
    rng = np.random.default_rng([number, *kind.encode()])
    if kind in ("names", "counts", "sizes"):
        what, path, content = {"names": _named, "counts": _counted, "sizes": _sized}[
            kind
        ](rng, number, good, folder)
    else:
        what, path = kind, folder / _file_name(kind)
        if kind in ZIPS and rng.random() < 0.6:
            content = mutate_member(good[kind], rng)
        elif kind.endswith(".gz") and rng.random() < 0.6:
            content = gzip.compress(mutate(good[kind.removesuffix(".gz")], rng))
        else:
            content = mutate(good[kind], rng)
    if what == "checkpoint":
        path = folder / "out" / "vae.checkpoint.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    inputs = [folder / "vae.keras", folder / "reference.trk"]
    if what == "checkpoint":
        values = [folder / "reference.trk", *TRAINING, "--resume"]
        values += ["--out_dir", folder / "out", "--force"]
        return "dipy_train_vae", [str(value) for value in values], inputs
    inputs.append(path)
    if kind in ("names", "counts") and what in ("trk", "trx"):
        return *_rich_command(path, folder, number), inputs
    return *arguments(what, path, folder, number), inputs


def _file_name(kind):
    """Name a mutated file, with its extension."""
    return "case.h5" if kind == "densities" else f"case.{kind}"


def _rich_command(path, folder, number):
    """Choose a command that carries groups and data of a tractogram, or names them."""
    model, reference = folder / "vae.keras", folder / "reference.trk"
    command, values = (
        ("dipy_filter_vae", [path, "--plausible_files", reference]),
        ("dipy_label_vae", [reference, "--bundle_files", path]),
        ("dipy_encode_vae", [path, "--save_tractogram"]),
        ("dipy_label_vae", [path, "--bundle_files", path, "--one_file"]),
        ("dipy_encode_vae", [path, "--save_tractogram"]),
        ("dipy_sample_vae", ["--bundle_files", path, "--n_streamlines", "2"]),
        ("dipy_reconstruct_vae", [path]),
    )[number % 7]
    values = [model, *values, "--out_dir", folder / "out", "--force"]
    return command, [str(value) for value in values]


def _named(rng, number, good, folder):
    """Put a hostile name into a TRX, TRK, latents, densities or a file name."""
    name = NAMES[rng.integers(len(NAMES))].replace("{folder}", str(folder))
    place = ("group", "dps", "dpv", "dpg", "trk", "h5", "densities", "file")[number % 8]
    if place in ("group", "dps", "dpv", "dpg"):
        with zipfile.ZipFile(io.BytesIO(good["rich_trx"])) as archive:
            parts = {n: archive.read(n) for n in archive.namelist()}
        start = "groups" if place == "group" else place
        old = [n for n in parts if n.startswith(start)]
        old = old[rng.integers(len(old))]
        head, _, rest = old.removeprefix(f"{start}/").partition(".")
        if place == "dpg" and rng.random() < 0.5:
            new = f"dpg/{head.split('/')[0]}/{name}.{rest}"
        else:
            new = f"{start}/{name}.{rest}"
        content = parts.pop(old)
        parts[new] = content
        return "trx", folder / "case.trx", _packed(parts)
    encoded = name.encode("utf-8", "surrogateescape")
    if place == "trk":
        content = bytearray(good["rich_trk"])
        at = (38, 240)[rng.integers(2)]
        content[at : at + 20] = encoded[:20].ljust(20, b"\0")
        return "trk", folder / "case.trk", bytes(content)
    if place == "file":
        clean = name.replace("/", "-").replace("\0", "-")[:200]
        return "trk", folder / "in" / f"{clean}.trk", good["rich_trk"]
    path = folder / "case.h5"
    path.write_bytes(good[place])
    with h5py.File(path, "r+") as file:
        value = np.array(encoded.replace(b"\0", b""), dtype=h5py.string_dtype())
        if place == "h5":
            file.attrs["tractogram"] = value
        elif rng.random() < 0.7:
            file["bundles/00000"].attrs["name"] = value
        else:
            clean = name.replace("/", "-").replace("\0", "-") or "-"
            file.move("bundles/00000", f"bundles/{clean}x")
    return place, path, path.read_bytes()


def _counted(rng, number, good, folder):
    """Change a count, an index or a size that a header gives."""
    value = NUMBERS[rng.integers(len(NUMBERS))]
    place = ("trk", "tck", "trx", "group", "dpy", "checkpoint", "h5")[number % 7]
    if place == "trk":
        content = bytearray(good["rich_trk"])
        if rng.random() < 0.3:
            at = TRK_NUMBERS[rng.integers(len(TRK_NUMBERS))]
            numbers = (0.0, -1.0, np.nan, np.inf, 1e30, 1e-30)
            struct.pack_into("<f", content, at, numbers[rng.integers(len(numbers))])
        elif rng.random() < 0.2:
            orders = (b"\0\0\0\0", b"ras\0", b"    ", b"RRR\0", b"XYZ\0", b"LP\0\0")
            content[948:952] = orders[rng.integers(len(orders))]
        else:
            at, form = list(TRK_COUNTS.items())[rng.integers(len(TRK_COUNTS))]
            limit = 2**15 if form == "h" else 2**31
            struct.pack_into(
                f"<{form}", content, at, max(-limit, min(value, limit - 1))
            )
        return "trk", folder / "case.trk", bytes(content)
    if place == "tck":
        lines = good["tck"].split(b"\n")
        at = int(rng.integers(1, 6))
        key = lines[at].split(b":")[0]
        texts = (b"%d" % value, b"", b". %d" % value, b"Float32BE", b"x")
        lines[at] = key + b": " + texts[rng.integers(len(texts))]
        return "tck", folder / "case.tck", b"\n".join(lines)
    if place in ("trx", "group"):
        with zipfile.ZipFile(io.BytesIO(good["rich_trx"])) as archive:
            parts = {n: archive.read(n) for n in archive.namelist()}
        if place == "group":
            name = "groups/CST.int64"
            indices = np.frombuffer(parts[name], "<i8").copy()
            indices[rng.integers(len(indices))] = value
            parts[name] = indices.tobytes()
        elif rng.random() < 0.5:
            header = json.loads(parts["header.json"])
            key = list(header)[rng.integers(len(header))]
            shown = (value, [value] * 3, None, str(value), 1e300)
            header[key] = shown[rng.integers(len(shown))]
            parts["header.json"] = json.dumps(header).encode()
        else:
            offsets = np.frombuffer(parts["offsets.uint64"], "<i8").copy()
            offsets[rng.integers(len(offsets))] = value
            parts["offsets.uint64"] = offsets.tobytes()
        return "trx", folder / "case.trx", _packed(parts)
    if place == "dpy":
        path = folder / "case.dpy"
        path.write_bytes(good["dpy"])
        with h5py.File(path, "r+") as file:
            found = []
            file.visititems(
                lambda name, item: (
                    found.append(name) if isinstance(item, h5py.Dataset) else None
                )
            )
            name = found[rng.integers(len(found))]
            item = file[name]
            if item.size and item.dtype.kind in "iuf":
                flat = item[()].reshape(-1)
                if item.dtype.kind in "iu":
                    limits = np.iinfo(item.dtype)
                    value = min(max(value, limits.min), limits.max)
                flat[rng.integers(flat.size)] = value
                item[...] = flat.reshape(item.shape)
        return "dpy", path, path.read_bytes()
    if place == "checkpoint":
        with np.load(io.BytesIO(good["checkpoint"])) as file:
            arrays = dict(file)
        about = json.loads(str(arrays["about"]))
        (phase, state), *_ = about["phases"].items()
        key = list(state)[rng.integers(len(state))]
        shown = (value, 10**9, float("nan"), None, "x", [], {}, True)
        state[key] = shown[rng.integers(len(shown))]
        arrays["about"] = np.array(json.dumps(about))
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return "checkpoint", folder, buffer.getvalue()
    path = folder / "case.h5"
    path.write_bytes(good["h5"])
    with h5py.File(path, "r+") as file:
        key = ("n_streamlines", "format_version", "space_dimensions", "rejects")[
            rng.integers(4)
        ]
        file.attrs[key] = (value, [value] * 3, str(value))[rng.integers(3)]
    return "h5", path, path.read_bytes()


def _sized(rng, number, good, folder):
    """Claim sizes that are not there, or pack far more than the file has."""
    place = ("trx", "keras", "h5", "densities", "dpy", "trk.gz", "checkpoint")[
        number % 7
    ]
    path = folder / _file_name(place)
    if place in ZIPS:
        with zipfile.ZipFile(io.BytesIO(good[place])) as archive:
            parts = {n: archive.read(n) for n in archive.namelist()}
        chosen = list(parts)[rng.integers(len(parts))]
        size = int(len(parts[chosen]) * 10 ** rng.uniform(0, 5)) + 1
        if rng.random() < 0.5:
            parts[chosen] += bytes(min(size, 40 * 2**20))
            return place, path, _packed(parts, zipfile.ZIP_DEFLATED)
        return place, path, _packed(parts, overstated={chosen: size})
    if place == "trk.gz":
        content = bytearray(good["trk.gz"])
        way = rng.integers(4)
        if way == 0:
            content[-4:] = INTERESTING[rng.integers(8, 11)][:4].ljust(4, b"\0")
        elif way == 1:
            content = content[: rng.integers(20, len(content))]
        elif way == 2:
            content += gzip.compress(bytes(40 * 2**20))
        else:
            content += bytes(content)
        return place, path, bytes(content)
    path.write_bytes(good[place])
    ways = list(HOSTILE_HDF5.values())
    with h5py.File(path, "r+") as file:
        found = []
        file.visititems(
            lambda name, item: (
                found.append(name) if isinstance(item, h5py.Dataset) else None
            )
        )
        name = found[rng.integers(len(found))]
        try:
            ways[rng.integers(len(ways))](file, name, path.parent)
        except (TypeError, ValueError, OSError):  # Not for data of this shape.
            file.attrs.clear()
    return place, path, path.read_bytes()


def _packed(parts, packing=zipfile.ZIP_STORED, overstated=None):
    """Pack parts to a zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
        for info in archive.filelist:
            if overstated and info.filename in overstated:
                info.file_size = info.compress_size = overstated[info.filename]
    return buffer.getvalue()
