"""The models of this project: what they learn from, who answers for them, and when they may be promoted."""

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from lifecycle.training import Model, Threshold, TrainingData


def train(data: TrainingData) -> Pipeline:
    """Fit a pipeline on the training rows; imputer and encoder end up inside the ONNX graph."""
    prepared = ColumnTransformer(
        [
            ("numbers", SimpleImputer(strategy="median"), data.numeric_columns),
            ("levels", OneHotEncoder(handle_unknown="ignore", sparse_output=False), data.text_columns),
        ]
    )
    boosting = GradientBoostingClassifier(
        n_estimators=data.parameters["trees"],
        max_depth=4,
        learning_rate=0.2,
        subsample=0.25,
        max_features=0.5,
        random_state=17,
    )
    return Pipeline([("prepared", prepared), ("boosting", boosting)]).fit(data.inputs, data.target)


next_week_spend = Model(
    "next_week_spend",
    service="next_week_spend_inputs",
    label="spends_more_next_week",
    train=train,
    owner="pricing@retail.example",
    parameters={"trees": 40},
    holdout_fraction=0.2,
    thresholds=[Threshold("roc_auc", at_least=0.60), Threshold("brier", at_most=0.25)],
)
