"""What may answer: model records, their ONNX files, and the routes that send traffic to them.

A *version* never moves: it names one record and one file for good. An *alias* (``champion``, ``challenger``,
``latest``) does. A *route* says which share of a model's traffic each variant gets; its *revision* counts its changes.
"""
