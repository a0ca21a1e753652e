"""Models by record: verified, checked, warmed, and kept while anybody uses them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakValueDictionary

from featurestore.semantics.model_input import InputSpec, parse_input_spec
from gateway.inference.onnx_session import OnnxSession
from gateway.registry.record import ModelRecord


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A version of a model that can answer."""

    record: ModelRecord
    spec: InputSpec
    session: OnnxSession


class ModelPool:
    """Load models by record; a model that a route or a request still holds is not loaded twice.

    Parameters
    ----------
    read_artifact
        Returns an artifact's bytes by digest, verified: `gateway.registry.artifact_store.ArtifactStore.load`.
    """

    def __init__(self, read_artifact: Callable[[str], bytes]) -> None:
        self._read_artifact = read_artifact
        self._loaded: WeakValueDictionary[str, LoadedModel] = WeakValueDictionary()

    def load(self, record: ModelRecord) -> LoadedModel:
        """Return the model of a record; reading, creating and warming the session block.

        Raises
        ------
        ArtifactChanged
            If the file is gone or its bytes are not those the record names.
        ModelLoadError
            If the file is not a model that takes what the record says.
        """
        kept = self._loaded.get(record.record_hash)
        if kept is not None:
            return kept
        spec = parse_input_spec(record.input_spec)
        name = f"{record.model} version {record.version}"
        session = OnnxSession(self._read_artifact(record.artifact_digest), spec, record.outputs, name=name)
        loaded = LoadedModel(record, spec, session)
        self._loaded[record.record_hash] = loaded
        return loaded
