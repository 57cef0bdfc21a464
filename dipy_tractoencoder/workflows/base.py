"""What our flows add to DIPY's: outputs that never collide, checked before any work."""

from glob import glob
import inspect
import logging
import os
from pathlib import Path
import sys
import tempfile

from dipy.workflows.workflow import Workflow

from dipy_tractoencoder.errors import (
    InputFileError,
    InvalidArgumentError,
    OutputFileError,
)
from dipy_tractoencoder.utils.atomic_files import check_writable

TABLES = (
    "out_table",
    "out_history",
    "out_bundles",
    "out_confusion",
    "out_summary",
    "out_profiles",
)


class TractoWorkflow(Workflow):
    """Workflow whose outputs are planned before it starts.

    A flow's ``run`` calls ``self.get_io_iterator()`` first, which reads the caller's
    arguments, and hands the result to `plan`.

    Attributes
    ----------
    command : str or None
        Command line that runs the flow, quoted for the shell; None from Python.
    """

    command = None

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        # DIPY 1.12 puts the lines of a parameter together without a space between
        # them, for the options of flows within a CombinedWorkflow.
        if cls.run.__doc__:
            cls.run.__doc__ = one_line_each(cls.run.__doc__)

    def manage_output_overwrite(self):
        """Leave existing outputs to `plan`, which knows which ones will be written."""
        return True

    def plan(self, io_it, *, inputs, gathered=(), unused=(), read=(), parts=None):
        """Decide where each input's outputs go, or raise before any work is done.

        Where several inputs would write to one file, the names get the parts of the
        inputs' paths that tell them apart in front.

        Parameters
        ----------
        io_it : dipy.workflows.multi_io.IOIterator
            What ``get_io_iterator`` returned.
        inputs : int
            Position of the argument that names the files to go through.
        gathered : sequence of str, optional
            Outputs that all inputs share.
        unused : sequence of str, optional
            Outputs that will not be written this time.
        read : sequence of str, Path or None, optional
            Files read besides the positional arguments, not to be replaced either.
        parts : dict of str to sequence of str, optional
            Outputs of which there is one file per name (of a bundle, say), which goes
            in front of the file's.

        Returns
        -------
        rows : list of tuple
            Input path and a dictionary from output argument to path, per input; for
            ``parts``, to a dictionary from name to path.

        Raises
        ------
        OutputFileError
            If an output exists, cannot be written, or would replace an input.
        InputFileError
            If an input is given twice, or there are several files in place of one.
        """
        for position in range(inputs):
            alone = sorted(set(map(str, io_it.inputs[position])))
            if len(alone) > 1:
                raise InputFileError(
                    f"Expected one file in place {position + 1}, the model, and then "
                    f"those to work on. Received a folder or wildcard: "
                    f"{', '.join(alone)}."
                )
        paths = [Path(path) for path in io_it.inputs[inputs]]
        seen = set()
        for path in paths:
            if path.resolve() in seen:
                raise InputFileError(f"{path} is given twice. Give it once.")
            seen.add(path.resolve())
        wanted = [key for key in io_it.out_keys if key not in unused]
        for key, out in zip(io_it.out_keys, io_it.outputs[0]):
            if key in TABLES and key in wanted and Path(out).suffix != ".csv":
                raise OutputFileError(
                    f"Cannot write {out}: {key} is a table of comma-separated values. "
                    "Give a name that ends in .csv."
                )
        rows = [
            (path, {key: Path(out) for key, out in zip(io_it.out_keys, outputs)})
            for path, outputs in zip(paths, io_it.outputs)
        ]
        prefixes = distinguishing_names(paths)
        for key in wanted:
            targets = [outputs[key] for _, outputs in rows]
            for (_, outputs), prefix in zip(rows, prefixes):
                if key in gathered:
                    outputs[key] = targets[0]
                elif len(set(targets)) < len(targets):
                    outputs[key] = outputs[key].with_name(
                        f"{prefix}_{outputs[key].name}"
                    )
        for _, outputs in rows:
            for key, names in (parts or {}).items():
                path = outputs[key]
                outputs[key] = {n: path.with_name(f"{n}_{path.name}") for n in names}
        places = {
            place
            for _, outputs in rows
            for key in wanted
            for place in _places(key, outputs[key])
        }
        targets = {path for _, path in places}
        for target in sorted(targets):
            sharing = sorted(key for key, path in places if path == target)
            if len(sharing) > 1:
                raise OutputFileError(
                    f"{' and '.join(sharing)} are the same file, {target}. Give them "
                    "different names."
                )
        given = {Path(path).resolve() for group in io_it.inputs for path in group}
        given |= {Path(path).resolve() for path in read if path}
        for target in sorted(targets):
            if target.resolve() in given:
                raise OutputFileError(f"{target} is an input, and would be replaced.")
        existing = sorted(str(target) for target in targets if target.is_file())
        if existing and not self._force_overwrite:
            raise OutputFileError(
                f"Output exists: {', '.join(existing)}. Nothing was done. Add --force "
                "to replace, or choose another --out_dir."
            )
        for target in sorted(targets):
            check_writable(target)
        self.generated = [{key: outputs[key] for key in wanted} for _, outputs in rows]
        self.last_generated_outputs = {
            name: str(path)
            for key, path in self.generated[0].items()
            for name, path in _places(key, path)
        }
        self.flat_outputs = [str(target) for target in sorted(targets)]
        return [(path, outputs) for (path, _), outputs in zip(rows, self.generated)]


def one_line_each(doc):
    """Put the description of each parameter of a docstring on one line.

    Parameters
    ----------
    doc : str
        In numpydoc's style.

    Returns
    -------
    doc : str
        The same text with other line ends.
    """
    before, mark, after = inspect.cleandoc(doc).partition("Parameters\n----------\n")
    lines = []
    for line in after.splitlines():
        if line.startswith(" ") and lines and lines[-1].startswith(" "):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    return before + mark + "\n".join(lines)


def _places(key, path):
    """List names and paths of an output that is one file, or one per part."""
    if isinstance(path, dict):
        return [(f"{key}_{part}", place) for part, place in path.items()]
    return [(key, path)]


def chosen_options(run, values):
    """Take the options of a flow out of its local variables, for a report.

    Parameters
    ----------
    run : method
        The flow's ``run``.
    values : dict
        Its local variables, before it changes any.

    Returns
    -------
    settings, defaults : dict
        Name of an option to its value, and to its default; without outputs.
    """
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(run).parameters.items()
        if parameter.default is not parameter.empty and not name.startswith("out_")
    }
    return {name: values[name] for name in defaults}, defaults


def found_files(patterns):
    """Files that paths and wildcards stand for, as DIPY expands its inputs.

    Parameters
    ----------
    patterns : list of str, or None
        Paths, some with wildcards.

    Returns
    -------
    paths : list of Path, or None
        Sorted per pattern; a path without wildcards is kept whether it exists or not.

    Raises
    ------
    InputFileError
        If a wildcard finds nothing.
    """
    if not patterns:
        return None
    paths = []
    for pattern in map(str, patterns):
        wild = any(character in pattern for character in "*?[")
        found = sorted(glob(pattern)) if wild else [pattern]
        if not found:
            raise InputFileError(f"File not found: {pattern}.")
        paths += map(Path, found)
    return paths


def shared_files(paths, others):
    """List files that are in both of two lists, whatever way they are written.

    Parameters
    ----------
    paths, others : iterable of str or Path
        Files.

    Returns
    -------
    shared : list of Path
        Resolved, sorted.
    """
    one, other = ({Path(path).resolve() for path in some} for some in (paths, others))
    return sorted(one & other)


def as_list(values):
    """Make a list of what may be one value, several, or none.

    Parameters
    ----------
    values : str, Path, sequence or None
        As an option arrives from the shell or from Python.

    Returns
    -------
    values : list
        Empty for None.
    """
    if values is None:
        return []
    return list(values) if isinstance(values, (list, tuple)) else [values]


def distinguishing_names(paths):
    """Short names that tell files apart.

    Parameters
    ----------
    paths : list of Path
        Different files.

    Returns
    -------
    names : list of str
        Stem of each, with as many of its folders in front as all of them need to
        differ, joined by underscores; with its extension if files of one folder
        differ in nothing else; numbered if even that leaves two alike.
    """
    stems = [path.resolve().with_suffix("") for path in paths]
    alike = len(set(stems)) < len(stems)
    last = [path.name.replace(".", "_") if alike else path.stem for path in paths]
    full = [[*stem.parent.parts[1:], name] for stem, name in zip(stems, last)]
    for depth in range(1, max(len(parts) for parts in full) + 1):
        names = ["_".join(parts[-depth:]) for parts in full]
        if len(set(names)) == len(names):
            return names
    return [f"{name}_{number}" for number, name in enumerate(names, start=1)]


def check_figure_extension(path):
    """Raise unless matplotlib can write a figure under this name.

    Parameters
    ----------
    path : str or Path
        File to be written.

    Raises
    ------
    InvalidArgumentError
        If the extension is unknown.
    """
    known = (".png", ".pdf", ".svg", ".jpg")
    if Path(path).suffix.lower() not in known:
        raise InvalidArgumentError(
            f"Cannot write {path}: a figure's file ends in one of {' '.join(known)}."
        )


def load_backend():
    """Import Keras without the start-up notes of its backend.

    TensorFlow writes them from compiled code whatever its log level is. They are kept
    back unless our log level is DEBUG or the import fails.
    """
    if logging.getLogger("dipy_tractoencoder").isEnabledFor(logging.DEBUG):
        import keras  # noqa: F401

        return
    # Files of different sizes make it trace a network again, which it warns of.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            import keras

            # Loads TensorFlow if it is there, as Keras would later with any backend.
            keras.dtype_policies.serialize(keras.dtype_policies.get("float32"))
        except (ImportError, ValueError) as err:
            notes.seek(0)
            os.write(kept, notes.read())
            raise InvalidArgumentError(
                f"Cannot use the Keras backend (KERAS_BACKEND="
                f"{os.environ.get('KERAS_BACKEND', 'tensorflow')}): {err}. Install it, "
                "or choose tensorflow, jax or torch."
            ) from err
        finally:
            os.dup2(kept, 2)
            os.close(kept)
