"""Write docs/marts.md from the declarations: `python -m jobs.marts_page`."""

from collections.abc import Mapping, Sequence

from jobs.marts import MARTS, SNAPSHOTS, VIEWS, Attribute, Mart, Metric, Snapshot, View
from jobs.marts.snapshot import UPDATED_AT
from jobs.settings import CHECKOUT
from schemas import Contract, load_contracts

PAGE = CHECKOUT / "docs" / "marts.md"
HEAD = """# Marts

Every table of gold: what a row is, what it counts, from which events, and how fresh it is. `make docs` writes this page
from the declarations in [jobs/marts/](../jobs/marts).

A row is upserted with every micro-batch as long as its window is open. Sums, minima and maxima merge, so hours and
days are sums over the rows of minutes: `sum(gross)`, and `sum(gross) / sum(orders)` for a mean. What comes late adds a
further row to its window within a minute, until the table is compacted: sum rows up, do not count them.

Tables that end in `_now` have one row per thing, with what is known of it now.

What does not merge (customers who ordered, ranks, shares of a goal, visits, what held at the time of an event) is in
views: `sluice refresh` computes them anew from silver, every ten minutes after `make up` (`SLUICE_REFRESH_MINUTES`).
"""


def page() -> str:
    """The text of the page."""
    contracts = {contract.topic: contract for contract in load_contracts()}
    marts = "".join(mart_section(mart, contracts[topic]) for topic, marts in MARTS.items() for mart in marts)
    snapshots = "".join(snapshot_section(one, contracts[topic]) for topic, found in SNAPSHOTS.items() for one in found)
    views = "".join(view_section(view) for found in VIEWS.values() for view in found)
    return HEAD + marts + snapshots + views


def view_section(view: View) -> str:
    """What the page says of one view."""
    sources = " and ".join(f"`{topic}`" for topic in view.sources)
    rows = [*_key_rows(view.keys), *_attribute_rows(view.attributes)]
    return _section(f"{view.layer}.{view.name}", f"{view.description} A view, from {sources}.", rows, view.metrics)


def snapshot_section(snapshot: Snapshot, contract: Contract) -> str:
    """What the page says of one snapshot."""
    rows = [*_key_rows(snapshot.keys), *_attribute_rows(snapshot.attributes)]
    rows += [f"| `{UPDATED_AT}` | When the newest event happened, UTC. | | |"]
    about = f"{snapshot.description} From `{contract.topic}`, {_freshness(contract)}."
    return _section(f"gold.{snapshot.name}", about, rows, snapshot.metrics)


def mart_section(mart: Mart, contract: Contract) -> str:
    """What the page says of one mart."""
    lateness = f"an event is late after {_duration(contract.watermark_delay.total_seconds())}"
    window = {mart.window: f"Start of the window of {_duration(mart.width.total_seconds())}, UTC."}
    rows = _key_rows({**window, **mart.dimensions})
    rows += [f"| `{m.name}` | {m.description} | {m.unit} | `{_escaped(m.formula)}` |" for m in mart.measures]
    about = f"{mart.description} From `{contract.topic}`, {_freshness(contract)}; {lateness}."
    return _section(f"gold.{mart.name}", about, rows, mart.metrics)


def _key_rows(keys: Mapping[str, str]) -> list[str]:
    return [f"| `{name}` | {text} | | |" for name, text in keys.items()]


def _attribute_rows(attributes: Sequence[Attribute]) -> list[str]:
    return [f"| `{a.name}` | {a.description} | {a.unit} | `{_escaped(a.formula)}` |" for a in attributes]


def _section(name: str, about: str, rows: Sequence[str], metrics: Sequence[Metric]) -> str:
    figures = [f"| `{m.name}` | {m.description} | {m.unit} | `{_escaped(m.formula)}` |" for m in metrics]
    section = f"\n## {name}\n\n{about}\n\n{_table('column', rows)}"
    return section + (f"\n{_table('metric of any rows', figures)}" if figures else "")


def _table(first: str, rows: Sequence[str]) -> str:
    head = f"| {first} | what it is | unit | formula |\n| --- | --- | --- | --- |\n"
    return head + "\n".join(rows) + "\n"


def _freshness(contract: Contract) -> str:
    return f"within {_duration(contract.freshness.total_seconds())} of the event"


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size and seconds % size == 0:
            count = round(seconds / size)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{seconds:g} seconds"


def _escaped(formula: str) -> str:
    return " ".join(formula.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
