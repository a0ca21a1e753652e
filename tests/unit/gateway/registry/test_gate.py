from gateway.registry.gate import judge
from gateway.registry.record import Threshold


def test_all_thresholds_must_hold(make_record):
    assert judge(make_record()).passed
    report = judge(make_record(metrics={"roc_auc": 0.81, "log_loss": 0.7}))
    assert not report.passed
    assert [verdict.passed for verdict in report.verdicts] == [True, False]
    assert report.objections == ("log_loss at most 0.6 fails: it is 0.7",)


def test_a_missing_metric_fails(make_record):
    report = judge(make_record(metrics={"log_loss": 0.1}))
    assert not report.passed
    assert report.objections == ("roc_auc at least 0.7 fails: it is not among its metrics",)


def test_without_a_threshold_there_is_no_verdict(make_record):
    report = judge(make_record(thresholds=()))
    assert not report.passed
    assert "no threshold" in report.objections[0]


def test_the_report_is_plain_data(make_record):
    record = make_record(version=2, thresholds=(Threshold("roc_auc", at_least=0.7, at_most=0.9),))
    assert judge(record).describe() == {
        "model": "spend",
        "version": 2,
        "passed": True,
        "verdicts": [{"metric": "roc_auc", "at_least": 0.7, "at_most": 0.9, "value": 0.81, "passed": True}],
    }
