"""What a training function is handed: one table in the order of the ONNX graph's inputs."""

import numpy as np

from lifecycle.training.training_data import TrainingData


def data(numeric_names=("a", "b"), text_names=("c",)):
    return TrainingData(
        numeric=np.array([[1.0, np.nan]] * 3, dtype=np.float32)[:, : len(numeric_names)],
        text=np.array([["x"], ["␀"], ["y"]], dtype=object)[:, : len(text_names)],
        numeric_names=numeric_names,
        text_names=text_names,
        target=np.array([True, False, True]),
        instants_us=np.arange(3),
        parameters={},
    )


def test_numbers_and_texts_make_one_frame_numbers_first():
    given = data()
    assert list(given.inputs.columns) == ["a", "b", "c"]
    assert given.inputs["a"].dtype == np.float32
    assert given.inputs["c"].tolist() == ["x", "␀", "y"]
    assert list(given.inputs.columns[given.numeric_columns]) == ["a", "b"]
    assert list(given.inputs.columns[given.text_columns]) == ["c"]


def test_numbers_alone_are_an_array():
    given = data(text_names=())
    assert given.inputs is given.numeric


def test_texts_alone_are_an_array():
    given = data(numeric_names=())
    assert given.inputs is given.text
