"""The front doors: one CLI, the project file, the Python client and the demo."""
