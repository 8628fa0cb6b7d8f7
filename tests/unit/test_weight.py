from jobs.engine.weight import IN_MEMORY_BYTES, Weight


def test_nothing_is_known_of_the_first_batch() -> None:
    weight = Weight()

    assert not weight.fits(1)
    assert weight.fits(0)


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
