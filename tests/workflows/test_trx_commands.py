"""TRX files through the commands: what they hold is carried, and stays inside."""

from contextlib import closing
import hashlib
import logging
from pathlib import Path
import struct

from flow_data import assert_refused, call_command, files_below
from made_data import make_bundle, make_tractogram
import numpy as np
import pytest
from trx.trx_file_memmap import load as load_trx
from trx_data import rich_parts, trx_parts, write_trx

from dipy_tractoencoder import save_model, save_tractogram
from dipy_tractoencoder.io.trx import open_trx

PROPERTY = 240  # Where the first property's name stands in a TRK's header.


@pytest.fixture(scope="module")
def home(tmp_path_factory, bundles, lines, trained_vae):
    """Folder with a model, an atlas whose names have dots, and a rich TRX."""
    home = tmp_path_factory.mktemp("trx")
    save_model(trained_vae, home / "vae.keras")
    (home / "atlas").mkdir()
    for name, bundle in zip(("AF.left", "AF.right", "CST"), bundles):
        save_tractogram(make_tractogram(bundle), home / "atlas" / f"{name}.trk")
    rng = np.random.default_rng(3)
    write_trx(home / "rich.trx", rich_parts([*lines[:50], *make_bundle(rng, 10)]))
    groups = {
        f"{name}.uint32": np.arange(20 * n, 20 * n + 20, dtype="<u4")
        for n, name in enumerate(("%2E%2E%2Fout", "AF", "UF"))
    }
    write_trx(home / "atlas.trx", trx_parts(lines, groups=groups))
    negative = {"AF.int64": -1 - np.arange(60)}
    write_trx(home / "negative.trx", trx_parts(lines, groups=negative))
    return home


@pytest.fixture
def call(capsys, home, tmp_path, monkeypatch):
    """Run a command in this process; no file outside of its folder may change."""
    monkeypatch.chdir(home)

    def call(name, *arguments):
        def seen():
            return {
                path: hashlib.sha256(path.read_bytes()).digest()
                for path in (*home.rglob("*"), *tmp_path.rglob("*"))
                if path.is_file() and tmp_path / "out" not in path.parents
            }

        before = seen()
        result = call_command(capsys, name, *arguments, "--out_dir", tmp_path / "out")
        assert seen() == before
        return result

    return call


def test_encode_copies_all_that_a_trx_holds(call, home, tmp_path):
    call("dipy_encode_vae", "vae.keras", "rich.trx", "--save_tractogram")
    before, after = open_trx(home / "rich.trx"), open_trx(tmp_path / "out/encoded.trx")
    assert set(after.per_streamline) - set(before.per_streamline) == {"latent"}
    for name, values in before.per_streamline.items():
        np.testing.assert_array_equal(after.per_streamline[name], values)
        assert after.per_streamline[name].dtype == values.dtype
    for name, values in before.per_point.items():
        np.testing.assert_array_equal(after.per_point[name]._data, values._data)
        assert after.per_point[name]._data.dtype == values._data.dtype
    assert before.groups.keys() == after.groups.keys()
    for name, members in before.groups.items():
        np.testing.assert_array_equal(after.groups[name], members)
        for kind, values in before.per_group[name].items():
            np.testing.assert_array_equal(after.per_group[name][kind], values)


def test_filter_renumbers_groups_and_keeps_their_data(call, tmp_path):
    plausible = ("--plausible_files", "atlas", "--threshold", 0.5)
    result = call("dipy_filter_vae", "vae.keras", "rich.trx", *plausible)
    assert result.code == 0, result.err
    kept, removed = (
        open_trx(tmp_path / "out" / f"{n}.trx") for n in ("kept", "removed")
    )
    assert 0 < len(removed) and len(kept) + len(removed) == 60
    for part in (kept, removed):
        numbers = np.ravel(part.per_streamline["id"])
        for name, inside in (("AF", numbers < 30), ("CST", numbers >= 30)):
            wanted = np.flatnonzero(inside)
            np.testing.assert_array_equal(part.groups.get(name, []), wanted)
            assert (name in part.per_group) == bool(len(wanted))
    assert kept.per_group["AF"]["mean_fa"].tolist() == [[0.5]]
    assert kept.per_group["CST"]["colour"].tolist() == [[1, 2, 3]]


def test_bundles_with_dots_are_one_group_each(call, tmp_path, lines, caplog):
    write_trx(tmp_path / "plain.trx", trx_parts(lines))
    bundles = ("--bundle_files", "atlas", "--one_file")
    result = call("dipy_label_vae", "vae.keras", tmp_path / "plain.trx", *bundles)
    assert result.code == 0, result.err
    assert "AF.left as AF%2Eleft" in result.out + result.err
    ours = open_trx(tmp_path / "out" / "labelled.trx")
    names = {"AF.left", "AF.right", "CST"}
    assert names <= set(ours.groups) <= names | {"unassigned"}
    for number, name in enumerate(("AF.left", "AF.right", "CST")):
        assert set(ours.groups[name]) <= set(range(20 * number, 20 * number + 20))
        assert len(ours.groups[name]) > 10
    with closing(load_trx(str(tmp_path / "out" / "labelled.trx"))) as theirs:
        assert {"AF%2Eleft", "AF%2Eright", "CST"} <= set(theirs.groups)
    result = call(
        "dipy_sample_vae", "vae.keras", *bundles, "--n_streamlines", 5, "--force"
    )
    assert result.code == 0, result.err
    new = open_trx(tmp_path / "out" / "new.trx")
    assert {name: len(rows) for name, rows in new.groups.items()} == dict.fromkeys(
        names, 5
    )


@pytest.mark.parametrize("one_file", [False, True])
def test_bundles_called_like_paths_stay_inside(call, tmp_path, lines, one_file):
    write_trx(tmp_path / "plain.trx", trx_parts(lines))
    options = ("--bundle_files", "atlas.trx", *(["--one_file"] if one_file else []))
    result = call("dipy_label_vae", "vae.keras", tmp_path / "plain.trx", *options)
    assert result.code == 0, result.err
    found = {path.name for path in (tmp_path / "out").iterdir()}
    if one_file:
        assert "../out" in open_trx(tmp_path / "out" / "labelled.trx").groups
    else:
        assert "%2E.%2Fout_labelled.trx" in found


@pytest.mark.parametrize("command", ["label", "filter"])
@pytest.mark.parametrize("name", ["/tmp/dte_outside_x", "../../../dots"])
def test_properties_called_like_paths_stay_inside(call, home, tmp_path, command, name):
    """A TRK's property that is an absolute path was written there."""
    source = make_tractogram(make_bundle(np.random.default_rng(1)))
    source.data_per_streamline["a"] = np.arange(20.0)[:, None]
    save_tractogram(source, tmp_path / "a.trk")
    content = bytearray((tmp_path / "a.trk").read_bytes())
    struct.pack_into("20s", content, PROPERTY, name.encode())
    (tmp_path / "a.trk").write_bytes(content)
    known = ("--bundle_files" if command == "label" else "--plausible_files", "atlas")
    one_file = ("--one_file",) if command == "label" else ()
    arguments = ("vae.keras", tmp_path / "a.trk", *known, *one_file)
    result = call(f"dipy_{command}_vae", *arguments)
    assert result.code == 0, result.err
    assert "%2F" in result.out + result.err
    files = [path for path in files_below(tmp_path) if str(path).endswith(".trx")]
    found = [open_trx(tmp_path / path) for path in files]
    assert sum(len(trx) for trx in found) == 20
    for trx in found:
        assert not len(trx) or name in trx.per_streamline
    assert not list(tmp_path.parent.glob("dots*"))
    assert not list(Path("/tmp").glob("dte_outside_x*"))


@pytest.mark.parametrize(
    "command, arguments",
    [
        ("label", ("negative.trx", "--bundle_files", "atlas")),
        ("label", ("rich.trx", "--bundle_files", "negative.trx")),
        ("filter", ("negative.trx", "--plausible_files", "atlas")),
        ("filter", ("rich.trx", "--plausible_files", "negative.trx")),
    ],
)
def test_groups_that_count_from_the_end_are_refused(call, tmp_path, command, arguments):
    result = call(f"dipy_{command}_vae", "vae.keras", *arguments)
    assert_refused(result, "negative.trx", "group AF", "-60")
    assert not list(tmp_path.rglob("*.trx"))


def test_trk_that_cannot_hold_the_data_is_refused_before_the_work(
    call, tmp_path, lines, caplog
):
    data = {f"a_name_of_many_letters_{n}.float32": np.zeros(60, "f4") for n in (1, 2)}
    path = write_trx(tmp_path / "many.trx", trx_parts(lines, dps=data))
    with caplog.at_level(logging.INFO):
        for command, options in (
            ("encode", ("--save_tractogram", "--out_tractogram", "a.trk")),
            ("filter", ("--plausible_files", "atlas", "--out_kept", "a.trk")),
            ("label", ("--bundle_files", "atlas", "--out_tractogram", "a.trk")),
        ):
            result = call(f"dipy_{command}_vae", "vae.keras", path, *options)
            assert_refused(result, "a.trk", "a_name_of_many_letters_1")
            assert not list((tmp_path / "out").rglob("*.*"))
