"""Base of the flows: outputs that never collide, checked before any work."""

from collections.abc import Callable, Sequence
import inspect
import logging
import os
from pathlib import Path
import sys
import tempfile
from typing import Any

from dipy.workflows.multi_io import IOIterator
from dipy.workflows.workflow import Workflow

from dipy_tractoencoder.errors import (
    InputFileError,
    InvalidArgumentError,
    OutputFileError,
)
from dipy_tractoencoder.io.formats import READABLE, file_stem
from dipy_tractoencoder.io.names import stored_names
from dipy_tractoencoder.io.paths import tractogram_files
from dipy_tractoencoder.utils.atomic_files import check_writable
from dipy_tractoencoder.workflows.docstrings import docstring_in_source, one_line_each
from dipy_tractoencoder.workflows.inputs import single_file

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
    # Files that are read in folders, and what they are.
    input_extensions: tuple[str, ...] = READABLE
    input_kind = "tractogram"

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        # For flows within a CombinedWorkflow, DIPY 1.12 joins the lines of the
        # description of a parameter without a space.
        if "run" in vars(cls):
            doc = cls.run.__doc__ or docstring_in_source(cls.run)
            cls.run.__doc__ = one_line_each(doc)

    def get_io_iterator(self) -> IOIterator:
        """Pair the inputs of the caller, the flow's ``run``, with its outputs.

        DIPY takes a name with brackets for a wildcard even if there is such a file, and
        all files in a folder for inputs. Here, `io.paths.tractogram_files` finds the
        files of ``input_files``; other arguments without a default are single files.

        Returns
        -------
        io_it : dipy.workflows.multi_io.IOIterator
            Inputs and outputs, for `plan`.

        Raises
        ------
        InputFileError
            If a file is missing, a folder has no tractogram, or several files are
            given where one is expected.
        """
        caller = inspect.currentframe()
        values = caller.f_back.f_locals  # type: ignore[union-attr]
        inputs: list[list[Path]] = []
        outputs: dict[str, Any] = {}
        for name, parameter in inspect.signature(self.run).parameters.items():
            if parameter.default is parameter.empty:
                inputs.append(self._paths_of(name, values[name], len(inputs) + 1))
            elif name.startswith("out_") and name != "out_dir":
                outputs[name] = values[name]
        io_it = IOIterator(
            output_strategy=self._output_strategy, mix_names=self._mix_names
        )
        io_it.inputs = inputs
        io_it.set_out_dir(values["out_dir"])
        io_it.set_out_fnames(*outputs.values())
        io_it.create_outputs()
        io_it.set_output_keys(*outputs)
        return io_it

    def _paths_of(self, name, value, position):
        """List the files of an argument."""
        if name != "input_files":
            return single_file(value, position)
        return tractogram_files(
            value, extensions=self.input_extensions, kind=self.input_kind
        )

    def manage_output_overwrite(self) -> bool:
        """Allow existing outputs here; `plan` checks those that will be written."""
        return True

    def plan(
        self,
        io_it: Any,
        *,
        inputs: int,
        gathered: Sequence[str] = (),
        unused: Sequence[str] = (),
        read: Sequence[str | Path | None] = (),
        parts: dict | None = None,
    ) -> list[tuple]:
        """Choose the output paths of each input, or raise an error before any work.

        If several inputs would write to the same file, the parts of the input paths
        that differ are put in front of the names.

        Parameters
        ----------
        io_it : dipy.workflows.multi_io.IOIterator
            Return value of ``get_io_iterator``.
        inputs : int
            Position of the argument with the input files.
        gathered : sequence of str, optional
            Outputs that all inputs share.
        unused : sequence of str, optional
            Outputs that are not written in this run.
        read : sequence of str, Path or None, optional
            Other files that are read, and must not be replaced.
        parts : dict of str to sequence of str, optional
            Outputs with one file per name (of a bundle, for example); the name is put
            in front of the file name.

        Returns
        -------
        rows : list of tuple
            Per input: its path, and a dict of the path of each output by the name of
            the argument; for ``parts``, a dict of paths by name.

        Raises
        ------
        OutputFileError
            If an output exists, cannot be written, or would replace an input.
        InputFileError
            If an input is given twice.
        """
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
        rows: list[tuple[Path, dict[str, Any]]] = [
            (path, {key: Path(out) for key, out in zip(io_it.out_keys, outputs)})
            for path, outputs in zip(paths, io_it.outputs)
        ]
        prefixes = distinguishing_names(paths)
        for key in wanted:
            paths_of_key = [outputs[key] for _, outputs in rows]
            for (_, outputs), prefix in zip(rows, prefixes):
                if key in gathered:
                    outputs[key] = paths_of_key[0]
                elif len(set(paths_of_key)) < len(paths_of_key):
                    outputs[key] = outputs[key].with_name(
                        f"{prefix}_{outputs[key].name}"
                    )
        for _, outputs in rows:
            for key, names in (parts or {}).items():
                path = outputs[key]
                outputs[key] = {
                    name: path.with_name(f"{stored}_{path.name}")
                    for name, stored in stored_names(names, "file", path).items()
                }
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


def _places(key, path):
    """List names and paths of an output that is one file, or one file per part."""
    if isinstance(path, dict):
        return [(f"{key}_{part}", place) for part, place in path.items()]
    return [(key, path)]


def chosen_options(run: Callable, values: dict) -> tuple[dict, dict]:
    """Return the options of a flow and their defaults, for a report.

    Parameters
    ----------
    run : method
        The flow's ``run``.
    values : dict
        Local variables of ``run``, before it changes any.

    Returns
    -------
    settings : dict
        Value of each option, without outputs.
    defaults : dict
        Default of each option.
    """
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(run).parameters.items()
        if parameter.default is not parameter.empty and not name.startswith("out_")
    }
    return {name: values[name] for name in defaults}, defaults


def shared_files(
    paths: Sequence[str | Path], others: Sequence[str | Path]
) -> list[Path]:
    """List the files that are in both of two lists.

    Parameters
    ----------
    paths, others : iterable of str or Path
        Files, as absolute or relative paths.

    Returns
    -------
    shared : list of Path
        Resolved paths, sorted.
    """
    one, other = ({Path(path).resolve() for path in some} for some in (paths, others))
    return sorted(one & other)


def as_list(values: str | Path | Sequence | None) -> list:
    """Return a list of one value, several values or none.

    Parameters
    ----------
    values : str, Path, sequence or None
        Value of an option, from the shell or from Python.

    Returns
    -------
    values : list
        The values; empty for None.
    """
    if values is None:
        return []
    return list(values) if isinstance(values, (list, tuple)) else [values]


def distinguishing_names(paths: list[Path]) -> list[str]:
    """Return short names that differ from file to file.

    Parameters
    ----------
    paths : list of Path
        Different files.

    Returns
    -------
    names : list of str
        File name without extension, preceded by as many of its folders as are needed
        for all names to differ, joined by underscores; with the extension if files of
        one folder differ in nothing else; numbered if names are still equal.
    """
    stems = [path.resolve().with_name(file_stem(path)) for path in paths]
    alike = len(set(stems)) < len(stems)
    last = [path.name.replace(".", "_") if alike else file_stem(path) for path in paths]
    full = [[*stem.parent.parts[1:], name] for stem, name in zip(stems, last)]
    for depth in range(1, max(len(parts) for parts in full) + 1):
        names = ["_".join(parts[-depth:]) for parts in full]
        if len(set(names)) == len(names):
            return names
    return [f"{name}_{number}" for number, name in enumerate(names, start=1)]


def check_figure_extension(path: str | Path) -> None:
    """Raise an error unless matplotlib can write a figure with this extension.

    Parameters
    ----------
    path : str or Path
        File to write.

    Raises
    ------
    InvalidArgumentError
        If the extension is unknown.
    """
    known = (".png", ".pdf", ".svg", ".jpg")
    if Path(path).suffix.lower() not in known:
        raise InvalidArgumentError(
            f"Cannot write {path}: the name of a figure ends in one of "
            f"{' '.join(known)}."
        )


def load_applied_model(path: str | Path) -> Any:
    """Read a model for encoding and decoding, with a backend only if it needs one.

    Parameters
    ----------
    path : str or Path
        Model file.

    Returns
    -------
    model : DenseModel, StreamlineAutoencoder or StreamlineVAE
        Model to apply, not to train.

    Raises
    ------
    InputFileError, FingerprintError
        If the file is no model, or damaged.
    """
    from dipy_tractoencoder.nn import applied_file, model_file

    model = applied_file.load_dense_model(path)
    if model is not None:
        return model
    load_backend()
    return model_file.load_model(path)


def load_backend() -> None:
    """Import Keras without the start-up messages of its backend.

    TensorFlow writes them from compiled code, whatever its log level. They are shown
    only if our log level is DEBUG or the import fails.
    """
    if logging.getLogger("dipy_tractoencoder").isEnabledFor(logging.DEBUG):
        import keras  # noqa: F401

        return
    # TensorFlow warns when files of different sizes make it trace a network again.
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
