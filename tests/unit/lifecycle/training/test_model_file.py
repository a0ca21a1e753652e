"""Loading models.py: the models in it, and errors that name the file, the line and the mend."""

import textwrap

import pytest

from featurestore.foundation.errors import UnskewError
from lifecycle.errors import ModelDefinitionError
from lifecycle.training.model_file import find_model, load_models

MODEL = 'Model("{name}", service="{service}", label="{label}", train=len, owner="me@example.org")'


@pytest.fixture
def write(tmp_path):
    def write_file(text):
        path = tmp_path / "models.py"
        path.write_text("from lifecycle.training import Model, Threshold\n" + textwrap.dedent(text))
        return path

    return write_file


def model(name="first", service="mixed", label="comes"):
    return MODEL.format(name=name, service=service, label=label)


def test_the_models_of_a_file_by_name(write, catalog):
    path = write(f"one = {model('first')}\ntwo = {model('second')}\nagain = two\n")
    assert sorted(load_models(path, catalog)) == ["first", "second"]


def test_a_file_may_import_the_files_beside_it(write, catalog, tmp_path):
    (tmp_path / "beside.py").write_text("NAME = 'first'\n")
    path = write(f"import beside\none = {model('first')}\nassert beside.NAME == one.name\n")
    assert list(load_models(path, catalog)) == ["first"]


def test_a_file_that_is_not_there(tmp_path, catalog):
    with pytest.raises(ModelDefinitionError, match="no such file") as caught:
        load_models(tmp_path / "models.py", catalog)
    assert "models.py" in str(caught.value.where)


def test_two_models_of_one_name(write, catalog):
    with pytest.raises(ModelDefinitionError, match="two models are called 'first'"):
        load_models(write(f"one = {model('first')}\ntwo = {model('first', label='pays')}\n"), catalog)


@pytest.mark.parametrize(("kind", "near"), [("service", "mixed"), ("label", "comes")])
def test_what_is_not_defined_is_named_with_the_nearest(write, catalog, kind, near):
    with pytest.raises(ModelDefinitionError, match=f"{kind} '{near}x' is not defined") as caught:
        load_models(write(f"one = {model(**{kind: near + 'x'})}\n"), catalog)
    assert near in str(caught.value.mend)
    assert "first" in str(caught.value.where)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("one = Model(", "Python cannot read it"),
        ("import no_such_module", "no_such_module"),
        ("one = Modle()", "Modle"),
        ("one = 1 / 0", "ZeroDivisionError"),
        ('one = Model("first", service="mixed", label="comes", train=len, owner="")', "no owner"),
        ('one = Model("first", service="mixed")', "missing"),
    ],
)
def test_a_file_that_does_not_run_names_its_line(write, catalog, text, what):
    with pytest.raises(UnskewError, match=what) as caught:
        load_models(write(text), catalog)
    assert "models.py:2" in str(caught.value.where)
    assert caught.value.mend


def test_finding_a_model_suggests_the_nearest(write, catalog):
    path = write(f"one = {model('first')}\n")
    models = load_models(path, catalog)
    assert find_model(models, "first", path).name == "first"
    with pytest.raises(ModelDefinitionError, match="did you mean 'first'"):
        find_model(models, "frist", path)
    with pytest.raises(ModelDefinitionError, match=r"define one in models\.py"):
        find_model({}, "first", path)
