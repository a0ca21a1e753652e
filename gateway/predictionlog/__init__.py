"""What was answered: one record per prediction, in Parquet files that DuckDB reads while the gateway writes.

Layout: ``<root>/<model>/v<version>/date=YYYY-MM-DD/<worker>-<first sequence>.parquet``. A file appears whole or not at
all. The columns of one are those of `gateway.predictionlog.record`.
"""
