import json

from hrvmamba.analysis import installation
from hrvmamba.analysis.self_test import OpCheck


def test_status_and_json(command, monkeypatch, capsys):
    monkeypatch.setattr(installation, "_MODULES", ("mmengine",))
    assert command("check", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["problems"] == []
    assert all(check["error"] < 1e-4 for check in report["self_test"])
    failed = OpCheck("deform_sample", "native", "cpu", 1.0)
    monkeypatch.setattr(installation, "self_test", lambda: [failed])
    assert command("check") == 1
    assert "-> build the kernels" in capsys.readouterr().out
