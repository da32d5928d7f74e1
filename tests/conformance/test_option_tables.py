"""The options that DCMTK's tools list in their usage texts, held against our tables."""

from __future__ import annotations

import re

import pytest

from dcmnet.cli import catalogue
from tests.conformance.peers import run


@pytest.mark.parametrize("tool", catalogue.plain_names())
def test_what_the_installed_tool_lists_is_there(tool: str) -> None:
    theirs = set(re.findall(r"^ +(?:([-+]\S+) +)?(--\S+)", run(tool, "--help"), re.MULTILINE))
    assert ("-h", "--help") in theirs
    assert theirs <= {(option.short, option.long) for option in catalogue.tool_of(tool).options}
