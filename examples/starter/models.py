"""The models of this project: what they learn from, who answers for them, and when they may be promoted."""

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from lifecycle.training import Model, Threshold, TrainingData


def train(data: TrainingData) -> Pipeline:
    """Fit a pipeline on the training rows; imputer and encoder end up inside the ONNX graph."""
    prepared = ColumnTransformer(
        [
            ("numbers", SimpleImputer(strategy="constant", fill_value=0.0), data.numeric_columns),
            ("levels", OneHotEncoder(handle_unknown="ignore", sparse_output=False), data.text_columns),
        ]
    )
    trees = GradientBoostingRegressor(n_estimators=data.parameters["trees"], max_depth=3, random_state=1)
    return Pipeline([("prepared", prepared), ("trees", trees)]).fit(data.inputs, data.target)


next_week_amount = Model(
    "next_week_amount",
    service="next_week_amount_inputs",
    label="next_week_amount",
    train=train,
    owner="you@example.org",  # who answers for it: without an owner nothing is registered
    parameters={"trees": 40},
    thresholds=[Threshold("rmse", at_most=60.0)],
)
