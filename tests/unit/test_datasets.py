from jobs.datasets import DATASETS, datasets


def test_the_datasets_of_gold_are_those_of_the_declarations() -> None:
    expected = dict(datasets())

    assert {path: path.read_text() for path in expected if path.is_file()} == expected, "write them anew: make docs"
    of_gold = {path for path in DATASETS.glob("*.yaml") if "\nschema: gold\n" in path.read_text()}
    assert of_gold == set(expected)
