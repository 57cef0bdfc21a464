"""Keras model that carries sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dipy_tractoencoder.nn.keras_settings import UnforkedModel
from dipy_tractoencoder.nn.sections import Sections


class SectionedModel(UnforkedModel):
    """Keras model with sections, which its configuration holds.

    Parameters
    ----------
    sections : mapping of str to bytes, optional
        Contents by name.
    **kwargs
        Arguments of ``keras.Model``.
    """

    def __init__(
        self, *, sections: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.sections = sections

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; sections without Keras, which would track and wrap them."""
        if name == "sections":
            object.__setattr__(self, name, value)  # The setter below.
        else:
            super().__setattr__(name, value)

    @property
    def sections(self) -> Sections:
        """Named parts that are stored with the model; empty by default."""
        return self.__dict__["_sections"]

    @sections.setter
    def sections(self, values: Mapping[str, Any] | None) -> None:
        self.__dict__["_sections"] = Sections(values)

    def with_sections(self, config: dict[str, Any]) -> dict[str, Any]:
        """Return a configuration, and ``sections`` in it if there are any."""
        if not self.sections:
            return config
        return {**config, "sections": self.sections.to_config()}
