"""What was answered: one record per prediction, synced to segments first, compacted to Parquet files by date.

`writer` takes records from the event loop, `segment` and `frame` are what it syncs, `compaction` makes files of that,
and `reader` reads both, each record once, whatever the others are doing. The columns are those of `record`.
"""
