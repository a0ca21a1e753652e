"""History: immutable Parquet files, snapshots of them, and point-in-time joins over them."""
