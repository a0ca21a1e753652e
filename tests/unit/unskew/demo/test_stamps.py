"""What is remembered between runs of the demo."""

from unskew.demo.stamps import Stamps, file_digests


def test_a_step_is_known_by_its_inputs(tmp_path):
    Stamps(tmp_path / "stamps.json").note("train", {"rows": 1}, 7)
    again = Stamps(tmp_path / "stamps.json")
    assert again.result("train", {"rows": 1}) == 7
    assert again.result("train", {"rows": 2}) is None
    assert again.result("other", {"rows": 1}) is None
    assert again.last("train") == 7


def test_a_file_that_cannot_be_read_counts_as_none(tmp_path):
    for content in (b"", b"not json", b"[1]"):
        (tmp_path / "stamps.json").write_bytes(content)
        assert Stamps(tmp_path / "stamps.json").last("train") is None


def test_an_absent_file_has_an_empty_digest(tmp_path):
    (tmp_path / "here").write_bytes(b"abc")
    found = file_digests(tmp_path / "here", tmp_path / "gone")
    assert found["here"].startswith("ba7816bf")
    assert found["gone"] == ""
