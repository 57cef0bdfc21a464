"""Options of a command, added to messages that name arguments of the library."""

from __future__ import annotations

from collections.abc import Mapping
import inspect
import logging
import re
from typing import Any

# Arguments and functions whose option has another name, where the command has it.
OTHER_NAMES = {
    "alignment_sample": "no_alignment_sample",
    "fit_bundle_density": "bundle_files",
    "linear_skip": "no_linear_skip",
    "normalise": "no_normalization",
    "overwrite": "force",
    "path": "out_dir",
    "rate_schedule": "no_rate_schedule",
}
NAMED = re.compile(r"`(\w+)(?:=\w+)?`(?! \(--)")


def option_names(flow: Any) -> dict:
    """List the options that set the arguments of the library.

    Parameters
    ----------
    flow : Workflow
        Flow of a command.

    Returns
    -------
    options : dict of str to str
        Option without its dashes, by the name that the library uses.
    """
    options = {"force": "force", "log_level": "log_level"}
    for sub_flow in getattr(flow, "_get_sub_flows", list)():
        for name in _optional(sub_flow):
            options.setdefault(name, f"{sub_flow.get_short_name()}.{name}")
    options.update({name: name for name in _optional(flow)})
    other = {name: options[o] for name, o in OTHER_NAMES.items() if o in options}
    return {**other, **options}


def _optional(flow):
    """List the parameters of a flow that have a default."""
    parameters = inspect.signature(flow.run).parameters
    return [n for n, p in parameters.items() if p.default is not p.empty]


def name_options(text: str, options: Mapping[str, str]) -> str:
    """Add to each argument that a message names in backticks the option that sets it.

    Parameters
    ----------
    text : str
        Message of the library or of a flow.
    options : dict of str to str
        From `option_names`.

    Returns
    -------
    text : str
        Message with "(--option)" behind the first mention of each argument that has
        one.
    """
    added = set()

    def with_option(found):
        option = options.get(found[1])
        if option is None or option in added or f"--{option}" in text:
            return found[0]
        added.add(option)
        return f"{found[0]} (--{option})"

    return NAMED.sub(with_option, text)


class OptionsFormatter(logging.Formatter):
    """Formatter of log lines that names the options of a command.

    Parameters
    ----------
    text : str
        Format of a line, as for ``logging.Formatter``.
    options : dict of str to str
        From `option_names`.
    """

    def __init__(self, text: str, options: Mapping[str, str]) -> None:
        super().__init__(text)
        self.options = options

    def format(self, record: logging.LogRecord) -> str:
        """Format a record, with the options of the arguments that it names."""
        return name_options(super().format(record), self.options)
