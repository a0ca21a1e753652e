"""A project's settings: `unskew.toml`, overridden by the environment, resolved to absolute places.

An environment variable ``UNSKEW_<SECTION>__<NAME>`` wins over the file. Keys that no section has are refused, in the
file and in the environment. ``docs/settings.md`` lists every key, and a test holds it to this module.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from featurestore.foundation.clock import Clock, open_clock, parse_duration
from featurestore.foundation.errors import ClockError
from gateway.errors import SettingsError

FILE_NAME = "unskew.toml"
ENV_PREFIX = "UNSKEW_"


def _whole_number(value: object) -> object:
    if isinstance(value, bool | float):
        raise ValueError("a whole number is wanted")  # noqa: TRY004 - pydantic reports ValueError
    return value


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number is wanted")  # noqa: TRY004 - pydantic reports ValueError
    return value


def _duration(text: str) -> str:
    try:
        parse_duration(text)
    except ClockError as error:
        raise ValueError(error.what) from None
    return text


_Count = Annotated[int, BeforeValidator(_whole_number)]
_Seconds = Annotated[float, BeforeValidator(_number), Field(gt=0, allow_inf_nan=False)]
_Duration = Annotated[str, AfterValidator(_duration)]
_Text = Annotated[str, Field(min_length=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProjectSection(_Section):
    """[project]: what the project is called and where its code is."""

    name: _Text = Field(description="the project's name")
    definitions: Path = Field(
        default=Path("features.py"), description="module of entities, sources, views and services"
    )
    models: Path = Field(default=Path("models.py"), description="module of models and their training functions")
    state: Path = Field(default=Path(".unskew"), description="folder of catalog, training sets and ledgers")


class OfflineSection(_Section):
    """[offline]: history."""

    path: Path = Field(default=Path(".unskew/offline"), description="folder of immutable Parquet files and snapshots")
    threads: _Count | None = Field(default=None, ge=1, description="threads of a join; one per core when absent")


class OnlineSection(_Section):
    """[online]: current values."""

    url: _Text = Field(
        default="lmdb:.unskew/online",
        description="`lmdb:<folder>` or `redis://host:port/db` (`memory://` within one process: tests)",
    )


class RegistrySection(_Section):
    """[registry]: which models exist and which may answer."""

    url: _Text = Field(default="sqlite:.unskew/registry.db", description="`sqlite:<file>`")
    artifacts: Path = Field(default=Path(".unskew/artifacts"), description="folder of content-addressed ONNX files")


class IngestionSection(_Section):
    """[ingestion]: events, from the request to the stores."""

    stream: Path = Field(
        default=Path(".unskew/stream"),
        description="folder of the events' journals; unused when `[online]` is a Redis",
    )
    dead_letters: Path = Field(default=Path(".unskew/dead-letters"), description="folder of rows that were refused")
    program: Literal["serve", "alone"] = Field(
        default="serve",
        description="who starts the ingest program: `serve` with the gateway, `alone` you, by `unskew stream run`",
    )
    body_limit_bytes: _Count = Field(default=8_388_608, ge=1, description="largest body of an events request, in bytes")
    request_limit_rows: _Count = Field(default=10_000, ge=1, description="most events in one request")
    in_flight_limit_bytes: _Count = Field(
        default=67_108_864,
        ge=1,
        description="bytes of events requests that a gateway holds at once; beyond it 429 with Retry-After",
    )
    backlog_limit_rows: _Count = Field(
        default=200_000,
        ge=1,
        description="events of a source that may wait for the ingest program; beyond it 429 with Retry-After",
    )
    commit_rows: _Count = Field(default=4_096, ge=1, description="most events in one commit")
    history_interval_s: _Seconds = Field(
        default=30, description="the time after which commits are written to history, in s"
    )
    lateness: _Duration = Field(
        default="7d",
        description="how long after the longest window of its source an event can still be corrected exactly online",
    )
    cache_bytes: _Count = Field(
        default=268_435_456, ge=0, description="memory that the ingest program may fill with logs of keys, in bytes"
    )
    lease_ttl_s: _Seconds = Field(
        default=5, description="the time after which another ingest program takes over from one that died, in s"
    )

    @property
    def lateness_us(self) -> int:
        """``lateness`` in microseconds."""
        return parse_duration(self.lateness)


class PredictionsSection(_Section):
    """[predictions]: the log of what was answered."""

    path: Path = Field(default=Path(".unskew/predictions"), description="folder of segments and Parquet files")
    durability: Literal["batched", "sync"] = Field(
        default="batched",
        description="`batched`: answers do not wait, and a crash loses at most the records of `flush_interval_ms` and "
        "two flushes; `sync`: an answer leaves once its record is synced",
    )
    flush_interval_ms: _Count = Field(default=1_000, ge=1, description="longest time a record waits in memory, in ms")
    flush_rows: _Count = Field(
        default=50_000, ge=1, description="rows that are written without waiting for the interval"
    )
    capacity_rows: _Count = Field(
        default=200_000, ge=1, description="most rows that wait for a disk; beyond it new ones are dropped and counted"
    )
    sync_limit_ms: _Count = Field(
        default=1_000, ge=1, description="longest time an answer waits with `sync`; later it leaves and is counted"
    )
    segment_bytes: _Count = Field(
        default=67_108_864, ge=1, description="size at which a segment is closed, to be compacted to Parquet"
    )
    segment_age_s: _Count = Field(default=600, ge=1, description="age at which a segment is closed, in s")
    compaction: Literal["background", "on-demand"] = Field(
        default="background",
        description="`background`: `unskew serve` compacts closed segments by a process of low priority; `on-demand`: "
        "only `unskew predictions compact` does",
    )
    compaction_interval_s: _Count = Field(default=60, ge=1, description="time between two compactions, in s")


class GatewaySection(_Section):
    """[gateway]: the server and its limits."""

    host: _Text = Field(
        default="127.0.0.1", description="address to listen on; loopback only, until there are API keys"
    )
    port: _Count = Field(default=8000, ge=0, le=65_535, description="TCP port; 0 takes a free one")
    body_limit_bytes: _Count = Field(default=1_048_576, ge=1, description="largest request body, in bytes")
    batch_limit_rows: _Count = Field(default=1_000, ge=1, description="most rows in one request")
    in_flight_limit_requests: _Count = Field(
        default=1_024, ge=1, description="most requests in work at once; beyond it 429 with Retry-After"
    )
    on_store_error: Literal["refuse", "degrade"] = Field(
        default="refuse",
        description="what to do when the online store fails: `refuse` answers 503; `degrade` answers with every "
        "feature missing, for services whose missing policy is `null` or `default`",
    )
    route_poll_interval_ms: _Count = Field(
        default=500, ge=10, description="the time after which the registry is asked for new routes again, in ms"
    )
    shutdown_grace_s: _Count = Field(
        default=10, ge=0, description="the time requests have to end after a stop signal, in s"
    )


class ClockSection(_Section):
    """[clock]: what time it is for every command."""

    now: _Text = Field(
        default="system",
        description='`"system"`, `"fixed:<instant>"`, `"from:<instant>"`, or `"shared:<file>"`, which a replay sets',
    )


class Settings(BaseSettings):
    """The settings of one project: paths absolute, relative ones resolved against the folder of the file."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, env_ignore_empty=False
    )

    project: ProjectSection
    offline: OfflineSection = OfflineSection()
    online: OnlineSection = OnlineSection()
    registry: RegistrySection = RegistrySection()
    ingestion: IngestionSection = IngestionSection()
    predictions: PredictionsSection = PredictionsSection()
    gateway: GatewaySection = GatewaySection()
    clock: ClockSection = ClockSection()
    file: Path = Field(default=Path(FILE_NAME), exclude=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, and read nothing else."""
        return env_settings, init_settings

    @property
    def root(self) -> Path:
        """The project's folder: where its `unskew.toml` is."""
        return self.file.parent

    def open_clock(self) -> Clock:
        """Make the clock that `[clock] now` names; a `from:` clock starts at this call."""
        try:
            return open_clock(self.clock.now)
        except ClockError as error:
            raise SettingsError(
                f"[clock] now = {self.clock.now!r}: {error.what}", where=str(self.file), mend=error.mend
            ) from None


SECTIONS: dict[str, type[BaseModel]] = {
    "project": ProjectSection,
    "offline": OfflineSection,
    "online": OnlineSection,
    "registry": RegistrySection,
    "ingestion": IngestionSection,
    "predictions": PredictionsSection,
    "gateway": GatewaySection,
    "clock": ClockSection,
}


def load_settings(path: Path | None = None) -> Settings:
    """Read the settings of a project.

    Parameters
    ----------
    path
        The `unskew.toml`, or a folder that holds it; None looks in the present folder and those above it.

    Raises
    ------
    SettingsError
        If there is no file, it is not TOML, or a key or value does not fit; names file, key, value and mend.
    """
    file = find_settings(Path.cwd() if path is None else path, upwards=path is None)
    content = _read_toml(file)
    _refuse_unknown_variables()
    try:
        settings = Settings(**content, file=file)
    except ValidationError as error:
        raise _explain(error.errors()[0], file) from None
    resolved = _resolve(settings)
    resolved.open_clock()
    return resolved


def find_settings(start: Path, *, upwards: bool) -> Path:
    """Return the absolute path of the `unskew.toml` in ``start``, or above it if ``upwards``."""
    start = start.absolute()
    if start.is_file():
        return start
    for folder in (start, *start.parents) if upwards else (start,):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    above = " or any folder above it" if upwards else ""
    raise SettingsError(f"no {FILE_NAME} in {start}{above}", mend="make a project with `unskew init DIR`, or go to one")


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"it is not TOML: {error}", where=str(file), mend="mend that line; https://toml.io shows the syntax"
        ) from None
    except OSError as error:
        raise SettingsError(f"it cannot be read: {error.strerror}", where=str(file), mend="make it readable") from None
    for section, keys in content.items():
        if section not in SECTIONS:
            raise _unknown(f"section [{section}]", section, SECTIONS, str(file))
        if not isinstance(keys, dict):
            raise SettingsError(
                f"{section} = {keys!r} is not a section", where=str(file), mend=f"write [{section}] and its keys below"
            )
    return content


def _refuse_unknown_variables() -> None:
    for name in os.environ:
        if name.upper().removeprefix(ENV_PREFIX).lower() in SECTIONS and name.upper().startswith(ENV_PREFIX):
            raise SettingsError(
                f"{name} would set a whole section",
                where="environment",
                mend=f"unset it, or set single keys, as {name.upper()}__{_first_key(name)}=...",
            )
        section, separator, key = name.upper().removeprefix(ENV_PREFIX).partition("__")
        if not (name.upper().startswith(ENV_PREFIX) and separator):
            continue
        known = SECTIONS.get(section.lower())
        if known is None:
            raise _unknown(f"the section of {name}", section.lower(), SECTIONS, "environment")
        if key.lower() not in known.model_fields:
            raise _unknown(f"the key of {name}", key.lower(), known.model_fields, "environment")


def _first_key(variable: str) -> str:
    return next(iter(SECTIONS[variable.upper().removeprefix(ENV_PREFIX).lower()].model_fields)).upper()


def _unknown(what: str, name: str, known: Iterable[str], where: str) -> SettingsError:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    mend = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(names)}"
    return SettingsError(f"{what} is unknown", where=where, mend=mend)


def _explain(error: ErrorDetails, file: Path) -> SettingsError:
    section, key = str(error["loc"][0]), ".".join(str(part) for part in error["loc"][1:])
    variable = f"{ENV_PREFIX}{section}__{key}".upper()
    from_variable = any(name.upper() == variable for name in os.environ)
    where = f"environment variable {variable}" if from_variable else str(file)
    if section not in SECTIONS:
        return _unknown(f"section [{section}]", section, SECTIONS, where)
    fields = SECTIONS[section].model_fields
    if error["type"] == "extra_forbidden":
        return _unknown(f"[{section}] {key}", key, fields, where)
    if error["type"] == "missing":
        missing = key or "name"
        return SettingsError(
            f"[{section}] {missing} is missing", where=where, mend=f'add [{section}] {missing} = "..." to the file'
        )
    field = fields.get(key.split(".", maxsplit=1)[0])
    meaning = field.description if field is not None else f"a section of keys such as {next(iter(fields))}"
    return SettingsError(
        f"[{section}] {key} = {error['input']!r}: {_reason(error['msg'])}",
        where=where,
        mend=f"{key} is {meaning}",
    )


def _reason(message: str) -> str:
    text = message.removeprefix("Value error, ").removeprefix("Input ")
    return text[:1].lower() + text[1:]


def _resolve(settings: Settings) -> Settings:
    root = settings.file.parent
    changes: dict[str, Any] = {}
    for name in ("project", "offline", "online", "registry", "ingestion", "predictions"):
        section: BaseModel = getattr(settings, name)
        resolved = {
            key: root / value for key, value in section.__dict__.items() if isinstance(value, Path)
        } | _absolute_url(section, root)
        changes[name] = section.model_copy(update=resolved)
    kind, _, file = settings.clock.now.partition(":")
    if kind == "shared" and file:
        changes["clock"] = ClockSection(now=f"shared:{root / file}")
    return settings.model_copy(update=changes)


def _absolute_url(section: BaseModel, root: Path) -> dict[str, str]:
    url = getattr(section, "url", None)
    scheme, _, rest = str(url).partition(":")
    if url is None or scheme not in ("lmdb", "sqlite") or not rest:
        return {}
    return {"url": f"{scheme}:{'//' if scheme == 'lmdb' else ''}{root / _file_part(rest)}"}


def _file_part(rest: str) -> str:
    return rest.removeprefix("//") if rest.startswith("///") else rest
