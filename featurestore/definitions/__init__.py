"""What each feature is: entities, sources, views, request features, services and labels, as checked plain data."""

from featurestore.definitions.aggregation import (
    Aggregation,
    Attribute,
    Count,
    DistinctCount,
    Last,
    Max,
    Mean,
    Min,
    StdDev,
    Sum,
)
from featurestore.definitions.definition import Definition
from featurestore.definitions.entity import Entity
from featurestore.definitions.feature_service import FeatureService, ServiceOutput
from featurestore.definitions.feature_view import Derived, Feature, FeatureRef, FeatureView
from featurestore.definitions.label import Label
from featurestore.definitions.request_feature import Request, RequestFeature, request_feature
from featurestore.definitions.row_expression import RowExpression
from featurestore.definitions.source import Delay, EventSource, Source, TableSource
from featurestore.semantics.value import Bool, Decimal, DType, Float32, Float64, Int64, String, Timestamp

__all__ = [
    "Aggregation",
    "Attribute",
    "Bool",
    "Count",
    "DType",
    "Decimal",
    "Definition",
    "Delay",
    "Derived",
    "DistinctCount",
    "Entity",
    "EventSource",
    "Feature",
    "FeatureRef",
    "FeatureService",
    "FeatureView",
    "Float32",
    "Float64",
    "Int64",
    "Label",
    "Last",
    "Max",
    "Mean",
    "Min",
    "Request",
    "RequestFeature",
    "RowExpression",
    "ServiceOutput",
    "Source",
    "StdDev",
    "String",
    "Sum",
    "TableSource",
    "Timestamp",
    "request_feature",
]
