"""A view that stands still while its source goes on: what the gateway says of it, and from when on."""

import logging

import pytest

from featurestore.ingestion.commit_record import AppliedRecord
from featurestore.online.keys import SourceKeys
from gateway.errors import ViewNotFollowed
from gateway.serving.view_watch import ViewWatch
from tests.serving_project import LocalGateway, with_row


@pytest.fixture
def committed(project):
    """Note a commit of baskets which has the view ``spending``, or another revision of it."""

    def note(s, *, followed):
        digest = project.catalog.views["spending"].row_digest if followed else "f" * 64
        record = AppliedRecord(s, s, views=(digest[:16],))
        project.store.put_values([(SourceKeys("baskets").applied, record.pack())])

    return note


@pytest.mark.parametrize("on_store_error", ["refuse", "degrade"])
def test_values_that_stand_still_are_not_served(project, committed, on_store_error, caplog):
    committed(4, followed=True)
    with LocalGateway(project, on_store_error=on_store_error) as gateway, caplog.at_level(logging.ERROR):
        assert gateway.predict(with_row(17)).status_code == 200
        assert gateway.get("/readyz").status_code == 200
        committed(5, followed=False)
        gateway.settle_until(lambda: gateway.predict(with_row(17)).status_code == 503)
        refused, unready = gateway.predict(with_row(17)).json(), gateway.get("/readyz")
        committed(6, followed=True)
        gateway.settle_until(lambda: gateway.predict(with_row(17)).status_code == 200)
    assert refused["code"] == unready.json()["code"] == "view-not-followed"
    assert unready.status_code == 503
    assert "restart the gateway" in refused["mend"]
    assert "spending" in refused["error"]
    assert [record.levelno for record in caplog.records if "spending" in record.getMessage()] == [logging.ERROR]


def test_a_gateway_that_starts_with_values_that_stand_still_says_so(project, committed):
    committed(5, followed=False)
    with LocalGateway(project) as gateway:
        assert gateway.predict(with_row(17)).json()["code"] == "view-not-followed"


class TestViewWatch:
    def test_while_views_are_written_anew_and_no_commit_is_made_nothing_is_refused(self, project, committed):
        service = project.catalog.services["inputs"]
        committed(4, followed=True)
        watch = ViewWatch(project.store)
        watch.add(service)
        committed(4, followed=False)
        watch.refresh()
        watch.refuse(service)
        committed(5, followed=False)
        watch.refresh()
        with pytest.raises(ViewNotFollowed, match="spending"):
            watch.refuse(service)

    def test_while_a_stream_is_opened_nothing_is_refused(self, project, committed):
        """The views are written then, and noted afterwards, with the first commit."""
        service = project.catalog.services["inputs"]
        watch = ViewWatch(project.store)
        watch.add(service)
        for _ in range(2):
            committed(1, followed=False)
            watch.refresh()
            watch.refuse(service)
        committed(2, followed=True)
        watch.refresh()
        watch.refuse(service)
        committed(3, followed=False)
        watch.refresh()
        with pytest.raises(ViewNotFollowed, match="spending"):
            watch.refuse(service)

    def test_services_that_do_not_read_the_view_are_not_refused(self, project, committed):
        committed(5, followed=False)
        watch = ViewWatch(project.store)
        for name in ("inputs", "typed_inputs"):
            watch.add(project.catalog.services[name])
        watch.refuse(project.catalog.services["typed_inputs"])

    def test_a_source_without_commits_is_not_refused(self, project):
        watch = ViewWatch(project.store)
        watch.add(project.catalog.services["inputs"])
        watch.refuse(project.catalog.services["inputs"])
