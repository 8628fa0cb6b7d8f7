"""A dashboard on a phone: one chart below the other, each as wide as the screen.

Superset draws a chart as wide as its share of twelve columns, which on a phone is a finger's breadth, and a style sheet
cannot change that. So whoever asks with a phone gets the layout with a row for each chart; what is stored stays.
"""

import json
from typing import Any

from flask import Flask, Response, request

ENDPOINT = "DashboardRestApi.get"
COLUMNS = 12
LEAST_HEIGHT = 46
"""Of what was wide, such as a table, whose rows take several lines on a phone; in units of 8 pixels."""
PLACED = ("CHART", "COLUMN", "MARKDOWN")

Layout = dict[str, Any]


def install(app: Flask) -> None:
    """Let an application answer phones."""
    app.after_request(_for_phone)


def is_phone(agent: str) -> bool:
    """Whether a browser's ``User-Agent`` is that of a phone: all browsers of phones say so, those of tablets do not."""
    return "Mobi" in agent


def stacked(layout: Layout) -> Layout:
    """A layout, Superset's ``position_json``, whose rows hold one chart each."""
    parts = {key: dict(part) if isinstance(part, dict) else part for key, part in layout.items()}
    for key, part in layout.items():
        if not isinstance(part, dict):
            continue
        if part.get("type") in PLACED:
            parts[key]["meta"] = _meta(part["meta"])
        elif part.get("type") == "ROW":
            rows = _rows(key, part)
            del parts[key]
            parts.update(rows)
            parent = parts[part["parents"][-1]]
            place = parent["children"].index(key)
            parent["children"] = [*parent["children"][:place], *rows, *parent["children"][place + 1 :]]
    return parts


def _meta(meta: Layout) -> Layout:
    height = max(meta["height"], LEAST_HEIGHT) if meta["width"] > COLUMNS / 3 and "height" in meta else None
    return {**meta, "width": COLUMNS, **({"height": height} if height else {})}


def _rows(key: str, row: Layout) -> dict[str, Layout]:
    return {f"{key}-{child}": {**row, "id": f"{key}-{child}", "children": [child]} for child in row["children"]}


def _for_phone(response: Response) -> Response:
    if request.endpoint != ENDPOINT or not response.is_json or response.status_code != 200:
        return response
    response.vary.add("User-Agent")
    if is_phone(request.user_agent.string):
        content = response.get_json()
        dashboard = content["result"]
        dashboard["position_json"] = json.dumps(stacked(json.loads(dashboard["position_json"])))
        response.set_data(json.dumps(content))
    return response
