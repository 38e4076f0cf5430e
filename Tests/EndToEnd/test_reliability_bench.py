"""`swarm-space bench reliability`: one trial in each place."""

from __future__ import annotations

import json
import os
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from networks import Network
from processes import binary

PLACES = ["loopback", *(["lab"] if os.getuid() == 0 else [])]


@pytest.mark.timeout(150)
@pytest.mark.parametrize("place", PLACES)
def test_a_trial_has_all_its_figures(network: Network, tmp_path: Path, place: str) -> None:
    chart = tmp_path / "chart.svg"
    done = subprocess.run(
        [binary(), "bench", "reliability", "--trials", "1", "--only", place, "--json", "--chart", str(chart)],
        capture_output=True,
        text=True,
        timeout=140,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["trials"] == 1
    assert figures["messages_sent"] > 500
    assert figures["messages_lost"] == figures["messages_duplicated"] == figures["messages_reordered"] == 0
    measures = {key for key in figures if key.endswith("_ms")}
    assert len(measures) == (8 if place == "loopback" else 10)
    for key in measures:
        assert 0 <= figures[key]["p50"] <= figures[key]["p95"] <= figures[key]["p99"]
    assert ElementTree.parse(chart).getroot().tag.endswith("svg")
