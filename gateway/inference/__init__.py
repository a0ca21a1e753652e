"""Models as they answer: ONNX files checked before they load, one session each, loaded by record."""
