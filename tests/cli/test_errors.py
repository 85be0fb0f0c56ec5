import pytest

from hrvmamba.cli.errors import refuse


def test_a_refusal_is_one_line(capsys):
    with pytest.raises(SystemExit) as end:
        refuse(ValueError("the file is damaged\nmend it"))
    assert end.value.code == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "error: the file is damaged; mend it\n")
