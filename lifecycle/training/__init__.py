"""From a training set to a registered ONNX model: split in time, train, export, check, measure.

What a project's `models.py` needs is here: `Model`, `Threshold` and `TrainingData`.
"""

from gateway.registry.record import Threshold
from lifecycle.training.model import Model
from lifecycle.training.training_data import TrainingData

__all__ = ["Model", "Threshold", "TrainingData"]
