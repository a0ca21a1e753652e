"""The point-in-time join as pure array arithmetic: event versions in, aggregate states at (key, instant) out.

It knows no file and no database. An engine (DuckDB here, a distributed one later) delivers the event versions of some
keys in the total order; everything after that happens in this package, partitioned by key if need be. Measured
against the same join in SQL in ``docs/decisions/0003-point-in-time-in-numpy.md``.
"""
