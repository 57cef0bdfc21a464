"""Settings of a training have one name, default, type and description everywhere."""

from dataclasses import fields
import inspect
import re

from flow_data import flow_class
import pytest

import dipy_tractoencoder as dte
from dipy_tractoencoder.training.settings import TrainingSettings
from dipy_tractoencoder.workflows.options import OTHER_NAMES

FIELDS = fields(TrainingSettings)
NAMES = [field.name for field in FIELDS]
FUNCTIONS = (dte.train, dte.run_training, dte.StreamlineEmbedding)

every_function = pytest.mark.parametrize(
    "function", FUNCTIONS, ids=lambda function: function.__name__
)


def described(doc, section):
    """Type and description of each name in a section of a docstring."""
    text = inspect.cleandoc(doc).partition(f"{section}\n{'-' * len(section)}\n")[2]
    text = re.split(r"^\w[\w ]*\n-+$", text, maxsplit=1, flags=re.M)[0]
    found = re.findall(r"^(\w+) : (.+)\n((?:(?: .*)?(?:\n|$))+)", text, flags=re.M)
    return {name: (kind, " ".join(help.split())) for name, kind, help in found}


WANTED = described(TrainingSettings.__doc__, "Attributes")


def test_every_setting_is_described():
    assert list(WANTED) == NAMES
    assert all(help.endswith(".") for _, help in WANTED.values())


@every_function
def test_signatures_have_the_defaults_and_types_of_the_settings(function):
    parameters = inspect.signature(function).parameters
    shown = [name for name in parameters if name != "tractograms"]
    assert shown[: len(NAMES)] == NAMES
    for field in FIELDS:
        parameter = parameters[field.name]
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert (parameter.default, type(parameter.default)) == (
            field.default,
            type(field.default),
        )
        wanted = inspect.formatannotation(field.type)
        assert inspect.formatannotation(parameter.annotation).strip("'") == wanted


@every_function
def test_docstrings_describe_the_settings_in_the_same_words(function):
    found = described(function.__doc__, "Parameters")
    for name, (kind, help) in WANTED.items():
        kind = kind.removesuffix(" or None")
        assert found[name] == (f"{kind}, optional", help), name


def test_the_command_describes_its_options_in_the_same_words():
    found = described(flow_class("dipy_train_vae").run.__doc__, "Parameters")
    for name, (_, help) in WANTED.items():
        option = OTHER_NAMES.get(name, name)
        assert option in found
        if option == name:  # An option that switches a setting off says the reverse.
            assert found[name][1] == help, name


@every_function
def test_unknown_arguments_are_named(function):
    given = () if function is dte.StreamlineEmbedding else ([],)
    with pytest.raises(TypeError, match="latent_size"):
        function(*given, latent_size=3)
