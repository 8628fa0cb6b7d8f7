from jobs.engine.weight import IN_MEMORY_BYTES, LARGEST_RECORD_BYTES, Weight


def test_the_records_of_the_first_batch_may_be_as_large_as_kafka_takes_them() -> None:
    assert Weight().fits(IN_MEMORY_BYTES // LARGEST_RECORD_BYTES)
    assert not Weight().fits(IN_MEMORY_BYTES // LARGEST_RECORD_BYTES + 1)


def test_records_are_expected_to_be_as_large_as_those_before() -> None:
    weight = Weight()

    weight.learn(10, IN_MEMORY_BYTES)

    assert weight.fits(10)
    assert not weight.fits(11)


def test_an_empty_batch_teaches_nothing() -> None:
    weight = Weight()
    weight.learn(10, IN_MEMORY_BYTES)

    weight.learn(0, 0)

    assert not weight.fits(11)
