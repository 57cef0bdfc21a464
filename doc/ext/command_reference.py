"""Pages of the command reference, from the flows, by the parser that runs them.

`reference_pages` needs DIPY only; Sphinx calls it before it looks for pages.
"""

import argparse
import importlib
import inspect
from pathlib import Path
import re

DOC = Path(__file__).resolve().parents[1]
BIN = DOC.parent / "bin"
FOLDER = DOC / "generated" / "commands"

# Order of the overview; commands that are not named here follow.
ORDER = (
    "dipy_vae_demo",
    "dipy_train_vae",
    "dipy_encode_vae",
    "dipy_decode_vae",
    "dipy_reconstruct_vae",
    "dipy_filter_vae",
    "dipy_label_vae",
    "dipy_sample_vae",
    "dipy_compare_vae",
    "dipy_evaluate_vae",
    "dipy_explore_vae",
    "dipy_simulate_fibercup",
)
SPECIAL = re.compile(r"([\\*`|_<>])")
# Options and commands in a text, which become code and links.
MARKED = re.compile(r"(?<![\w`-])(--[a-z][\w.]*\w|dipy_[a-z_]+)")
# What inline markup may follow, and be followed by.
BEFORE, AFTER = " '\"([{<-/:", " '\")]}>-/:.,;!?"


class _Ready(Exception):
    """The parser is complete."""


def find_commands():
    """Find the commands, and the flows behind them.

    Returns
    -------
    commands : dict of str to type
        Name of the script in bin to its flow.
    """
    found = {}
    pattern = r"from (dipy_tractoencoder\.workflows\.\w+) import (\w+Flow)$"
    for script in sorted(BIN.glob("dipy_*")):
        ((module, flow),) = re.findall(
            pattern, script.read_text(encoding="utf-8"), flags=re.M
        )
        found[script.name] = getattr(importlib.import_module(module), flow)
    known = {name: place for place, name in enumerate(ORDER)}
    names = sorted(found, key=lambda name: (known.get(name, len(known)), name))
    return {name: found[name] for name in names}


def complete_parser(name, flow):
    """Make the parser of a command, with the options that DIPY adds to all.

    Parameters
    ----------
    name : str
        The command.
    flow : type
        Its flow.

    Returns
    -------
    parser : dipy.workflows.base.IntrospectiveArgumentParser
        As ``--help`` shows it.
    """
    from dipy.workflows import flow_runner

    from dipy_tractoencoder import __version__

    made = []

    class Parser(flow_runner.IntrospectiveArgumentParser):
        def get_flow_args(self, args=None, namespace=None):
            made.append(self)
            raise _Ready

    kept = flow_runner.IntrospectiveArgumentParser
    flow_runner.IntrospectiveArgumentParser = Parser
    try:
        version = {"version": {"action": "version", "version": __version__}}
        flow_runner.run_flow(flow(), extra_args=version)
    except _Ready:
        pass
    finally:
        flow_runner.IntrospectiveArgumentParser = kept
    (parser,) = made
    parser.prog = name
    return parser


def plain(text, own=""):
    """Write text of a docstring as reStructuredText.

    Parameters
    ----------
    text : str
        Without markup.
    own : str, optional
        Command that the text is about, which is not linked.

    Returns
    -------
    text : str
        In one line; options are code, other commands links to their pages.
    """
    text = " ".join(text.split())
    shown, end = [], 0
    for match in MARKED.finditer(text):
        word = match.group()
        is_command = (BIN / word).is_file()
        if not (is_command or word.startswith("--")):
            continue
        shown.append(SPECIAL.sub(r"\\\1", text[end : match.start()]))
        end = match.end()
        if match.start() and text[match.start() - 1] not in BEFORE:
            shown.append("\\ ")
        linked = is_command and word != own
        shown.append(f":ref:`{word} <{word}>`" if linked else f"``{word}``")
        if text[end : end + 1] and text[end] not in AFTER:
            shown.append("\\ ")
    return "".join(shown) + SPECIAL.sub(r"\\\1", text[end:])


def argument_lines(action, own):
    """Write one argument.

    Parameters
    ----------
    action : argparse.Action
        Of the parser.
    own : str
        Its command.

    Returns
    -------
    lines : list of str
        reStructuredText.
    """
    text, _, default = (action.help or "").rpartition(" (default: ")
    if not text:
        text, default = action.help or "", ""
    default = default.removesuffix(")").strip()
    several = " ..." if action.nargs in ("*", "+") else ""
    heads = action.option_strings or [action.dest + several]
    if action.option_strings and action.metavar:
        heads = [f"{head} <{action.metavar}>{several}" for head in heads]
    text = plain(text, own)
    if default and default != "None" and action.nargs != 0:
        text = f"{text} Default: ``{default}``"
    lines = [f".. option:: {', '.join(heads)}", "", f"   {text}"]
    return [*lines, ""]


def underlined(text, mark):
    """Make a heading.

    Parameters
    ----------
    text : str
        What it says.
    mark : str
        What it is underlined with.

    Returns
    -------
    lines : list of str
        reStructuredText.
    """
    return [text, mark * len(text), ""]


def command_page(name, flow):
    """Write the page of a command.

    Parameters
    ----------
    name : str
        The command.
    flow : type
        Its flow.

    Returns
    -------
    page : str
        reStructuredText.
    """
    from dipy.workflows.docstring_parser import NumpyDocString

    parser = complete_parser(name, flow)
    doc = NumpyDocString(inspect.getdoc(flow.run))
    summary = " ".join(doc["Summary"])
    (example,) = re.findall(
        r"^Example: (.+)$", inspect.getdoc(flow.run), flags=re.MULTILINE
    )
    text = "\n".join(doc["Extended Summary"])
    paragraphs = [
        part
        for part in re.split(r"\n\s*\n", text)
        if part.strip() and not part.strip().startswith("Example: ")
    ]
    usage = parser.format_usage().removeprefix("usage: ").rstrip()
    lines = [f".. _{name}:", "", *underlined(name, "="), plain(summary, name), ""]
    lines += [".. code-block:: bash", "", f"   {example}", ""]
    for paragraph in paragraphs:
        lines += [plain(paragraph, name), ""]
    lines += [".. program:: " + name, ""]
    documented = set(inspect.signature(flow.run).parameters)
    common = []
    for group in parser._action_groups:
        title = group.title.replace("arguments(optional)", "").strip()
        actions = []
        for action in group._group_actions:
            own = action.dest in documented or "." in action.dest
            (actions if own else common).append(action)
        if not actions:
            continue
        words = {"positional arguments": "Inputs", "options": "Options"}
        title = words.get(
            title, "Outputs" if title == "output" else f"Options of {title}"
        )
        lines += underlined(title, "-")
        for action in actions:
            lines += argument_lines(action, name)
    lines += underlined("Options of all commands", "-")
    for action in common:
        if not isinstance(action, argparse._HelpAction):
            lines += argument_lines(action, name)
    lines += underlined("Usage", "-")
    lines += [".. code-block:: text", ""]
    lines += [f"   {line}".rstrip() for line in usage.splitlines()]
    return "\n".join(lines) + "\n"


def reference_pages():
    """Write the pages of all commands and their overview.

    Returns
    -------
    pages : dict of str to str
        Name of the page to reStructuredText; "index" is the overview.
    """
    commands = find_commands()
    pages = {name: command_page(name, flow) for name, flow in commands.items()}
    lines = [
        *underlined("Commands", "="),
        "These pages show the same text as ``--help``. Commands that read tractograms",
        "accept several files; all commands take DIPY's common options.",
        "",
        ".. list-table::",
        "   :widths: auto",
        "",
    ]
    from dipy.workflows.docstring_parser import NumpyDocString

    for name, flow in commands.items():
        summary = NumpyDocString(inspect.getdoc(flow.run))["Summary"]
        lines += [
            f"   * - :ref:`{name} <{name}>`",
            f"     - {plain(' '.join(summary))}",
        ]
    lines += ["", ".. toctree::", "   :hidden:", ""]
    pages["index"] = "\n".join([*lines, *(f"   {name}" for name in commands), ""])
    return pages


def write_pages(folder, pages):
    """Write pages that changed, and remove those that are no more.

    Parameters
    ----------
    folder : Path
        Where they go.
    pages : dict of str to str
        As from `reference_pages`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.rst"):
        if path.stem not in pages:
            path.unlink()
    for name, page in pages.items():
        path = folder / f"{name}.rst"
        if not path.is_file() or path.read_text(encoding="utf-8") != page:
            path.write_text(page, encoding="utf-8")


def setup(app):
    """Write the pages before Sphinx looks for any.

    Parameters
    ----------
    app : sphinx.application.Sphinx
        The site in the making.

    Returns
    -------
    about : dict
        What Sphinx asks of extensions.
    """
    app.connect(
        "config-inited", lambda app, config: write_pages(FOLDER, reference_pages())
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
