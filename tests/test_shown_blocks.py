"""Every block of commands and of Python that README, pages and tutorials show, run.

The set-up commands are left to CI, which runs them in a fresh environment.
"""

from importlib.util import find_spec
import re
import shutil
import subprocess
import sys
import textwrap

from dipy.data.fetcher import extract_example_tracts
from flow_data import COMMANDS, ROOT, call_command
from made_data import AFFINE, DIMENSIONS, make_tractogram
import nibabel as nib
import numpy as np
import pytest
from slow import slow_but
from tiny_track_data import matrix
from trx.trx_file_memmap import TrxFile, save as save_trx

import dipy_tractoencoder as dte

DOC = ROOT / "doc"
RST_BLOCK = r"^\.\. code-block:: (bash|python)\n\n((?:    *.*\n|\n)+)"
MD_BLOCK = r"^```(bash|python)\n(.*?)^```"
TUTORIAL_BLOCK = r"^# .*::\n#\n((?:#     .*\n)+)"
# Lines that set up; CI runs those.
TRAINED = ("3_filter_label", "4_sample")  # Tutorials that take a model as given.
SET_UP = re.compile("pip install|-m venv|pre-commit|sphinx-build|^pytest|^export ")
# For speed, where a line says nothing else. Outcomes are others' business.
SMALLER = {
    "dipy_train_vae": {"epochs": 2, "n_points": 32},
    "dipy_sample_vae": {"n_streamlines": 20},
    "dipy_simulate_fibercup": {"n_train": 30, "n_validation": 20, "n_test": 20},
}
FASTER = {"--epochs": "2", "--n_streamlines": "30"}  # Instead of what is shown.


def blocks(path):
    """Language and text of each block of a page, in its order."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        found = re.findall(TUTORIAL_BLOCK, text, flags=re.M)
        return [("bash", re.sub("^#", "", block, flags=re.M)) for block in found]
    pattern = RST_BLOCK if path.suffix == ".rst" else MD_BLOCK
    return re.findall(pattern, text, flags=re.M | re.S * (path.suffix == ".md"))


def lines_of(block):
    """Lines of a block that are to be run."""
    lines = (line.strip() for line in re.sub(r"\\\n\s*", "", block).splitlines())
    return [
        line
        for line in lines
        if line and line[0] != "#" and SET_UP.search(line) is None
    ]


def pages():
    """Pages with blocks that do more than set up."""
    candidates = [ROOT / "README.md", *DOC.glob("*.md"), *DOC.glob("*.rst")]
    candidates += (DOC / "examples").glob("*.py")
    found = {}
    for path in sorted(candidates):
        shown = [(language, textwrap.dedent(block)) for language, block in blocks(path)]
        if any(lines_of(block) for _, block in shown):
            found[path.relative_to(ROOT).as_posix()] = shown
    return found


PAGES = pages()
# They train nothing.
QUICK = ("doc/explorer.md", *(f"doc/examples/tutorial_{n}.py" for n in TRAINED))


@pytest.fixture(scope="module")
def study(bundles, trained_vae, tmp_path_factory):
    """Folder with every file that the pages name, made small."""
    folder = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(11)

    def save(name, lines):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        dte.save_tractogram(make_tractogram(lines), path)

    def shifted(lines):
        return [line + rng.normal(0, 0.5, 3).astype(np.float32) for line in lines]

    everything = [line for bundle in bundles for line in bundle]
    for number in range(1, 6):
        save(f"sub-{number:02}/whole_brain.trx", shifted(everything))
        save(f"sub-{number:02}/whole.trx", shifted(everything))
        save(f"sub-{number:02}/AF_L.trk", shifted(bundles[0]))
    for name in ("sub-06.trx", "new.trx", "good.trx"):
        save(name, shifted(everything))
    save("AF_L.trk", shifted(bundles[0]))
    save("U.trx", shifted(bundles[1]))
    for group, count in (("controls", 6), ("patients", 2)):
        for number in range(count):
            save(f"{group}/{group[0]}{number}/AF_L.trk", shifted(bundles[0]))
    for name, bundle in zip(("AF_L", "CST_R", "U"), bundles):
        save(f"atlas/{name}.trk", shifted(bundle))
    for name, bundle in zip(("AF", "CST", "U"), bundles):
        save(f"subjects/sub-01/tracks/{name}.trk", shifted(bundle))
        save(f"atlases/one/left/{name}.trk", shifted(bundle))
    labelled = make_tractogram(shifted(everything))
    plausible = (np.arange(len(everything)) % 3 > 0).astype(np.uint8)
    for row in np.flatnonzero(plausible == 0):
        labelled.streamlines[row] += np.float32(25)
    labelled.data_per_streamline["plausible"] = plausible[:, None]
    for name in ("labelled.trx", "checked.trk"):
        dte.save_tractogram(labelled, folder / name)
    ends = np.cumsum([len(bundle) for bundle in bundles])
    for number in range(1, 4):
        known = TrxFile.from_sft(make_tractogram(shifted(everything)))
        for name, end, bundle in zip(("AF_L", "CST_R", "U"), ends, bundles):
            members = np.arange(end - len(bundle), end, dtype=np.uint32)
            known.groups[name] = members
        save_trx(known, str(folder / f"sub-{number:02}.trx"))
    inside = nib.Nifti1Image(np.ones(DIMENSIONS, dtype=np.uint8), AFFINE)
    nib.save(inside, folder / "wm.nii.gz")
    nib.save(inside, folder / "t1.nii.gz")
    np.savetxt(folder / "affine.txt", np.eye(4))
    (folder / "transforms").mkdir()
    for name in ("transforms/sub-01", "transforms/sub-02"):
        dte.save_alignment(dte.Alignment(np.eye(4)), folder / f"{name}.json")
    identity = matrix("AffineTransform_double_3_3", np.eye(4)[:, :3].ravel(), "f8")
    centre = matrix("fixed", np.zeros(3), "f8")
    (folder / "0GenericAffine.mat").write_bytes(identity + centre)
    line = bundles[0][0]
    head = ("# vtk DataFile Version 3.0", "AF_L", "ASCII", "DATASET POLYDATA")
    points = [" ".join(map(str, point)) for point in line]
    numbers = " ".join(map(str, [len(line), *range(len(line))]))
    lines = [f"LINES 1 {len(line) + 1}", numbers]
    text = [*head, f"POINTS {len(line)} float", *points, *lines]
    (folder / "AF_L.vtk").write_text("\n".join(text) + "\n", encoding="ascii")
    dte.save_model(trained_vae, folder / "vae.keras")
    return folder


def words_of(line, folder):
    """Words of a line, its wildcards filled in by the shell."""
    done = subprocess.run(
        ["bash", "-O", "failglob", "-c", f"printf '%s\\0' {line}"],
        **{"cwd": folder, "capture_output": True, "text": True},
    )
    assert done.returncode == 0, f"{line}: {done.stderr}"
    return done.stdout.split("\0")[:-1]


def quicker(name, words):
    """Make do with fewer streamlines and epochs."""
    words = list(words)
    for option, value in FASTER.items():
        if option in words:
            words[words.index(option) + 1] = value
    for option, value in SMALLER.get(name, {}).items():
        if f"--{option}" not in words:
            words += [f"--{option}", str(value)]
    if "--align" in words:  # A few made bundles can be refused.
        words.append("--align_anyway")
    return words


def run_lines(block, folder, capsys):
    """Run a block as a shell would, our commands within this process."""
    names = []
    for line in lines_of(block):
        name = line.split()[0]
        if name in COMMANDS:
            words = words_of(line, folder)
            # The demo has a test of its own, and takes a minute.
            if name == "dipy_vae_demo" and len(words) == 1:
                words.append("--help")
            result = call_command(capsys, name, *quicker(name, words[1:]))
            if name == "dipy_explore_vae" and find_spec("plotly") is None:
                assert "dipy_tractoencoder[explore]" in result.err
            else:
                assert result.code == 0, f"{line}: {result.err}"
            names.append(name)
        elif name == "xdg-open":
            assert (folder / line.split()[1]).is_file(), line
        else:
            line = re.sub("^python ", f"{sys.executable} ", line)
            done = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True)
            assert done.returncode == 0, f"{line}: {done.stderr.decode()}"
    return names


def test_pages_with_blocks_are_found():
    """No page is lost by a change of how it is written."""
    assert set(PAGES) >= {
        "README.md",
        "doc/start.rst",
        "doc/uses.md",
        "doc/explorer.md",
        "doc/report.md",
        "doc/formats.rst",
        "doc/install.rst",
        *(f"doc/examples/tutorial_{n}.py" for n in ("1_train", "2_fibercup")),
        *(f"doc/examples/tutorial_{n}.py" for n in ("3_filter_label", "4_sample")),
        "doc/examples/tutorial_6_whole_brain.py",
    }
    shown = {
        name
        for page in PAGES.values()
        for _, block in page
        for name in re.findall(r"^\s*(dipy_\w+)", block, flags=re.M)
    }
    assert shown >= set(COMMANDS) - {"dipy_vae_demo", "dipy_simulate_fibercup"}


@pytest.mark.parametrize("page", slow_but(PAGES, *QUICK))
def test_blocks_run(page, study, tmp_path, monkeypatch, capsys):
    if page == "doc/explorer.md":
        pytest.importorskip("plotly", reason="needs the extra explore (plotly)")
    folder = tmp_path / "here"
    if page == "doc/start.rst":
        folder.mkdir()  # It begins in an empty folder.
    else:
        shutil.copytree(study, folder)
    if "tutorial_1" in page:
        extract_example_tracts(folder)
    monkeypatch.chdir(folder)
    # What the text around the Python takes for granted.
    tractogram = dte.load_tractogram(study / "sub-06.trx")
    known = {"tractogram": tractogram, "tractograms": [tractogram], "names": ["a.trx"]}
    known["dte"] = dte
    n_run = 0
    for language, block in PAGES[page]:
        if language == "bash":
            n_run += len(run_lines(block, folder, capsys))
        elif page != "README.md":  # Its Python has a test in test_readme.py.
            exec(compile(block, page, "exec"), known)
            n_run += 1
    assert n_run > 0
    assert not list(folder.rglob("*.part*"))
