import itertools
import json
from collections import Counter

from stack.traffic import Message, order_messages

START = 1_760_000_000.0


def messages(count: int, *, rate: float = 100, seed: int = 1) -> list[Message]:
    return list(itertools.islice(order_messages(rate=rate, start=START, seed=seed), count))


def events(sent: list[Message]) -> list[dict[str, object]]:
    found = []
    for message in sent:
        try:
            found.append(json.loads(message.value))
        except ValueError:
            continue
    return found


def test_the_same_seed_gives_the_same_traffic() -> None:
    assert messages(500) == messages(500)
    assert messages(500) != messages(500, seed=2)


def test_the_rate_holds_once_orders_live_their_lives() -> None:
    sent = messages(60_000)

    span = sent[-1].at - sent[30_000].at

    assert 90 < 30_000 / span < 110


def test_messages_come_in_the_order_in_which_they_are_sent() -> None:
    times = [message.at for message in messages(5_000)]

    assert times == sorted(times)


def test_an_order_is_placed_before_anything_else_happens_to_it() -> None:
    steps: dict[object, list[object]] = {}
    for event in events(messages(20_000)):
        steps.setdefault(event["order_id"], []).append(event["event_type"])

    assert all(life[0] == "placed" for life in steps.values() if "placed" in life)
    assert {step for life in steps.values() for step in life} >= {
        "paid",
        "shipped",
        "delivered",
        "cancelled",
        "returned",
    }


def test_the_share_of_cancelled_orders_is_that_of_a_marketplace() -> None:
    kinds = Counter(event["event_type"] for event in events(messages(40_000)))

    assert 0.05 < kinds["cancelled"] / kinds["placed"] < 0.09


def test_disorder_is_part_of_it() -> None:
    sent = messages(20_000)
    found = events(sent)
    identities = Counter(event["event_id"] for event in found)

    assert len(found) < len(sent)
    assert 0.005 < sum(count > 1 for count in identities.values()) / len(sent) < 0.02
    assert any(event["event_type"] == "teleported" for event in found)
