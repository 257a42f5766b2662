"""The kubelet's configuration file."""

from __future__ import annotations

from pathlib import Path

import pytest
from k3k_kubelet.config import ConfigError, load


def test_configuration_errors_name_file_and_field(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    with pytest.raises(ConfigError, match=r"config\.json: No such file"):
        load(file)
    file.write_text('{"cluster": "c", "namespace": 7}')
    with pytest.raises(ConfigError, match=r"config\.json: Expected `str`, got `int` - at `\$.namespace`"):
        load(file)
    file.write_text('{"cluster": "c", "paths": {"tls": "/x", "other": "/y"}}')
    with pytest.raises(ConfigError, match="unknown field `other`"):
        load(file)
