"""Reading one tractogram in each format, whole and in chunks."""

from contextlib import closing
from itertools import islice
from pathlib import Path
import tempfile

from nibabel.streamlines import load
import numpy as np

import dipy_tractoencoder as dte
from dipy_tractoencoder.errors import OutputFileError
from dipy_tractoencoder.io.chunks import TractogramChunks
from dipy_tractoencoder.streamlines.array import CHUNK_SIZE, as_sequence

N_STREAMLINES = 10_000


class Read:
    """Made streamlines of the phantom; formats through FURY only if it is there."""

    params = (".trk", ".tck", ".trx", ".vtk", ".vtp", ".fib", ".dpy")
    param_names = ("format",)
    number = 1

    def setup(self, suffix):
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        tractogram = dte.make_fibercup(500, 0.0, seed=0).tractogram()
        tractogram = tractogram[np.arange(N_STREAMLINES) % len(tractogram)]
        self.path, self.reference = folder / f"made{suffix}", folder / "space.trk"
        try:
            dte.save_tractogram(tractogram, self.path)
        except OutputFileError as err:
            raise NotImplementedError(str(err)) from err  # asv's way to skip.
        dte.save_tractogram(tractogram[:1], self.reference)

    def teardown(self, suffix):
        self.folder.cleanup()

    def time_read(self, suffix):
        dte.load_tractogram(self.path, self.reference)

    def time_read_in_chunks(self, suffix):
        with closing(TractogramChunks(self.path, self.reference)) as chunks:
            for _ in chunks:
                pass

    def peakmem_read_in_chunks(self, suffix):
        self.time_read_in_chunks(suffix)


class ReadByNibabel(Read):
    """The same chunks by nibabel's lazy readers, which our readers replace."""

    params = (".trk", ".tck")

    def time_read_in_chunks(self, suffix):
        lines = iter(load(str(self.path), lazy_load=True).streamlines)
        while chunk := list(islice(lines, CHUNK_SIZE)):
            as_sequence(chunk)
