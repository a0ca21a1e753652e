"""Point-in-time joins: this engine against hand-written SQL, DuckDB's bare ASOF join, and Feast."""
