"""The command line: one module per group of commands, composed in `unskew.cli.main`.

Modules here import nothing heavy at their top: ``unskew --help`` answers before any engine is loaded.
"""
