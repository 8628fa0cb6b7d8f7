import pytest

from quality.limits import java_pattern


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("^[A-Z]{2}$", r"^[A-Z]{2}\z"),
        ("a$|b$", r"a\z|b\z"),
        (r"^\$[0-9]+$", r"^\$[0-9]+\z"),
        ("[$]", "[$]"),
        (r"[\]$]$", r"[\]$]\z"),
        ("[]$]$", r"[]$]\z"),
        (r"\Q$\E$", r"\Q$\E\z"),
        (r"\\$", r"\\\z"),
        ("b", "b"),
    ],
)
def test_a_dollar_is_the_end_of_the_text(pattern: str, wanted: str) -> None:
    assert java_pattern(pattern) == wanted
