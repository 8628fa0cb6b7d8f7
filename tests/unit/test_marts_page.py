from jobs.marts_page import PAGE, page


def test_the_page_of_marts_is_that_of_the_declarations() -> None:
    assert PAGE.read_text() == page(), "write it anew: make docs"
