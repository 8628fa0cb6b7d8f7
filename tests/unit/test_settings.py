import pytest

from jobs.settings import CHECKOUT, Settings
from stack.supervision import variables_of


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented(name: str) -> None:
    table = (CHECKOUT / "docs" / "settings.md").read_text()

    assert f"| `SLUICE_{name.upper()}` |" in table


def test_programs_have_the_settings_that_we_have(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Settings(demo_rate=2.5, kafka="k:9092", spark_conf={"spark.ui.port": "4041"})
    for name, value in variables_of(ours).items():
        monkeypatch.setenv(name, value)

    assert Settings() == ours


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_KAFKA_PORT", "19092")
    monkeypatch.setenv("SLUICE_LAKE", "s3://bucket/lake/")

    settings = Settings()

    assert settings.bootstrap_servers == "127.0.0.1:19092"
    assert settings.lake_url == "s3://bucket/lake"
