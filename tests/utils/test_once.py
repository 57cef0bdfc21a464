import logging

from dipy_tractoencoder.utils import once
from dipy_tractoencoder.utils.once import log_once

logger = logging.getLogger("dipy_tractoencoder.test_once")


def test_a_message_is_logged_once_for_each_file(caplog, monkeypatch, tmp_path):
    for _ in range(2):
        for name in ("a", "b"):
            log_once(logger, logging.WARNING, tmp_path / name, "%s is odd", name)
    assert [r.getMessage() for r in caplog.records] == ["a is odd", "b is odd"]
    monkeypatch.chdir(tmp_path)  # The same file by another name.
    log_once(logger, logging.WARNING, "a", "%s is odd", "a")
    assert len(caplog.records) == 2


def test_messages_that_are_not_shown_are_not_remembered(caplog, tmp_path):
    with caplog.at_level("ERROR"):
        log_once(logger, logging.WARNING, tmp_path, "odd")
    assert not caplog.records
    log_once(logger, logging.WARNING, tmp_path, "odd")
    assert len(caplog.records) == 1


def test_no_more_than_some_are_remembered(caplog, monkeypatch):
    monkeypatch.setattr(once, "REMEMBERED", 3)
    monkeypatch.setattr(once, "_logged", type(once._logged)())
    for number in (0, 1, 2, 3, 0):
        log_once(logger, logging.WARNING, "a", "%d", number)
    assert len(once._logged) == 3 and len(caplog.records) == 5
