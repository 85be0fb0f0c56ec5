import sys

import pytest
from mmengine.config import Config

from hrvmamba.integrations import mmpose
from hrvmamba.integrations.config import ConfigError
from hrvmamba.integrations.hosts import host_of


def test_the_host_is_the_default_scope():
    assert host_of(Config({"default_scope": "mmpose"})) is mmpose


@pytest.mark.parametrize("content", [{}, {"default_scope": "mmdet"}])
def test_another_scope(content):
    with pytest.raises(ConfigError, match=r"one of mmpose, mmpretrain, mmseg, got (None|.mmdet.)"):
        host_of(Config(content))


def test_a_library_that_is_not_installed(monkeypatch):
    for name in ["mmpretrain", *(name for name in sys.modules if name.startswith("mmpretrain."))]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "hrvmamba.integrations.mmpretrain", raising=False)
    with pytest.raises(ConfigError, match="is 'mmpretrain', but mmpretrain cannot be used here"):
        host_of(Config({"default_scope": "mmpretrain"}))
