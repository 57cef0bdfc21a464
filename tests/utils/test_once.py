import logging
from pathlib import Path

from dipy_tractoencoder.utils import once
from dipy_tractoencoder.utils.once import log_once

logger = logging.getLogger("dipy_tractoencoder.test_once")


def test_a_message_is_logged_once_for_each_file(caplog, monkeypatch, tmp_path):
    for _ in range(2):
        for name in ("a", "b"):
            log_once(logger, logging.WARNING, "%s is odd", tmp_path / name)
    texts = [r.getMessage() for r in caplog.records]
    assert texts == [f"{tmp_path / name} is odd" for name in "ab"]
    monkeypatch.chdir(tmp_path)  # The same file by another name.
    log_once(logger, logging.WARNING, "%s is odd", Path("a"))
    assert len(caplog.records) == 2


def test_messages_that_are_not_shown_are_not_remembered(caplog):
    with caplog.at_level("ERROR"):
        log_once(logger, logging.WARNING, "odd")
    assert not caplog.records
    log_once(logger, logging.WARNING, "odd")
    assert len(caplog.records) == 1


def test_no_more_than_some_are_remembered(caplog, monkeypatch):
    monkeypatch.setattr(once, "REMEMBERED", 3)
    monkeypatch.setattr(once, "_logged", type(once._logged)())
    for number in (0, 1, 2, 3, 0):
        log_once(logger, logging.WARNING, "%d", number)
    assert len(once._logged) == 3 and len(caplog.records) == 5
