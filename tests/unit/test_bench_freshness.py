import json

import numpy as np
import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from bench import report
from bench.__main__ import dump
from bench.commits import added, batches, history, keep, keeping, total, waits
from bench.freshness import Commits, Production, latencies, quantiles, quantiles_by_period, read_production


def production(*ticks):
    times, counts = zip(*ticks, strict=True)
    return Production(np.array(times, dtype=float), np.array(counts))


def commits(*versions):
    times, totals = zip(*versions, strict=True)
    return Commits(np.array(times, dtype=float), np.array(totals))


def test_an_event_is_visible_from_the_first_version_that_counts_it():
    times, seconds = latencies(
        production((10, 2), (11, 1)),
        commits((9, 0), (12, 1), (15, 3)),
    )
    assert times.tolist() == [10, 10, 11]
    assert seconds.tolist() == [2, 5, 4]


def test_an_event_that_gold_never_shows_is_infinitely_late():
    _, seconds = latencies(production((10, 3)), commits((12, 2)))
    assert seconds.tolist() == [2, 2, np.inf]


def test_without_commits_nothing_is_visible():
    _, seconds = latencies(production((10, 1)), Commits(np.array([]), np.array([], dtype=np.int64)))
    assert seconds.tolist() == [np.inf]


def test_a_total_that_falls_does_not_hide_what_was_visible():
    _, seconds = latencies(production((10, 3)), commits((11, 2), (12, 1), (13, 3)))
    assert seconds.tolist() == [1, 1, 3]


def test_quantiles_are_values_that_occurred():
    assert quantiles(np.arange(1.0, 101.0)) == {"p50": 50, "p95": 95, "p99": 99, "max": 100}


def test_quantiles_beyond_every_bound_are_none():
    assert quantiles(np.array([1.0, np.inf])) == {"p50": 1, "p95": None, "p99": None, "max": None}


def test_quantiles_of_nothing_are_none():
    assert set(quantiles(np.array([])).values()) == {None}


def test_periods_hold_the_events_that_happened_in_them():
    times = np.array([99.0, 100.0, 104.9, 105.0, 110.0])
    periods = quantiles_by_period(times, np.array([9.0, 1.0, 2.0, 3.0, 9.0]), start=100, end=110, seconds=5)
    assert [(period["at"], period["max"]) for period in periods] == [(0, 2), (5, 3)]


def test_the_log_of_the_generator_is_epoch_milliseconds_and_counts():
    read = read_production("1500 10\n1510 11\n")
    assert read.times.tolist() == [1.5, 1.51]
    assert read.total == 21


def test_history_sums_every_version_of_a_table(tmp_path):
    table, log = str(tmp_path / "mart"), tmp_path / "log"
    write_deltalake(table, pa.table({"key": ["a", "b"], "orders": [1, 2]}))
    keep(tmp_path / "mart", log)
    visible = (tmp_path / "mart" / "_delta_log" / f"{0:020}.json").stat().st_ctime
    write_deltalake(table, pa.table({"key": ["c"], "orders": [3]}), mode="append")
    merge = DeltaTable(table).merge(
        pa.table({"key": ["a"], "orders": [10]}), "t.key = s.key", source_alias="s", target_alias="t"
    )
    merge.when_matched_update({"orders": "t.orders + s.orders"}).execute()
    with keeping(tmp_path / "mart", log):
        # The table's own log may have forgotten it by now.
        (tmp_path / "mart" / "_delta_log" / f"{0:020}.json").rename(tmp_path / "forgotten.json")
    found = history(tmp_path / "mart", log, "orders")
    (tmp_path / "forgotten.json").rename(tmp_path / "mart" / "_delta_log" / f"{0:020}.json")
    assert found.times[0] == pytest.approx(visible)
    assert found.totals.tolist() == [3, 6, 16]
    assert np.all(np.diff(found.times) >= 0)
    assert total(tmp_path / "mart", "orders") == 16


def test_history_needs_the_whole_log(tmp_path):
    table = tmp_path / "mart"
    write_deltalake(str(table), pa.table({"orders": [1]}))
    write_deltalake(str(table), pa.table({"orders": [1]}), mode="append")
    (table / "_delta_log" / f"{0:020}.json").unlink()
    keep(table, tmp_path / "log")
    with pytest.raises(ValueError, match="version 0 is missing"):
        history(table, tmp_path / "log", "orders")


def test_a_turn_of_the_late_lane_is_no_micro_batch_of_its_number(tmp_path):
    table, log = tmp_path / "silver", tmp_path / "log"
    for query, second in (("query", 10), ("late-shop.orders", 20)):
        rows = pa.table({"timestamp": pa.array([second * 1_000_000], pa.timestamp("us", "UTC"))})
        written = CommitProperties(app_transactions=[Transaction(f"{query}/silver", 0)])
        write_deltalake(str(table), rows, mode="append", commit_properties=written)
    keep(table, log)
    assert set(batches(log)) == {("query", 0), ("late-shop.orders", 0)}
    visible = {("query", 0): 11.0, ("late-shop.orders", 0): 24.0}
    on_time, late = (added(table, log, "timestamp", late=late) for late in (False, True))
    assert waits(on_time, visible, start=0, end=100).tolist() == [1]
    assert waits(late, visible, start=0, end=100).tolist() == [4]


def result(pipeline, rate, p50, **more):
    freshness = {"p50": p50, "p95": p50 + 1, "p99": p50 + 2, "max": p50 + 3}
    periods = [{"at": at, **freshness} for at in (0, 60)]
    return {
        "pipeline": pipeline,
        "rate": rate,
        "minutes": 2,
        "warmup_seconds": 60,
        "measured_at": "2026-01-02T03:04:05+00:00",
        "machine": {"cores": 2, "processor": "P", "memory_gib": 4, "system": "Linux", "pyspark": "4"},
        "freshness": freshness,
        "by_minute": periods,
        "by_period": periods,
        "gold_events_per_second": rate,
        "gold_commits": 7,
        "produced": 100,
        "in_gold": 100,
        "load": {"events_per_second": rate, "cores": 0.1, "failed": 0},
        "usage": {"cores": 1, "cpu_seconds_per_1000_events": 0.1, "memory_mib": 2000, "machine_cores": 1.5},
        "broker": {"cores": 0.1},
    } | more


def test_the_report_compares_and_draws(tmp_path):
    page = report.write_page([result("sluice", 1000, 1.0), result("textbook", 1000, 9.0, in_gold=99)], tmp_path)
    text = page.read_text()
    assert "| event time to gold, p50 | 9.00 s | 1.00 s |" in text
    assert "p50 9.0, p95 5.0" in text
    assert "| lost or doubled | -1 | 0 |" in text
    assert (tmp_path / report.PLOT).stat().st_size > 0


def test_the_report_says_which_run_failed(tmp_path):
    failed = {name: result("sluice", 1000, 1.0)[name] for name in ("pipeline", "rate", "minutes", "machine")}
    failed |= {"warmup_seconds": 60, "measured_at": "2026-01-02", "error": "BenchError: it ended"}
    text = report.write_page([failed, result("textbook", 1000, 9.0)], tmp_path).read_text()
    assert "Sluice at 1,000 events/s gave no figures: BenchError: it ended" in text


def test_the_report_shows_what_a_user_waits_for(tmp_path):
    screen = {"first_load": [5.0, 3.0], "warm_load": [2.0], "reload": [2.0], "event_to_screen": [1.0, 4.0, 2.0]}
    screen |= {"demo_rate": 50, "measured_at": "2026-01-02T03:04:05+00:00"}
    text = report.write_page([result("sluice", 1000, 1.0)], tmp_path, screen=screen).read_text()
    assert "| first load, new browser | 2 | 3.0 s | 4.0 s | 5.0 s |" in text
    assert "| event to screen | 3 | 1.0 s | 2.0 s | 4.0 s |" in text


def test_a_result_survives_its_file():
    whole = result("sluice", 1000, 1.0)
    assert json.loads(dump(whole)) == whole


def test_the_report_says_what_judging_costs(tmp_path):
    judging = {
        "rate": 10_000,
        "minutes": 2,
        "measured_at": "2026-03-01T12:00:00+00:00",
        "cpu_seconds_per_1000_events": {"unjudged": [0.100, 0.100, 0.110], "sluice": [0.110, 0.120, 0.110]},
    }

    text = report.write_page([result("sluice", 1000, 1.0)], tmp_path, judging=judging).read_text()

    assert "| 2 | 0.100 | 0.120 | +20% |" in text
    assert "median: +10%" in text


def test_the_report_says_what_late_events_cost(tmp_path):
    seconds = {"p50": 1.0, "p95": 2.0, "p99": 3.0, "max": 4.0}
    late = {
        "rate": 10_000,
        "minutes": 2,
        "measured_at": "2026-03-01T12:00:00+00:00",
        "runs": [
            {"late": 0.0, "events_on_time": seconds, "cpu_seconds_per_1000_events": 0.1},
            {"late": 0.01, "events_on_time": seconds, "late_events": seconds, "cpu_seconds_per_1000_events": 0.11},
        ],
    }

    text = report.write_page([result("sluice", 1000, 1.0)], tmp_path, late=late).read_text()

    assert "| 0% | 0.100 | 1.00 s | 3.00 s |  |  |  |" in text
    assert "| 1% | 0.110 | 1.00 s | 3.00 s | 1.00 s | 3.00 s | 4.00 s |" in text


def test_the_report_says_what_grows_over_hours(tmp_path):
    names = report.SAMPLED
    samples = [{"minute": 5.0 * n, **dict.fromkeys(names, 1.5 if n < 4 else 2.5)} for n in range(8)]
    soak = {"rate": 500, "minutes": 40, "measured_at": "2026-03-01T12:00:00+00:00", "samples": samples}

    soak |= {"produced": 1_200_000, "in_silver": 1_200_000}
    text = report.write_page([result("sluice", 1000, 1.0)], tmp_path, soak=soak).read_text()

    assert "| a micro-batch, s | 1.50 | 1.50 | 2.50 | 2.50 |" in text
    assert "1,200,000 events, 0 lost or doubled" in text


def test_the_report_says_what_a_mart_costs(tmp_path):
    mart = {"events": 10, "p50": 0.5, "p95": 0.8, "p99": 1.0, "max": 1.2}
    every = {"plan": "both", "rate": 1000, "minutes": 5, "measured_at": "2026-03-01T12:00:00+00:00"}
    every |= {"produced": 10, "in_silver": 10, "gold": 12, "first_only": 2, "marts": {"pulse": mart}}
    one = every | {"plan": report.ONE_MART, "gold": 12, "usage": {"cores": 0.8}}

    text = report.write_page(
        [result("sluice", 1000, 1.0)], tmp_path, together=[one, every | {"usage": {"cores": 1.0}}]
    ).read_text()

    assert "| pulse | 0.50 s | 0.80 s | 1.00 s | 1.20 s |" in text
    assert "+0.020 cores per added mart" in text
