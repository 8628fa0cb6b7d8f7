"""What `sluice status` says beside the figures."""

import json
from pathlib import Path

from jobs.engine import accidents
from jobs.engine.accidents import Accident
from jobs.settings import Settings
from jobs.status import remarks


def test_accidents_are_said_in_a_sentence_each(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, lake="")
    assert remarks(settings) == []
    lost = [
        Accident("bronze", "expired", 7, "shop.orders", partition, from_offset=5, to_offset=1_239)
        for partition in (0, 1)
    ]

    accidents.note(lost, settings.lake_url)
    # The micro-batch runs again.
    accidents.note(lost, settings.lake_url)
    accidents.note([Accident("live-shop", "made anew", 3, "shop.orders", 0, from_offset=8)], settings.lake_url)

    later, earlier = remarks(settings)
    assert earlier.endswith("UTC: bronze lost 2,468 offsets of shop.orders: Kafka deleted them before they were read.")
    assert "shop.orders was made anew: live-shop reads it from its beginning" in later


def test_clocks_that_are_not_to_be_trusted_are_named(tmp_path: Path) -> None:
    (tmp_path / "progress").mkdir()
    for job, topics in (("bronze", ["shop.clicks", "shop.orders"]), ("live-shop.orders", ["shop.orders"])):
        (tmp_path / "progress" / f"{job}.json").write_text(json.dumps({"timed_by_producers": topics}))

    (remark,) = remarks(Settings(home=tmp_path, lake=""))

    assert remark.startswith("Producers set the time of records in shop.clicks, shop.orders")
    assert "message.timestamp.type=LogAppendTime" in remark
