"""What can go wrong in the gateway.

::

    GatewayError
    ├── SettingsError                unskew.toml or the environment
    ├── ModelLoadError               a registered model that this gateway cannot answer with
    ├── RequestError                 a request that is not answered; has an HTTP status and a pointer
    │   ├── RequestNotJson           400
    │   ├── ResourceUnknown          404
    │   ├── MethodNotAllowed         405
    │   ├── RequestTooLarge          413
    │   ├── MediaTypeUnsupported     415
    │   ├── RequestInvalid           422
    │   ├── FeaturesMissing          422
    │   ├── EventsRefused            422
    │   ├── Overloaded               429
    │   ├── BacklogLimit             429
    │   ├── ModelFailed              500
    │   ├── FeaturesUnreadable       503
    │   ├── NotReady                 503
    │   ├── StreamFailed             503
    │   ├── StoreUnavailable         503
    │   └── ViewNotFollowed          503
    ├── RegistryError                the registry cannot be opened, read or written
    │   ├── RecordRefused            a model record that cannot stand: no owner, NaN metric, bad name
    │   ├── ModelUnknown             no such model, version or alias
    │   ├── ArtifactChanged          an ONNX file is gone, or its bytes are not those its digest names
    │   ├── PromotionRefused         the gate said no; ``report`` says why
    │   ├── RouteRefused             a route change that makes no sense: weights, variants, nothing to go back to
    │   ├── RouteConflict            someone else moved the route first
    │   └── HistoryBroken            the hash chain of the history does not hold
    └── PredictionLogError           the prediction log cannot be opened or read
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from featurestore.foundation.errors import UnskewError


class GatewayError(UnskewError):
    """Something in the gateway is not as it must be."""

    code = "gateway-error"


class SettingsError(GatewayError):
    """The settings of a project cannot be used."""

    code = "settings-invalid"


class ModelLoadError(GatewayError):
    """A registered model cannot answer here: its file, its inputs or its definitions do not fit."""

    code = "model-load"


class RequestError(GatewayError):
    """A request is not answered.

    Parameters
    ----------
    pointer
        RFC 6901 pointer to the offending part of the body, None if it is not one part.
    headers
        Response headers that belong to the error.
    members
        Further members of the problem details, by name.
    """

    code = "request-error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "The request was not answered"

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        mend: str | None = None,
        pointer: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(what, where=where, mend=mend)
        self.pointer = pointer
        self.headers = headers
        self.members = members or {}


class RequestNotJson(RequestError):
    """The body is not one JSON object."""

    code = "request-not-json"
    status = 400
    title = "The body is not JSON"


class ResourceUnknown(RequestError):
    """There is nothing at that path: no such model, version or route."""

    code = "resource-unknown"
    status = 404
    title = "There is no such thing"


class MethodNotAllowed(RequestError):
    """The path exists, but not for this method."""

    code = "method-not-allowed"
    status = 405
    title = "The method is not allowed"


class RequestTooLarge(RequestError):
    """The body has more bytes or more rows than the settings allow."""

    code = "request-too-large"
    status = 413
    title = "The request is too large"


class MediaTypeUnsupported(RequestError):
    """The content type is not JSON, or the body is encoded."""

    code = "media-type-unsupported"
    status = 415
    title = "The content type is not supported"


class RequestInvalid(RequestError):
    """A field of the body is unknown, absent, or of the wrong type."""

    code = "request-invalid"
    status = 422
    title = "The request does not fit the model"


class FeaturesMissing(RequestError):
    """Features have no value, and the service's missing policy is `refuse`."""

    code = "features-missing"
    status = 422
    title = "Features have no value"


class EventsRefused(RequestError):
    """None of the events of a request was accepted; each is told with its reason, and kept as a dead letter."""

    code = "events-refused"
    status = 422
    title = "No event was accepted"


class Overloaded(RequestError):
    """As many requests as the settings allow are in work already."""

    code = "overloaded"
    status = 429
    title = "The gateway is overloaded"


class BacklogLimit(RequestError):
    """As many events as may wait for the ingest program; nothing of the request was kept."""

    code = "backlog-limit"
    status = 429
    title = "Too many events wait"


class ModelFailed(RequestError):
    """The model or a request feature failed on these inputs."""

    code = "model-failed"
    status = 500
    title = "The model failed"


class NotReady(RequestError):
    """The gateway is starting, stopping, or has no model for this route."""

    code = "not-ready"
    status = 503
    title = "The gateway is not ready"


class FeaturesUnreadable(RequestError):
    """The online store answers, but cannot give these features: not materialised, of a later instant, or damaged."""

    code = "features-unreadable"
    status = 503
    title = "The features cannot be read"


class StoreUnavailable(RequestError):
    """The online store does not answer."""

    code = "store-unavailable"
    status = 503
    title = "The online store is unavailable"


class ViewNotFollowed(RequestError):
    """The rows of a view lack events that are committed: this gateway has another revision of it than is in force."""

    code = "view-not-followed"
    status = 503
    title = "A view does not follow its source's events"


class StreamFailed(RequestError):
    """Events could not be made durable; some may be there, and sending all of them again does no harm."""

    code = "event-stream-failed"
    status = 503
    title = "The events could not be kept"


class RegistryError(GatewayError):
    """The registry cannot be opened, read or written."""

    code = "registry"


class RecordRefused(RegistryError):
    """A model record cannot stand; nothing was registered."""

    code = "record-refused"


class ModelUnknown(RegistryError):
    """No such model, version or alias is registered."""

    code = "model-unknown"


class ArtifactChanged(RegistryError):
    """A model file is gone, or its bytes are not those its digest names."""

    code = "artifact-changed"


class PromotionRefused(RegistryError):
    """The gate said no; ``report`` is its report as plain data, and the route did not move."""

    code = "promotion-refused"

    def __init__(self, what: str, *, where: str | None, mend: str | None, report: Mapping[str, Any]) -> None:
        super().__init__(what, where=where, mend=mend)
        self.report = report


class RouteRefused(RegistryError):
    """A route change that makes no sense; the route did not move."""

    code = "route-refused"


class RouteConflict(RegistryError):
    """The route is not at the expected revision: someone else moved it; it did not move again."""

    code = "route-conflict"


class HistoryBroken(RegistryError):
    """The registry's history was altered: an entry's hash, or a record's, does not hold."""

    code = "history-broken"


class PredictionLogError(GatewayError):
    """The prediction log cannot be opened or read."""

    code = "prediction-log"
