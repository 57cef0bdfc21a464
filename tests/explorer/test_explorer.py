"""The explorer's page: its decoder, its data, what it holds; and the command."""

import base64
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
import json
import re

from flow_data import assert_refused, call_command, files_below
from made_data import make_tractogram
import numpy as np
import pytest
from random_models import LATENT_DIM, random_model
from scipy.special import erf
from trx.trx_file_memmap import TrxFile, save as save_trx

from dipy_tractoencoder import (
    decode,
    encode,
    explore,
    reconstruct,
    save_model,
    save_tractogram,
)
from dipy_tractoencoder.errors import (
    EmptyDataError,
    InputFileError,
    InvalidArgumentError,
)
from dipy_tractoencoder.explorer.data import EvenSample, explorer_data, fair_share
from dipy_tractoencoder.explorer.decoder_export import export_decoder

NAME = "dipy_explore_vae"
EVIL = "</script><script>alert(1)</script>"
NAMES = ("AF", "CST", EVIL)
needs_plotly = pytest.mark.skipif(
    find_spec("plotly") is None, reason="needs the extra explore (plotly)"
)

every_decoder = pytest.mark.parametrize(
    "options",
    [
        {"backbone": backbone, "linear_skip": skip, "upsampling": upsampling}
        for backbone, upsampling in (
            ("dense", "nearest"),
            ("compact", "nearest"),
            ("compact", "linear"),
            ("finta", "nearest"),
            ("finta", "linear"),
        )
        for skip in (True, False)
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)


# The decoder's operations


def run(operations, latent):
    """Run the operations in numpy, one latent, as decoder_export describes them."""
    activations = {
        "linear": lambda x: x,
        "relu": lambda x: np.maximum(x, 0),
        "gelu": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
    }

    def convolve(x, operation):
        width = len(operation["kernel"])
        taps = [x[t : len(x) - width + 1 + t] for t in range(width)]
        x = sum(tap @ k for tap, k in zip(taps, operation["kernel"]))
        return activations[operation["activation"]](x + operation["bias"])

    results = [np.asarray(latent, dtype=np.float64)]
    for operation in operations:
        x, *other = (results[place] for place in operation["inputs"])
        kind = operation["kind"]
        if kind == "dense":
            x = x @ operation["kernel"] + operation["bias"]
            x = activations[operation["activation"]](x)
        elif kind == "convolution":
            x = convolve(x, operation)
        elif kind == "double_convolution":
            both = convolve(np.pad(x, ((1, 1), (0, 0)), mode="edge"), operation)
            even, odd = np.split(both, 2, axis=1)
            x = np.stack([even[:-1], odd[1:]], axis=1).reshape(2 * len(x), -1)
        elif kind == "double_linear":
            edged = np.pad(x, ((1, 1), (0, 0)), mode="edge")
            pair = [0.75 * x + 0.25 * edged[:-2], 0.75 * x + 0.25 * edged[2:]]
            x = np.stack(pair, axis=1).reshape(2 * len(x), -1)
        elif kind == "reflect":
            x = np.pad(x, ((1, 1), (0, 0)), mode="reflect")
        elif kind == "reshape":
            x = x.reshape(operation["shape"])
        elif kind == "activate":
            x = activations[operation["activation"]](x)
        elif kind == "shift":
            x = x + operation["shift"]
        else:
            assert kind == "add"
            x = x + other[0]
        results.append(x)
    return results[-1]


@cache
def decoder_case(**options):
    """Latents of a random model, what it decodes, and its operations."""
    model = random_model(**options)
    latent = np.random.default_rng(5).normal(size=(4, LATENT_DIM)) * model.latent_unit
    return latent, decode(model, latent), export_decoder(model)


@every_decoder
def test_operations_give_what_the_decoder_gives(options):
    latent, wanted, operations = decoder_case(**options)
    found = [run(operations, row) for row in latent]
    assert np.ptp(wanted) > 10
    np.testing.assert_allclose(found, wanted, atol=1e-3)  # mm


def test_unknown_layers_are_named():
    import keras

    from dipy_tractoencoder.explorer.keras_operations import list_operations

    inputs = keras.Input((6,))
    for layer, says in (
        (keras.layers.LayerNormalization(), "LayerNormalization"),
        (keras.layers.Dense(3, activation="tanh"), "tanh"),
    ):
        network = keras.Model(inputs, layer(inputs))
        with pytest.raises(InvalidArgumentError, match=says):
            list_operations(network)


# What is shown


@pytest.mark.parametrize(
    ("sizes", "n", "share"),
    [
        ([5, 5], 100, 5),
        ([5, 50], 20, 15),
        ([50, 50, 50], 20, 6),
        ([1, 2, 100], 10, 7),
        ([9, 9], 1, 0),
        ([3], 3, 3),
        ([4, 4], 8, 4),
    ],
)
def test_fair_share(sizes, n, share):
    assert fair_share(sizes, n) == share
    assert sum(min(size, share) for size in sizes) <= n
    more = sum(min(size, share + 1) for size in sizes)
    assert more > n or more == sum(sizes)


def test_sample_is_even_whatever_the_chunks_are():
    rng = np.random.default_rng(0)
    sample = EvenSample(30, seed=1)
    numbers = {"a": 7, "b": 200, "c": 100}
    left = {name: list(range(count)) for name, count in numbers.items()}
    while any(left.values()):
        name = rng.choice([n for n in left if left[n]])
        chunk = np.array([left[name].pop(0) for _ in range(min(13, len(left[name])))])
        points = np.repeat(chunk, 6).reshape(-1, 2, 3).astype(np.float32)
        sample.add(name, points, 3, chunk)
        assert sum(map(len, sample.samples.values())) <= 30
    assert {name: len(kept) for name, kept in sample.samples.items()} == {
        "a": 7,
        "b": 11,
        "c": 11,
    }
    assert {name: kept.n_seen for name, kept in sample.samples.items()} == numbers
    for points, source, number in (s.columns() for s in sample.samples.values()):
        np.testing.assert_array_equal(points[:, 0, 0], number)
        assert (source == 3).all()
        assert len(set(number)) == len(number)


def test_sample_is_uniform():
    counts = np.zeros(40)
    for seed in range(300):
        sample = EvenSample(10, seed=seed)
        for start in (0, 10, 20, 30):
            number = np.arange(start, start + 10)
            sample.add("a", np.zeros((10, 2, 3)), 0, number)
        counts[sample.samples["a"].columns()[2]] += 1
    # 75 expected each; five standard deviations are 37.
    assert np.abs(counts - 75).max() < 37


def test_more_bundles_than_streamlines_are_refused(trained_vae, bundles):
    named = {f"b{n}": bundles[0] for n in range(5)}
    with pytest.raises(InvalidArgumentError, match="5 bundles.*Received: 4"):
        explorer_data(trained_vae, named, max_streamlines=4)


@pytest.fixture(scope="module")
def named(bundles):
    return dict(zip(NAMES, bundles))


def test_data_agree_with_reconstructions(trained_vae, named, bundles):
    data = explorer_data(trained_vae, named, max_streamlines=30)
    assert data.names == sorted(NAMES)
    assert data.totals == [20, 20, 20]
    assert np.bincount(data.bundle).tolist() == [10, 10, 10]
    for code, name in enumerate(data.names):
        own = data.bundle == code
        whole = reconstruct(trained_vae, named[name])
        rows = data.number[own]
        np.testing.assert_array_equal(data.points[own], whole.array.points[rows])
        np.testing.assert_allclose(
            data.latent[own], encode(trained_vae, named[name]).mean[rows], atol=1e-4
        )
        error = np.sqrt(
            np.square(whole.points - whole.original).sum(axis=2).mean(axis=1)
        )
        np.testing.assert_allclose(data.error[own], error[rows], rtol=1e-3)
        error = np.sqrt(
            np.square(whole.pca_points - whole.original).sum(axis=2).mean(axis=1)
        )
        np.testing.assert_allclose(data.pca_error[own], error[rows], rtol=1e-3)
    again = explorer_data(trained_vae, named, max_streamlines=30)
    np.testing.assert_array_equal(data.points, again.points)
    other = explorer_data(trained_vae, named, max_streamlines=30, seed=1)
    assert not np.array_equal(data.number, other.number)


def test_files_and_streamlines_in_them_are_told(trained_vae, bundles, tmp_path):
    for subject, bundle in zip(("s1", "s2"), bundles):
        (tmp_path / subject).mkdir()
        save_tractogram(make_tractogram(bundle), tmp_path / subject / "AF.trk")
    data = explorer_data(trained_vae, [tmp_path / "s1", tmp_path / "s2" / "AF.trk"])
    assert data.names == ["AF"]
    assert data.files == ["s1/AF.trk", "s2/AF.trk"]
    assert data.source.tolist() == [0] * 20 + [1] * 20
    assert data.number.tolist() == [*range(20)] * 2


def test_nothing_to_show_is_refused(trained_vae, bundles):
    with pytest.raises(EmptyDataError, match="No streamline of AF"):
        explorer_data(trained_vae, {"AF": [bundles[0][0][:1]]})
    with pytest.raises(EmptyDataError, match="Received: 2"):
        explorer_data(trained_vae, {"AF": bundles[0][:2]})
    with pytest.raises(EmptyDataError, match="Received: 0"):
        explorer_data(trained_vae, {})
    with pytest.raises(InputFileError, match="nowhere.trk"):
        explorer_data(trained_vae, ["nowhere.trk"])
    for unnamed in (make_tractogram(bundles[0]), np.stack([bundles[0][0]] * 3), None):
        with pytest.raises(InvalidArgumentError, match="`bundles`.*'AF_L': stream"):
            explorer_data(trained_vae, unnamed)


# The page


def content_of(page):
    """Read what the page's script reads."""
    (text,) = re.findall(
        r'<script type="application/json" id="content">(.*?)</script>', page, re.S
    )
    return json.loads(text)


def unpack(entry):
    kind = np.dtype(entry["type"]).newbyteorder("<")
    return np.frombuffer(base64.b64decode(entry["data"]), kind).reshape(entry["shape"])


@pytest.fixture(scope="module")
def page(trained_vae, named, tmp_path_factory):
    """Page of three bundles, one with a name that is code."""
    pytest.importorskip("plotly", reason="needs the extra explore (plotly)")
    path = tmp_path_factory.mktemp("page") / "explorer.html"
    about = explore(trained_vae, named, path, max_streamlines=45, model_name="<m>")
    assert about["n_shown"] == 45
    assert about["n_streamlines"] == 60
    assert about["n_bundles"] == 3
    assert about["megabytes"] == pytest.approx(path.stat().st_size / 1e6)
    return path.read_text(encoding="utf-8")


def test_page_holds_what_was_encoded(page, trained_vae, named):
    data = explorer_data(trained_vae, named, max_streamlines=45)
    content = content_of(page)
    assert content["names"] == sorted(NAMES)
    assert content["unit"] == "mm"
    arrays = {name: unpack(entry) for name, entry in content["arrays"].items()}
    np.testing.assert_array_equal(arrays["latent"], data.latent)
    np.testing.assert_allclose(arrays["error"], data.error, rtol=1e-6)
    quantised = content["quantised"]
    points = quantised["origin"] + arrays["points"] * np.array(quantised["step"])
    np.testing.assert_allclose(points, data.points, atol=2e-3)  # mm, 32 points here
    # PCA's decoder, as it lies in the page, gives PCA's reconstruction.
    operations = [
        {k: unpack(v) if isinstance(v, dict) else v for k, v in operation.items()}
        for operation in content["pca_decoder"]
    ]
    np.testing.assert_allclose(
        [run(operations, latent) for latent in arrays["pca_latent"]],
        trained_vae.pca_baseline().reconstruct(data.points),
        atol=1e-3,
    )
    # The map's directions take any latent to where the map has it.
    flat = (data.latent - np.array(content["mean"])) @ np.array(content["directions"])
    np.testing.assert_allclose(flat, unpack(content["maps"][0]["points"]), atol=1e-3)
    spread = np.array(content["std"])[content["dimensions"]]
    assert (np.diff(spread) <= 0).all()
    assert spread == pytest.approx(np.sort(data.latent.std(axis=0))[::-1], rel=1e-5)
    assert set(content["context"]) <= set(range(45))


def test_page_escapes_names_and_tells_the_model(page, trained_vae):
    from dipy_tractoencoder.nn.provenance import fingerprint

    assert EVIL not in page
    assert "alert(1)" in page  # As data.
    scripts = re.findall(r"<script.*?</script>", page, flags=re.S)
    assert len(scripts) == 7
    assert page.count("</script") == 7
    assert "<m>" not in page
    assert "&lt;m&gt;" in page
    assert fingerprint(trained_vae) in page
    for what in ("45 of 60", f"keras {version('keras')}", "dense"):
        assert what in page


def test_page_loads_nothing(page):
    head = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    assert not re.findall(r"(?:src|href)=(?!\"data:)", head)
    assert "http" not in head


def test_page_is_bounded(page, trained_vae, bundles, tmp_path):
    plotly = len(re.findall(r"<script>.*?</script>", page, flags=re.S)[0])
    own = len(page) - plotly
    more = {f"b{n}": bundle for n, bundle in enumerate(bundles * 4)}
    about = explore(
        trained_vae,
        more,
        tmp_path / "more.html",
        max_streamlines=240,
        projection="tsne",
    )
    assert about["n_shown"] == 240
    grown = (tmp_path / "more.html").stat().st_size - plotly - own
    # Of 195 more: points of 16 bits, latents of the model and of PCA, two maps, six
    # numbers; 4/3 for base64.
    each = (32 * 3 * 2 + 2 * 5 * 4 + 2 * 8 + 6 * 4) * 4 / 3
    assert grown < 195 * each + 5000
    names = [
        part["name"]
        for part in content_of((tmp_path / "more.html").read_text(encoding="utf-8"))[
            "maps"
        ]
    ]
    assert names == ["t-SNE", "PCA"]


@needs_plotly
def test_scripts_from_elsewhere_cannot_end_the_script(monkeypatch, trained_vae, named):
    from plotly import offline

    from dipy_tractoencoder.explorer.page import explorer_page

    data = explorer_data(trained_vae, named)
    monkeypatch.setattr(offline, "get_plotlyjs", lambda: f"const x = '{EVIL}';")
    page = explorer_page(trained_vae, data)
    assert page.count("</script") == 7


@needs_plotly
def test_models_without_the_skip_have_no_unit(
    trained_convolutional_vae, named, tmp_path
):
    explore(trained_convolutional_vae, named, tmp_path / "e.html")
    page = (tmp_path / "e.html").read_text(encoding="utf-8")
    assert content_of(page)["unit"] == ""
    assert "have no unit" in page
    assert "compact without linear skip" in re.sub(r"\s+", " ", page)


@needs_plotly
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_streamlines": 2}, "at least 3"),
        ({"max_streamlines": 10_001}, "at most 10000"),
        ({"projection": "umap"}, "pca, tsne"),
    ],
)
def test_wrong_options_are_refused(trained_vae, named, tmp_path, options, says):
    with pytest.raises(InvalidArgumentError, match=says):
        explore(trained_vae, named, tmp_path / "e.html", **options)
    assert not list(tmp_path.iterdir())


def test_without_plotly_the_extra_is_named(trained_vae, named, tmp_path, monkeypatch):
    from dipy_tractoencoder.explorer import page as explorer

    monkeypatch.setattr(explorer, "find_spec", lambda name: None)
    with pytest.raises(
        InvalidArgumentError, match=r'pip install "dipy_tractoencoder\[explore\]"'
    ):
        explore(trained_vae, named, tmp_path / "e.html")


# The command


@pytest.fixture(scope="module")
def home(tmp_path_factory, bundles, trained_vae):
    """Folder with a model, bundles as files, and as groups of a TRX."""
    home = tmp_path_factory.mktemp("explore it")
    save_model(trained_vae, home / "vae.keras")
    for name, bundle in zip(("AF", "CST"), bundles):
        save_tractogram(make_tractogram(bundle), home / f"{name}.trk")
    lines = [line for bundle in bundles for line in bundle]
    trx = TrxFile.from_sft(make_tractogram(lines))
    for n, name in enumerate(("bundle_A", "bundle_B", "other")):
        trx.groups[name] = np.arange(20 * n, 20 * (n + 1), dtype=np.uint32)
    save_trx(trx, str(home / "groups.trx"))
    return home


@pytest.fixture
def here(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@needs_plotly
def test_command_writes_a_page(home, tmp_path, capsys, monkeypatch):
    arguments = ("vae.keras", "AF.trk", "CST.trk", "--out_dir", tmp_path / "out")
    monkeypatch.chdir(home)
    result = call_command(capsys, NAME, *arguments, "--max_streamlines", 30)
    assert result.code == 0, result.err
    page = tmp_path / "out" / "explorer.html"
    assert "30 of 40 streamlines" in result.out
    megabytes = f"({page.stat().st_size / 1e6:.1f} MB)"
    assert megabytes in result.out
    assert "Next: " in result.out
    content = content_of(page.read_text(encoding="utf-8"))
    assert content["names"] == ["AF", "CST"]
    assert content["files"] == ["AF.trk", "CST.trk"]
    before = files_below(tmp_path)
    result = call_command(capsys, NAME, *arguments)
    assert_refused(result, "explorer.html", "--force")
    assert files_below(tmp_path) == before


@needs_plotly
def test_command_takes_groups(home, here, capsys):
    result = call_command(
        capsys,
        NAME,
        home / "vae.keras",
        home / "groups.trx",
        "--groups",
        "bundle_*",
        "--out_dir",
        "o",
        "--out_page",
        "p.html",
    )
    assert result.code == 0, result.err
    content = content_of((here / "o" / "p.html").read_text(encoding="utf-8"))
    assert content["names"] == ["bundle_A", "bundle_B"]
    assert unpack(content["arrays"]["number"]).tolist() == [*range(40)]


@needs_plotly
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--projection", "umap"), ["projection", "tsne"]),
        (("--max_streamlines", 2), ["max_streamlines"]),
        (("--max_streamlines", 10**6), ["max_streamlines"]),
        (("--seed", -1), ["seed"]),
        (("--out_page", "x.png"), ["x.png", ".html"]),
        (("--groups", "z*"), ["groups.trx", "z*"]),
    ],
)
def test_command_refuses(home, here, capsys, arguments, says):
    result = call_command(
        capsys, NAME, home / "vae.keras", home / "groups.trx", *arguments
    )
    assert_refused(result, *says)
    assert not files_below(here)


def test_command_refuses_before_it_reads(home, here, capsys, monkeypatch):
    from dipy_tractoencoder.explorer import page as explorer

    monkeypatch.setattr(explorer, "find_spec", lambda name: None)
    result = call_command(capsys, NAME, home / "vae.keras", home / "AF.trk")
    assert_refused(result, "dipy_tractoencoder[explore]")
    result = call_command(capsys, NAME, home / "AF.trk", home / "AF.trk")
    assert_refused(result, "AF.trk")
    assert not files_below(here)
