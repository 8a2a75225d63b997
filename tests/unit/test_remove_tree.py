import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taskd.system.remove_tree import remove_tree

DEEP = 300
FEW_FRAMES = 150
FEW_DESCRIPTORS = 100


@contextmanager
def few_frames_and_descriptors() -> Iterator[None]:
    """As with a depth of thousands: neither a frame nor a descriptor may be taken for each level."""
    frames, (soft, hard) = sys.getrecursionlimit(), resource.getrlimit(resource.RLIMIT_NOFILE)
    sys.setrecursionlimit(len(list(stack())) + FEW_FRAMES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW_DESCRIPTORS, hard))
    try:
        yield
    finally:
        sys.setrecursionlimit(frames)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def stack() -> Iterator[object]:
    frame = sys._getframe()
    while frame.f_back is not None:
        yield frame
        frame = frame.f_back


def make_deep(top: Path) -> None:
    """By descriptors, as a function may: the path is longer than paths may be."""
    at = os.open(top, os.O_RDONLY)
    for _ in range(DEEP):
        os.mkdir("directory-with-a-long-name", dir_fd=at)
        below = os.open("directory-with-a-long-name", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=at))
    os.close(at)


def test_directories_too_deep_for_recursion_go(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    make_deep(tree)
    with few_frames_and_descriptors():
        remove_tree(tree)
    assert list(tmp_path.iterdir()) == []


def test_what_its_owner_has_closed_goes(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / "file").touch(0o000)
    for directory in (tree / "a" / "b", tree / "a", tree):
        directory.chmod(0o000)
    remove_tree(tree)
    assert not tree.exists()


def test_what_links_lead_to_stays(tmp_path: Path) -> None:
    kept, tree = tmp_path / "kept", tmp_path / "tree"
    kept.mkdir()
    (kept / "file").write_text("kept")
    tree.mkdir()
    (tree / "link").symlink_to(kept)
    (tree / "below").mkdir()
    (tree / "below" / "link").symlink_to(kept)
    remove_tree(tree)
    assert (kept / "file").read_text() == "kept"
    assert not tree.exists()


@pytest.mark.parametrize("is_link", [False, True])
def test_what_is_no_directory_stays(tmp_path: Path, *, is_link: bool) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory" / "file").touch()
    if is_link:
        (tmp_path / "tree").symlink_to(tmp_path / "directory")
    remove_tree(tmp_path / "tree")
    assert (tmp_path / "directory" / "file").exists()
