"""What `unskew doctor` looks at: each finding says what is so, and how to mend what is not well."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from featurestore.foundation.clock import format_instant
from featurestore.foundation.errors import UnskewError
from unskew.project import ingestion_checkup, serving_checkup
from unskew.project.finding import Finding
from unskew.project.project import Project

YEAR_2020_US = 1_577_836_800_000_000
TRAINING = ("sklearn", "skl2onnx", "onnx")


def examine(project: Project) -> list[Finding]:
    """Look at a project from its libraries to its level; an examination that fails is itself a finding."""
    looks: tuple[tuple[str, Callable[[Project], Iterator[Finding]]], ...] = (
        ("versions", _versions),
        ("training", _training),
        ("clock", _clock),
        ("folders", _folders),
        ("definitions", _definitions),
        ("history", _history),
        ("quarantine", serving_checkup.quarantine),
        ("online store", _online),
        ("streams", ingestion_checkup.streams),
        ("dead letters", ingestion_checkup.dead_letters),
        ("materialised", serving_checkup.materialised),
        ("registry", _registry),
        ("routes", serving_checkup.routes),
        ("gateway", _gateway),
        ("level", _level),
    )
    return [finding for name, look in looks for finding in _guarded(name, look, project)]


def _guarded(name: str, look: Callable[[Project], Iterator[Finding]], project: Project) -> list[Finding]:
    try:
        return list(look(project))
    except UnskewError as error:
        place = f"{error.where}: " if error.where else ""
        return [Finding(name, "fail", f"{place}{error.what}", error.mend)]


def _versions(_project: Project) -> Iterator[Finding]:
    shown = ", ".join(f"{name} {version(name)}" for name in ("unskew", "duckdb", "pyarrow", "onnxruntime"))
    yield Finding("versions", "ok", f"Python {platform.python_version()}, {shown}")


def _training(_project: Project) -> Iterator[Finding]:
    missing = [name for name in TRAINING if importlib.util.find_spec(name) is None]
    if missing:
        mend = "pip install 'unskew[train]' where models are trained; a gateway does not need it"
        yield Finding("training", "note", f"{', '.join(missing)} not installed", mend)
    else:
        yield Finding("training", "ok", "scikit-learn and its ONNX converter are installed")


def _clock(project: Project) -> Iterator[Finding]:
    setting, now_us = project.settings.clock.now, project.clock.now_us()
    told = f"{format_instant(now_us)} ({setting})"
    if setting != "system":
        yield Finding("clock", "note", told, 'live, leave [clock] now out, or set it to "system"')
    elif now_us < YEAR_2020_US:
        yield Finding("clock", "fail", told, "set the machine's clock")
    else:
        yield Finding("clock", "ok", told)


def _folders(project: Project) -> Iterator[Finding]:
    settings = project.settings
    folders = [settings.project.state, settings.offline.path, settings.registry.artifacts, settings.predictions.path]
    folders += [settings.ingestion.stream, settings.ingestion.dead_letters]
    closed = [folder for folder in folders if not os.access(_existing(folder), os.W_OK | os.X_OK)]
    if closed:
        yield Finding("folders", "fail", f"not writable: {', '.join(map(str, closed))}", "change their permissions")
    else:
        yield Finding("folders", "ok", f"state is kept in {settings.project.state}")


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())


def _definitions(project: Project) -> Iterator[Finding]:
    catalog = project.applied_catalog
    counts = ((len(catalog.views), "views"), (len(catalog.services), "services"), (len(catalog.labels), "labels"))
    shown = ", ".join(f"{count} {name}" for count, name in counts)
    yield Finding("definitions", "ok", f"in force as the file says: {shown} ({catalog.digest[:12]})")


def _history(project: Project) -> Iterator[Finding]:
    for source in project.applied_catalog.sources.values():
        sequence = project.offline.latest_sequence(source)
        if sequence:
            yield Finding("history", "ok", f"{source.name}: {sequence} commit(s)")
        else:
            yield Finding("history", "note", f"{source.name}: nothing imported", f"unskew import {source.name}")


def _online(project: Project) -> Iterator[Finding]:
    store = project.online
    store.ping()
    risk = store.risk()
    if risk:
        mend = "set maxmemory-policy noeviction: a key whose row is evicted counts as one without events"
        yield Finding("online store", "fail", f"{store.name}: {risk}", mend)
    else:
        yield Finding("online store", "ok", f"{store.name} answers")


def _registry(project: Project) -> Iterator[Finding]:
    head = project.registry.verify()
    names, routes = project.registry.models(), project.registry.routes()
    yield Finding("registry", "ok", f"{len(names)} model(s), {head.seq} entries of history, the chain of hashes holds")
    for name in names:
        if name not in routes:
            yield Finding("registry", "note", f"{name} has no champion and answers nothing", f"unskew promote {name}")


def _gateway(project: Project) -> Iterator[Finding]:
    gateway = project.settings.gateway
    yield Finding(
        "gateway", "ok", f"would listen on {gateway.host}, port {gateway.port}; loopback only, no API keys yet"
    )


def _level(project: Project) -> Iterator[Finding]:
    scheme = project.settings.online.url.partition(":")[0]
    if scheme in ("redis", "rediss", "unix"):
        told = "2 in part: Redis online store, files and SQLite for the rest; several gateways may share the Redis"
        yield Finding("level", "ok", told)
        return
    told = "0: one machine, embedded online store, SQLite registry, files; no server to install"
    yield Finding("level", "ok", f"{told}. Not needed yet: Redis (several machines), PostgreSQL, a distributed engine")
