"""Parts that reports share."""

from dipy_tractoencoder.report.parts import settings_tables


def test_settings_that_differ_come_first():
    settings = {"epochs": 3, "seed": 0, "learning_rate": 0.123456, "files": ["a", "b"]}
    defaults = {"epochs": 100, "seed": 0, "learning_rate": None, "files": None}
    changed, every = settings_tables(settings, defaults)
    assert [tuple(row) for row in changed.rows] == [
        ("epochs", "3", "100"),
        ("learning_rate", "0.123456", "none"),
        ("files", "a b", "none"),
    ]
    assert len(every.rows) == 4 and every.folded
    # Truth values are told from numbers that equal them.
    settings = {"kl_weight": 1.0, "clip_norm": 1, "min_length": 0.0, "refit": True}
    changed, every = settings_tables(settings, {**settings, "kl_weight": 0.5})
    assert [tuple(row) for row in changed.rows] == [("kl_weight", "1.0", "0.5")]
    assert [row[1] for row in every.rows] == ["1.0", "1", "0.0", "yes"]
    text, every = settings_tables(defaults, defaults)
    assert isinstance(text, str) and text  # A sentence in the place of the table.
