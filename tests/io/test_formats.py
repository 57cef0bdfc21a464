from pathlib import Path

import pytest

from dipy_tractoencoder.io.formats import file_format, file_stem


@pytest.mark.parametrize(
    "name, extension, stem",
    [
        ("AF.trk", ".trk", "AF"),
        ("AF.left.TRK", ".trk", "AF.left"),
        ("AF.trk.gz", ".trk.gz", "AF"),
        ("AF.TCK.GZ", ".tck.gz", "AF"),
        ("HCP.tt.gz", ".tt.gz", "HCP"),
        ("t1.nii.gz", ".gz", "t1.nii"),
        ("AF", "", "AF"),
        (".trk", "", ".trk"),
        ("..trk", ".trk", "..trk"),
        ("...trk", ".trk", "...trk"),
        ("latents.H5", ".h5", "latents"),
    ],
)
def test_names_are_split(name, extension, stem):
    for path in (name, Path("sub-01.trk") / name):
        assert (file_format(path), file_stem(path)) == (extension, stem)
