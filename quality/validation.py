"""Validate tables with Great Expectations itself, off the hot path, and render its Data Docs."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

import great_expectations as gx
from great_expectations.checkpoint.actions import UpdateDataDocsAction
from great_expectations.core import ExpectationValidationResult
from great_expectations.data_context.data_context.file_data_context import FileDataContext
from great_expectations.data_context.types.base import ProgressBarsConfig
from pyspark.sql import DataFrame

from quality.rules import QUERY
from quality.suite import Suite

SOURCE = "lake"
ROWS = "whole table"
SAMPLES = 5
"""Values that a result shows of what is not as expected."""


@dataclass(frozen=True)
class Verdict:
    """What became of one expectation.

    ``evaluated`` and ``unexpected`` count rows, and are None for an expectation of a table as a whole. ``error`` says
    why the expectation could not be evaluated, which counts as failed.
    """

    table: str
    expectation: str
    severity: str
    description: str
    arguments: dict[str, Any]
    success: bool
    evaluated: int | None
    unexpected: int | None
    error: str | None


class Validator:
    """A project of Great Expectations in a folder, which keeps every result."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        context = gx.get_context(mode="file", project_root_dir=folder)
        assert isinstance(context, FileDataContext)
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        self._context = context
        self._source = context.data_sources.add_or_update_spark(SOURCE)

    @property
    def data_docs(self) -> Path:
        """The page that lists every suite and every result."""
        return Path(self._context.root_directory) / "uncommitted" / "data_docs" / "local_site" / "index.html"

    def validate(self, suite: Suite, rows: DataFrame, *, is_personal: bool) -> list[Verdict]:
        """Hold the rows of a table against its suite.

        Args:
            suite: of the table.
            rows: of the table.
            is_personal: whether they are about persons; then the result, which is kept, shows no value of theirs.

        Returns:
            a verdict per expectation, in the order of the suite.
        """
        checkpoint = self._checkpoint(suite, samples=0 if is_personal else SAMPLES)
        outcome = checkpoint.run(batch_parameters={"dataframe": rows})
        (result,) = outcome.run_results.values()
        return [_verdict(suite.table, one) for one in result.results]

    def _checkpoint(self, suite: Suite, *, samples: int) -> gx.Checkpoint:
        # What a suite says beyond Great Expectations' own terms is for the jobs.
        expectations = [
            {key: value for key, value in expectation.items() if key != "on_failure"}
            for expectation in suite.expectations
        ]
        definition = gx.ExpectationSuite(name=suite.table, expectations=expectations)
        kept = self._context.suites.add_or_update(definition)
        asset = self._source.add_dataframe_asset(name=suite.table)
        batch = asset.add_batch_definition_whole_dataframe(ROWS)
        validation = gx.ValidationDefinition(name=suite.table, data=batch, suite=kept)
        return self._context.checkpoints.add_or_update(
            gx.Checkpoint(
                name=suite.table,
                validation_definitions=[self._context.validation_definitions.add_or_update(validation)],
                actions=[UpdateDataDocsAction(name="data docs")],
                result_format={"result_format": "BASIC", "partial_unexpected_count": samples},
            )
        )


def _verdict(table: str, result: ExpectationValidationResult) -> Verdict:
    config, figures = result.expectation_config, result.result
    assert config is not None
    return Verdict(
        table=table,
        expectation=config.type,
        severity=str(config.severity.value),
        description=str(config.description or ""),
        arguments={name: value for name, value in config.kwargs.items() if name != "batch_id"},
        success=bool(result.success),
        evaluated=figures.get("element_count"),
        # A query observes how many rows it finds.
        unexpected=figures.get("observed_value") if config.type == QUERY else figures.get("unexpected_count"),
        error=next(errors(result.exception_info), None),
    )


def errors(info: Any) -> Iterator[str]:
    """The messages of what was raised; the information is of one exception, or has one per metric."""
    if not info:
        return
    for one in [info] if "raised_exception" in info else info.values():
        if one["raised_exception"]:
            yield str(one["exception_message"])
