import pytest

from hrvmamba.whole_file import whole_file


def test_replaces_a_file_at_the_end(tmp_path):
    path = tmp_path / "new" / "file.mp4"
    for text in ("first", "second"):
        with whole_file(path) as partial:
            assert partial.suffix == ".mp4"  # writers choose the format by it
            partial.write_text(text)
            assert text == "first" or path.read_text() == "first"
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_keeps_what_was_there_when_interrupted(tmp_path, fault):
    path = tmp_path / "file"
    path.write_text("first")
    with pytest.raises(fault), whole_file(path) as partial:
        partial.write_text("half")
        raise fault
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_refuses_a_folder(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder"), whole_file(tmp_path):
        pass
