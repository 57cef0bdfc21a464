"""Named parts of a model, as bytes that are stored with it but not interpreted here.

`nn.alignment` keeps the reference for alignment in one. Each section is part of the
model's fingerprint.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, MutableMapping
import hashlib
import re
from typing import Any

from dipy_tractoencoder.errors import InvalidArgumentError, format_received

NAME = re.compile("[a-z_]{1,40}")
LARGEST_SECTION = 64 * 2**20  # bytes
MOST_SECTIONS = 8


class Sections(MutableMapping):
    """Sections of a model: bytes by name, with their digests.

    Parameters
    ----------
    values : mapping of str to bytes, optional
        Content by name: up to 40 letters a to z and underscores. Texts are decoded
        (base64), see `to_config`.

    Raises
    ------
    InvalidArgumentError
        If a name is not allowed, a content is not bytes or larger than 64 MiB, or there
        are more than 8 sections.

    Examples
    --------
    >>> from dipy_tractoencoder.nn.sections import Sections
    >>> sections = Sections({"notes": b"made on a Monday"})
    >>> list(sections), sections.digests["notes"][:8]
    (['notes'], '7b77b272')
    """

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._contents: dict[str, bytes] = {}
        self._digests: dict[str, str] = {}
        for name, content in (values or {}).items():
            self[name] = (
                base64.b64decode(content, validate=True)
                if isinstance(content, str)
                else content
            )

    def __setitem__(self, name: str, content: bytes) -> None:
        check_section(name, content)
        if name not in self._contents and len(self) >= MOST_SECTIONS:
            raise InvalidArgumentError(
                f"A model has up to {MOST_SECTIONS} sections. Remove one before adding "
                f"{name!r}."
            )
        self._contents[name] = content
        self._digests[name] = hashlib.sha256(content).hexdigest()

    def __getitem__(self, name: str) -> bytes:
        return self._contents[name]

    def __delitem__(self, name: str) -> None:
        del self._contents[name], self._digests[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._contents))

    def __len__(self) -> int:
        return len(self._contents)

    def __repr__(self) -> str:
        sizes = (f"{name}: {len(content)} bytes" for name, content in self.items())
        return f"Sections({', '.join(sizes)})"

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 digest of each section, 64 hexadecimal digits."""
        return {name: self._digests[name] for name in self}

    def to_config(self) -> dict[str, str]:
        """Return the contents as texts (base64), which JSON can hold."""
        return {name: base64.b64encode(self[name]).decode() for name in self}


def check_section(name: Any, content: Any) -> None:
    """Raise an error unless a section can be stored.

    Parameters
    ----------
    name : str
        Name of the section.
    content : bytes
        Its content.

    Raises
    ------
    InvalidArgumentError
        If the name is not allowed, or the content is not bytes or too large.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InvalidArgumentError(
            "Invalid name of a section. Expected 1 to 40 letters a to z and "
            f"underscores. Received: {format_received(name)}."
        )
    if not isinstance(content, bytes):
        raise InvalidArgumentError(
            f"Invalid content of the section {name!r}. Expected bytes. Received: "
            f"{format_received(content)}."
        )
    if len(content) > LARGEST_SECTION:
        raise InvalidArgumentError(
            f"The section {name!r} has {len(content)} bytes, but up to "
            f"{LARGEST_SECTION} can be stored."
        )
