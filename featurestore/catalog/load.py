"""Load a project's definitions from its Python file, in isolation, with errors that name the file and the line."""

from __future__ import annotations

import importlib
import linecache
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from featurestore.catalog.catalog import Catalog, catalog_of, with_referred
from featurestore.catalog.python_mend import mend_for
from featurestore.definitions import Definition
from featurestore.foundation.canonical import bytes_digest
from featurestore.foundation.errors import CatalogError, DefinitionError, UnskewError

_IMPORT_LOCK = threading.Lock()
_OUR_PACKAGES = frozenset({"featurestore", "gateway", "lifecycle", "unskew"})


def load_definitions(path: Path) -> Catalog:
    """Run a Python file and return the definitions among its global names, and all they refer to.

    Definitions may stand in global names, or in lists, tuples and dicts that global names hold. The file may import
    modules that lie beside it; these are imported anew, under their own names, and forgotten afterwards, so that two
    projects, or two versions of one, load side by side.

    Raises
    ------
    CatalogError
        If the file is absent, does not run, defines nothing, or gives one name to two different definitions.
    DefinitionError
        If a definition does not hold together.
    """
    module = load_module(path)
    found = list(_definitions_in(vars(module).values()))
    if not found:
        raise CatalogError(
            "it defines nothing", where=str(path), mend="define an Entity, an EventSource and a FeatureView in it"
        )
    try:
        catalog = catalog_of(found)
        catalog.digest  # noqa: B018 - pins every function's meaning down now, not at the first request
    except DefinitionError as error:
        raise _with_site(error, found) from error
    return catalog


def load_module(path: Path) -> ModuleType:
    """Run a Python file of a project as a module of a name of its own.

    Raises
    ------
    CatalogError, DefinitionError
        If it is absent or does not run.
    """
    resolved = path.resolve()
    source = _read(path)
    name = f"unskew_project_{bytes_digest(str(resolved).encode())[:16]}_{resolved.stem}"
    module = ModuleType(name)
    module.__file__ = str(resolved)
    # The very text that runs is the text that function meanings are read from, whatever becomes of the file.
    linecache.cache[str(resolved)] = (len(source), None, source.splitlines(keepends=True), str(resolved))
    with _project_imports(resolved.parent):
        try:
            exec(compile(source, str(resolved), "exec"), vars(module))  # noqa: S102 - the user's own definitions
        except SyntaxError as error:
            raise CatalogError(
                f"Python cannot read it: {error.msg}",
                where=f"{error.filename}:{error.lineno}" if error.lineno else str(resolved),
                mend="correct the syntax",
            ) from error
        except UnskewError as error:
            raise _placed(error, _line_in_project(error, resolved.parent)) from error
        except (Exception, SystemExit) as error:
            raise _of_user_code(error, resolved.parent) from error
    return module


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CatalogError(
            f"there is no file {path.name}", where=str(path), mend="write it, or name another in unskew.toml"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(f"it cannot be read: {error}", where=str(path), mend="give a readable UTF-8 file") from error


@contextmanager
def _project_imports(folder: Path) -> Iterator[None]:
    """Let ``import`` find the project's own modules anew, and leave ``sys`` as it was."""
    own = _module_names(folder)
    with _IMPORT_LOCK:
        path, wrote_bytecode = list(sys.path), sys.dont_write_bytecode
        held_back = _forget(own)
        sys.path.insert(0, str(folder))
        sys.dont_write_bytecode = True
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.path[:] = path
            sys.dont_write_bytecode = wrote_bytecode
            _keep_lines(_forget(own).values())
            sys.modules.update(held_back)


def _module_names(folder: Path) -> frozenset[str]:
    """Return the top-level names that ``import`` would find in a folder, our own packages left out."""
    files = {path.stem for path in folder.glob("*.py")}
    packages = {path.parent.name for path in folder.glob("*/*.py")}
    return frozenset(files | packages) - _OUR_PACKAGES


def _forget(names: frozenset[str]) -> dict[str, ModuleType]:
    """Take the modules under the given top-level names out of ``sys.modules`` and return them."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in names}


def _keep_lines(modules: Iterable[ModuleType]) -> None:
    """Remember the text of modules anew, which function meanings are read from, before anyone edits it."""
    for module in modules:
        if getattr(module, "__file__", None):
            linecache.updatecache(str(module.__file__))


def _definitions_in(values: Iterable[object]) -> Iterator[Definition]:
    for value in values:
        if isinstance(value, Definition):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from (item for item in value if isinstance(item, Definition))
        elif isinstance(value, Mapping):
            yield from (item for item in value.values() if isinstance(item, Definition))


def _line_in_project(error: BaseException, folder: Path) -> str | None:
    """Return ``file:line`` of the innermost frame in the project, or ``None``."""
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if _in_project(frame.filename, folder)]
    return f"{inside[-1].filename}:{inside[-1].lineno}" if inside else None


def _in_project(path: str, folder: Path) -> bool:
    return Path(path).is_relative_to(folder) and not _installed(path)


def _installed(path: str) -> bool:
    return "site-packages" in Path(path).parts or Path(path).is_relative_to(Path(__file__).parents[2] / "featurestore")


def _placed(error: UnskewError, line: str | None) -> UnskewError:
    """Return the error with the line put before its place."""
    where = ": ".join(part for part in (line, error.where) if part) or None
    return type(error)(error.what, where=where, mend=error.mend)


def _with_site(error: DefinitionError, found: list[Definition]) -> UnskewError:
    """Return the error with the line of the definition that it is about."""
    about = next((part for part in with_referred(found) if part.label == error.where), None)
    return error if about is None else _placed(error, about.site)


def _of_user_code(error: BaseException, folder: Path) -> CatalogError:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    inside = [frame for frame in frames if _in_project(frame.f_code.co_filename, folder)]
    names = inside[-1].f_globals if inside else {}
    what = f"{type(error).__name__}: {error}"
    return CatalogError(what, where=_line_in_project(error, folder), mend=mend_for(error, names))
