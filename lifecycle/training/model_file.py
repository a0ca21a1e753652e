"""Load a project's `models.py`, as definitions are loaded: in isolation, with errors that name file and line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from featurestore.catalog.catalog import Catalog
from featurestore.catalog.load import load_module
from featurestore.definitions.definition import nearest
from lifecycle.errors import ModelDefinitionError
from lifecycle.training.model import Model

Models = Mapping[str, Model]


def load_models(path: Path, catalog: Catalog) -> dict[str, Model]:
    """Return the models of a file by name, each of whose service and label the catalog has.

    The file may import modules that lie beside it, as for `featurestore.catalog.load.load_definitions`.

    Raises
    ------
    ModelDefinitionError
        If the file is not there, a model in it does not hold together, or two have one name.
    CatalogError
        If the file does not run; names file and line.
    """
    if not path.is_file():
        raise ModelDefinitionError(
            "there is no such file", where=str(path), mend="write it, or name another: [project] models in unskew.toml"
        )
    module = load_module(path)
    models: dict[str, Model] = {}
    for value in vars(module).values():
        if not isinstance(value, Model) or models.get(value.name) is value:
            continue
        if value.name in models:
            raise ModelDefinitionError(
                f"two models are called {value.name!r}",
                where=value.site or str(path),
                mend="give one of them another name",
            )
        _check_references(value, catalog, path)
        models[value.name] = value
    return models


def find_model(models: Models, name: str, path: Path) -> Model:
    """Return a model by name, or raise with the nearest names there are."""
    if name in models:
        return models[name]
    raise ModelDefinitionError(
        f"no model is called {name!r}",
        where=str(path),
        mend=nearest(name, models) if models else f"define one in {path.name}: Model({name!r}, ...)",
    )


def _check_references(model: Model, catalog: Catalog, path: Path) -> None:
    wanted = (("service", model.service_name, catalog.services), ("label", model.label_name, catalog.labels))
    for kind, name, known in wanted:
        if name not in known:
            raise ModelDefinitionError(
                f"{kind} {name!r} is not defined",
                where=f"{model.site or path}: Model {model.name}",
                mend=nearest(name, known) if known else f"define a {kind} in the definitions first",
            )
