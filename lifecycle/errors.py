"""What can go wrong while models are made, checked and watched.

::

    LifecycleError
    ├── ModelDefinitionError         models.py, or a model in it, does not hold together
    ├── TrainingRefused              these rows cannot train or judge this model
    ├── TrainingFailed               the project's training function raised, or returned what is no fitted estimator
    ├── ExportFailed                 the estimator cannot be written as an ONNX graph
    ├── ExportMismatch               the ONNX graph answers otherwise than scikit-learn on held-out rows
    ├── InputsChanged                a file that the run read was another one when it ended
    └── AuditRefused                 an audit of what was never logged
"""

from __future__ import annotations

from featurestore.foundation.errors import UnskewError


class LifecycleError(UnskewError):
    """A model cannot be made, checked or watched."""

    code = "lifecycle-error"


class ModelDefinitionError(LifecycleError):
    """`models.py`, or a model in it, does not hold together."""

    code = "model-invalid"


class TrainingRefused(LifecycleError):
    """These rows cannot train or judge this model; nothing was registered."""

    code = "training-refused"


class TrainingFailed(LifecycleError):
    """The training function raised, or returned what is no fitted estimator; nothing was registered."""

    code = "training-failed"


class ExportFailed(LifecycleError):
    """The estimator cannot be written as an ONNX graph; nothing was registered."""

    code = "export-failed"


class ExportMismatch(LifecycleError):
    """The ONNX graph answers otherwise than scikit-learn does on held-out rows; nothing was registered."""

    code = "export-mismatch"


class InputsChanged(LifecycleError):
    """A file that the run read was changed while it ran; nothing was registered."""

    code = "inputs-changed"


class AuditRefused(LifecycleError):
    """What an audit was asked about was never logged."""

    code = "audit-refused"
