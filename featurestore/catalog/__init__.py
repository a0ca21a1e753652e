"""The definition set as a whole: loaded from a project's file, compared with what was applied, put in force."""

from featurestore.catalog.applied import (
    AppliedCatalog,
    ApplyResult,
    applied_history,
    apply,
    current_catalog,
    load_applied,
)
from featurestore.catalog.catalog import Catalog, catalog_of
from featurestore.catalog.load import load_definitions, load_module
from featurestore.catalog.plan import Change, Plan, plan

__all__ = [
    "AppliedCatalog",
    "ApplyResult",
    "Catalog",
    "Change",
    "Plan",
    "applied_history",
    "apply",
    "catalog_of",
    "current_catalog",
    "load_applied",
    "load_definitions",
    "load_module",
    "plan",
]
