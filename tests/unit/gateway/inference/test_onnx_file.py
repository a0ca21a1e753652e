import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

from gateway.errors import ModelLoadError
from gateway.inference.onnx_file import read_references
from tests.serving_project import as_bytes

X = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
Y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])


def external(name="weights"):
    tensor = numpy_helper.from_array(np.zeros((2, 2), dtype=np.float32), name)
    set_external_data(tensor, location="other.bin")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    return tensor


def test_a_whole_file_of_standard_operators_refers_to_nothing():
    nodes = [
        helper.make_node("Scaler", ["x"], ["z"], domain="ai.onnx.ml", offset=[0.0, 1.5], scale=[1.0, 300.0]),
        helper.make_node("Identity", ["z"], ["y"]),
    ]
    found = read_references(as_bytes(helper.make_graph(nodes, "g", [X], [Y])))
    assert found.operators == {("ai.onnx.ml", "Scaler"), ("", "Identity")}
    assert (found.external_tensors, found.custom_operators) == ([], [])


def test_external_data_is_found_in_weights_attributes_and_subgraphs():
    weights = helper.make_graph([helper.make_node("MatMul", ["x", "weights"], ["y"])], "g", [X], [Y], [external()])
    assert read_references(as_bytes(weights)).external_tensors == ["weights"]
    constant = helper.make_node("Constant", [], ["y"], value=external("constant"))
    branch = helper.make_graph([constant], "branch", [], [Y])
    either = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    found = read_references(as_bytes(helper.make_graph([either], "g", [X], [Y])))
    assert found.external_tensors == ["constant", "constant"]


def test_operators_of_other_domains_are_named_also_behind_long_lists_of_numbers():
    many = helper.make_node("TreeEnsembleRegressor", ["x"], ["z"], domain="ai.onnx.ml")
    many.attribute.append(helper.make_attribute("nodes_values", [float(n) for n in range(5000)]))
    many.attribute.append(helper.make_attribute("nodes_falsenodeids", list(range(-5, 5000))))
    odd = helper.make_node("Trick", ["z"], ["y"], domain="com.example")
    found = read_references(as_bytes(helper.make_graph([many, odd], "g", [X], [Y])))
    assert found.custom_operators == ["com.example:Trick"]


def test_functions_that_the_file_defines_are_not_custom():
    function = helper.make_function(
        "local", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    graph = helper.make_graph([helper.make_node("Twice", ["x"], ["y"], domain="local")], "g", [X], [Y])
    model = helper.make_model(
        graph, functions=[function], opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    )
    assert read_references(model.SerializeToString()).custom_operators == []


@pytest.mark.parametrize("data", [b"\xff" * 40, b"<html></html>", b"\x3a\xff\xff\xff\xff\x0f", b"PK\x03\x04abcdefgh"])
def test_what_is_not_protobuf_is_refused(data):
    with pytest.raises(ModelLoadError, match="not ONNX"):
        read_references(data)


def test_endless_nesting_is_refused():
    data = b""
    for _ in range(100):
        graph = b"\x3a" + _length(data) + data
        attribute = b"\x32" + _length(graph[1 + len(_length(data)) :]) + data
        data = b"\x0a" + _length(b"\x2a" + _length(attribute) + attribute) + b"\x2a" + _length(attribute) + attribute
    with pytest.raises(ModelLoadError, match="nested deeper"):
        read_references(b"\x3a" + _length(data) + data)


def _length(data: bytes) -> bytes:
    length, encoded = len(data), b""
    while length >= 128:
        encoded += bytes([length & 127 | 128])
        length >>= 7
    return encoded + bytes([length])
