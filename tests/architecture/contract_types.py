"""Two import-linter contracts of our own, for rules that the shipped ones cannot state exhaustively."""

from fnmatch import fnmatchcase

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

Link = tuple[str, str]


class SoleImporters(Contract):
    """Only the named modules (patterns, packages whole) import a library; nobody does is fine too."""

    type_name = "sole_importers"

    libraries = fields.ListField(subfield=fields.StringField())
    importers = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Find direct imports of a library by anybody else."""
        strangers: list[Link] = [
            (importer, library)
            for library in self.libraries  # type: ignore[attr-defined]
            if library in graph.modules
            for importer in sorted(graph.find_modules_that_directly_import(library))
            if not _is_one_of(importer, self.importers)  # type: ignore[arg-type]
        ]
        return ContractCheck(kept=not strangers, metadata={"links": strangers})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Name each import that has to go."""
        _print_links(check)


class OnlyRooms(Contract):
    """A storey uses only the named rooms of a storey below it; a room built later is closed until named."""

    type_name = "only_rooms"

    storey = fields.StringField()
    of = fields.StringField()
    rooms = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Find imports from the storey into any other room."""
        importers = _package(graph, str(self.storey))
        strangers: list[Link] = [
            (importer, imported)
            for imported in sorted(_package(graph, str(self.of)) - {str(self.of)})
            if not _is_one_of(imported, self.rooms)  # type: ignore[arg-type]
            for importer in sorted(graph.find_modules_that_directly_import(imported) & importers)
        ]
        return ContractCheck(kept=not strangers, metadata={"links": strangers})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Name each import that has to go."""
        _print_links(check)


def _package(graph: ImportGraph, name: str) -> set[str]:
    return {name} | graph.find_descendants(name)


def _is_one_of(module: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(module, pattern) or fnmatchcase(module, f"{pattern}.*") for pattern in patterns)


def _print_links(check: ContractCheck) -> None:
    for importer, imported in check.metadata["links"]:
        output.print_error(f"- {importer} imports {imported}", bold=False)
