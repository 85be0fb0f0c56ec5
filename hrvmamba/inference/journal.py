"""What an unfinished run has done, on disk, so that the next one goes on from there."""

import json
from pathlib import Path
from typing import Any

Key = tuple[str, int | None]
"""An input's name, and the frame's number if it is a video."""


class Journal:
    """A file of JSON lines: the run's settings, then what is done.

    Args:
        path: the file. What is in it is taken over; a last line that was cut off is dropped.
        settings: of this run, of JSON's types.

    Attributes:
        done: the people found in each image or frame that is done.
        ended: names of the videos that are done as a whole.

    Raises:
        ValueError: the file is of a run with other settings, or no journal.
        OSError: it cannot be written.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.done: dict[Key, list[dict]] = {}
        self.ended: set[str] = set()
        self._path = path
        settings = json.loads(json.dumps(settings))  # tuples become lists, as in the file
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = self._take_over(settings) if path.exists() else 0
        self._file = path.open("ab")
        self._file.truncate(kept)
        if not kept:
            self._write({"settings": settings})

    def add(self, key: Key, people: list[dict]) -> None:
        """Note that an image or frame is done."""
        name, frame = key
        self._write({"name": name, "frame": frame, "people": people})

    def end(self, name: str) -> None:
        """Note that a video is done."""
        self._write({"ended": name})

    def close(self) -> None:
        """Leave the file for the next run."""
        self._file.close()

    def remove(self) -> None:
        """Remove the file, once the run is done."""
        self._file.close()
        self._path.unlink()

    def _write(self, entry: dict) -> None:
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._file.flush()

    def _take_over(self, settings: dict[str, Any]) -> int:
        """Read what is done; returns the length of the file's whole lines, in bytes."""
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        try:
            entries = [json.loads(line) for line in whole.splitlines()]
            theirs = entries[0]["settings"] if entries else settings
            for entry in entries[1:]:
                if "ended" in entry:
                    self.ended.add(entry["ended"])
                else:
                    self.done[entry["name"], entry["frame"]] = entry["people"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self._path} is damaged: remove it to begin anew") from error
        if theirs != settings:
            other = [key for key in settings if theirs.get(key) != settings[key]]
            raise ValueError(
                f"{self._path.parent} holds an interrupted run with another {', '.join(other)}: "
                f"finish that one, name another folder, or remove {self._path}"
            )
        return len(whole)
