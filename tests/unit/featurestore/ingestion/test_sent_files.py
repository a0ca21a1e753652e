from featurestore.ingestion.sent_files import SentFiles


def test_a_file_is_remembered_by_source_and_bytes(tmp_path):
    sent = SentFiles(tmp_path / "sent")
    assert not sent.holds("orders", "a1")
    assert not (tmp_path / "sent").exists()
    for _ in range(2):
        sent.add("orders", "a1", "orders.csv", 3)
    other = SentFiles(tmp_path / "sent")
    assert (other.holds("orders", "a1"), other.holds("orders", "b2"), other.holds("visits", "a1")) == (
        True,
        False,
        False,
    )
