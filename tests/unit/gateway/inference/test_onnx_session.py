import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from featurestore.semantics.model_input import InputFeature, InputSpec, ModelInput
from featurestore.semantics.value import Float64, String
from gateway.errors import ModelFailed, ModelLoadError
from gateway.inference.onnx_session import OnnxSession
from tests.serving_project import as_bytes

NUMBERS = InputSpec((InputFeature("a", Float64), InputFeature("b", Float64)))
MIXED = InputSpec((InputFeature("a", Float64), InputFeature("w", String)))


def tensor(name, kind=TensorProto.FLOAT, shape=(None, 2)):
    return helper.make_tensor_value_info(name, kind, list(shape))


def graph(nodes, inputs, outputs, weights=()):
    return as_bytes(helper.make_graph(nodes, "g", inputs, outputs, list(weights)))


def identity(shape=(None, 2), kind=TensorProto.FLOAT, name="numeric", output=(None, None)):
    return graph(
        [helper.make_node("Identity", [name], ["y"])], [tensor(name, kind, shape)], [tensor("y", kind, output)]
    )


def session(model, spec=NUMBERS, outputs=("y",)):
    return OnnxSession(model, spec, outputs, name="m version 1")


def fed(rows):
    numbers = np.array(rows, dtype=np.float32)
    return ModelInput(numbers, np.empty((len(numbers), 0), dtype=np.object_))


def test_outputs_come_in_the_order_of_the_record():
    nodes = [helper.make_node("Neg", ["numeric"], ["n"]), helper.make_node("Identity", ["numeric"], ["y"])]
    model = graph(nodes, [tensor("numeric")], [tensor("n"), tensor("y")])
    y, n = session(model, outputs=("y", "n")).run(fed([[1, 2], [3, 4]]))
    assert (y.tolist(), n.tolist()) == ([[1, 2], [3, 4]], [[-1, -2], [-3, -4]])


def test_one_column_comes_as_plain_values():
    reduced = helper.make_node("ReduceSum", ["numeric", "axes"], ["y"], keepdims=1)
    axes = numpy_helper.from_array(np.array([1]), "axes")
    model = graph([reduced], [tensor("numeric")], [tensor("y", shape=(None, 1))], [axes])
    assert session(model).run(fed([[1, 2], [3, 4]]))[0].tolist() == [3, 7]


def test_texts_go_in_and_out():
    nodes = [helper.make_node("Identity", ["text"], ["y"]), helper.make_node("Identity", ["numeric"], ["n"])]
    inputs = [tensor("numeric", shape=(None, 1)), tensor("text", TensorProto.STRING, (None, 1))]
    model = graph(nodes, inputs, [tensor("y", TensorProto.STRING, (None, 1)), tensor("n", shape=(None, 1))])
    given = ModelInput(np.array([[1.0]], dtype=np.float32), np.array([["␀"]], dtype=np.object_))
    assert session(model, MIXED).run(given)[0].tolist() == ["␀"]


@pytest.mark.parametrize(
    ("model", "spec", "outputs", "what"),
    [
        (b"", NUMBERS, ("y",), "cannot load it"),
        (b"nonsense", NUMBERS, ("y",), "not ONNX"),
        (identity(), MIXED, ("y",), "the graph takes numeric, its record says numeric, text"),
        (identity(name="input"), NUMBERS, ("y",), "the graph takes input, its record says numeric"),
        (identity((None, 3)), NUMBERS, ("y",), r"input numeric is tensor\(float\) \[None, 3\]"),
        (identity((5, 2)), NUMBERS, ("y",), r"tensor\(float\) \[5, 2\]"),
        (identity((None,)), NUMBERS, ("y",), r"tensor\(float\) \[None\]"),
        (identity(kind=TensorProto.DOUBLE), NUMBERS, ("y",), r"input numeric is tensor\(double\)"),
        (identity(), NUMBERS, ("z",), "the graph has no output 'z', it gives y"),
        (identity(), NUMBERS, (), "names no output"),
    ],
)
def test_what_does_not_fit_the_record_is_not_loaded(model, spec, outputs, what):
    with pytest.raises(ModelLoadError, match=what) as caught:
        session(model, spec, outputs)
    assert caught.value.where == "model m version 1"
    assert caught.value.mend


def test_zipmap_and_totals_are_not_loaded():
    zipmap = helper.make_node("ZipMap", ["numeric"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])
    kind = helper.make_sequence_type_proto(
        helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    )
    model = helper.make_model(
        helper.make_graph([zipmap], "g", [tensor("numeric")], [helper.make_value_info("y", kind)]),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)],
        ir_version=9,
    )
    with pytest.raises(ModelLoadError, match=r"not a tensor.*zipmap"):
        session(model.SerializeToString())
    total = graph(
        [helper.make_node("ReduceSum", ["numeric"], ["y"], keepdims=0)], [tensor("numeric")], [tensor("y", shape=())]
    )
    with pytest.raises(ModelLoadError, match=r"output y has shape \(\) for 1 rows"):
        session(total)


def test_external_data_and_custom_operators_are_not_loaded():
    custom = graph([helper.make_node("Odd", ["numeric"], ["y"], domain="x.y")], [tensor("numeric")], [tensor("y")])
    with pytest.raises(ModelLoadError, match=r"x\.y:Odd"):
        session(custom)
    weights = numpy_helper.from_array(np.zeros((2, 2), dtype=np.float32), "w")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="w.bin")
    outside = graph(
        [helper.make_node("MatMul", ["numeric", "w"], ["y"])], [tensor("numeric")], [tensor("y")], [weights]
    )
    with pytest.raises(ModelLoadError, match="'w' keeps its data in another file"):
        session(outside)


def division_by_rows():
    """A model that fails on rows whose first number is not 0, 1 or NaN: an index beyond its table."""
    nodes = [
        helper.make_node("IsNaN", ["numeric"], ["absent"]),
        helper.make_node("Where", ["absent", "zero", "numeric"], ["filled"]),
        helper.make_node("Cast", ["filled"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["y"]),
    ]
    weights = {"zero": np.zeros(1, dtype=np.float32), "table": np.array([10, 20], dtype=np.float32)}
    return graph(nodes, [tensor("numeric")], [tensor("y")], [numpy_helper.from_array(v, n) for n, v in weights.items()])


def test_a_failing_run_names_the_model():
    loaded = session(division_by_rows())
    assert loaded.run(fed([[0, 1]]))[0].tolist() == [[10, 20]]
    with pytest.raises(ModelFailed, match="model m version 1: ONNX Runtime failed on these inputs"):
        loaded.run(fed([[7, 0]]))


def test_a_model_that_cannot_take_nulls_is_not_loaded():
    model = graph(
        [
            helper.make_node("Cast", ["numeric"], ["i"], to=TensorProto.INT64),
            helper.make_node("Gather", ["t", "i"], ["y"]),
        ],
        [tensor("numeric")],
        [tensor("y")],
        [numpy_helper.from_array(np.zeros(2, dtype=np.float32), "t")],
    )
    with pytest.raises(ModelLoadError, match="fails when every feature is null"):
        session(model)
