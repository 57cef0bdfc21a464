"""One epoch of training, compiled steps and all that stands around it."""

import dipy_tractoencoder as dte

N_STREAMLINES = 3_000


class Epoch:
    """Each backbone with the other settings at their defaults."""

    params = ("dense", "compact", "finta")
    param_names = ("backbone",)
    timeout = 600
    number, repeat, warmup_time = 1, (1, 3, 60.0), 0

    def setup(self, backbone):
        self.lines = dte.make_fibercup(N_STREAMLINES, 0.0, seed=0).streamlines

    def time_training_of_one_epoch(self, backbone):
        dte.train(self.lines, backbone=backbone, epochs=1)

    def peakmem_training_of_one_epoch(self, backbone):
        dte.train(self.lines, backbone=backbone, epochs=1)
