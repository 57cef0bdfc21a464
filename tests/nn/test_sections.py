"""Sections: named bytes of a model, checked at one door, inside its fingerprint."""

import pickle

import pytest

from dipy_tractoencoder.errors import InvalidArgumentError
from dipy_tractoencoder.nn import sections as module
from dipy_tractoencoder.nn.provenance import fingerprint
from dipy_tractoencoder.nn.sections import MOST_SECTIONS, Sections


@pytest.mark.parametrize("name", ["", "A", "a b", "a.bin", "../a", "a" * 41, 3, "a\n"])
def test_names_that_are_refused(name):
    with pytest.raises(InvalidArgumentError, match="name of a section"):
        Sections({name: b""})


@pytest.mark.parametrize("content", [3, None, bytearray(b"x"), [1]])
def test_contents_that_are_refused(content):
    with pytest.raises(InvalidArgumentError, match="'a'.*bytes"):
        Sections({"a": content})


def test_limits(monkeypatch):
    sections = Sections(dict.fromkeys("abcdefgh", b"x"))
    assert len(sections) == MOST_SECTIONS
    sections["a"] = b"changed"
    with pytest.raises(InvalidArgumentError, match="up to 8"):
        sections["i"] = b"x"
    monkeypatch.setattr(module, "LARGEST_SECTION", 3)
    with pytest.raises(InvalidArgumentError, match="'b'.* 4 bytes"):
        sections["b"] = b"1234"


def test_contents_and_digests():
    sections = Sections({"b": b"two", "a": b"\x00\xff"})
    assert list(sections) == ["a", "b"] == list(sections.digests)
    assert dict(Sections(sections.to_config())) == dict(sections)
    before = sections.digests["b"]
    sections["b"] = b"other"
    assert sections.digests["b"] != before
    del sections["b"]
    assert list(sections.digests) == ["a"]
    assert repr(sections) == "Sections(a: 2 bytes)"


def test_they_are_part_of_the_fingerprint(trained_ae):
    model = type(trained_ae).from_config(trained_ae.get_config())
    model.set_weights(trained_ae.get_weights())
    assert model.sections is not trained_ae.sections
    assert dict(model.sections) == dict(trained_ae.sections) != {}
    assert fingerprint(model) == fingerprint(trained_ae)
    model.sections["more"] = b"x"
    marks = {fingerprint(model)}
    model.sections["more"] = b"y"
    marks.add(fingerprint(model))
    model.sections = {"other": b"y"}
    marks.add(fingerprint(model))
    model.sections = None
    marks.add(fingerprint(model))
    assert len(marks) == 4 and fingerprint(trained_ae) not in marks


def test_pickles_carry_them(trained_ae):
    again = pickle.loads(pickle.dumps(trained_ae))
    assert dict(again.sections) == dict(trained_ae.sections) != {}
    assert fingerprint(again) == fingerprint(trained_ae)
