"""Files that are whole or not there: full disks, killed processes, links, several at once."""

from __future__ import annotations

import os
import random
import resource
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import neurenix as nx
import pytest


def test_mode_follows_the_umask_and_links_stay(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        nx.save({"x": 1}, tmp_path / "a")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    (tmp_path / "a").chmod(0o600)  # as for a file that nobody else may read
    nx.save({"x": 3}, tmp_path / "a")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "target")
    nx.save({"x": 2}, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert nx.load(tmp_path / "folder" / "target") == {"x": 2}


def child(code: str, *arguments: object, **options: object) -> subprocess.Popen[str]:
    program = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(program, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def test_file_size_limit_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    nx.save({"x": 1}, path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        with pytest.raises(
            OSError, match=r"cannot save: File too large: 400,\d\d\d bytes needed, .* free"
        ) as error:
            nx.save({"x": nx.ones(100_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(path) in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert nx.load(path) == {"x": 1}


def test_full_disk_leaves_the_old_file_whole(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], capture_output=True, check=False
    ).returncode
    if mounted != 0:
        pytest.skip("mounting a small file system needs root")
    try:
        path = tmp_path / "a"
        nx.save({"x": nx.ones(1000)}, path)
        with pytest.raises(OSError, match=r"No space left on device: 4,000,\d\d\d bytes needed, [\d,]+ free"):
            nx.save({"x": nx.ones(1_000_000)}, path)
        assert [p.name for p in tmp_path.iterdir()] == ["a"]
        assert nx.load(path)["x"].shape == (1000,)
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_killed_while_saving(tmp_path: Path) -> None:
    """The file is always the old or the new one, and what a dead process left is removed by the next save."""
    path, rng = tmp_path / "a", random.Random(0)
    code = """
        import itertools, sys
        import neurenix as nx
        print("ready", flush=True)
        for i in itertools.count(1):
            nx.save({"i": i, "x": nx.full(50_000, i)}, sys.argv[1])
    """
    nx.save({"i": 0, "x": nx.full(50_000, 0)}, path)
    orphans = 0
    for _ in range(8):
        with child(code, path) as process:
            assert process.stdout.readline() == "ready\n"
            time.sleep(rng.uniform(0.0, 0.05))
            process.send_signal(signal.SIGKILL)
        loaded = nx.load(path)
        assert (loaded["x"] == loaded["i"]).all()
        orphans += len(list(tmp_path.iterdir())) - 1
        nx.save(loaded, path)
        assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert orphans  # else this has not tested what it says


def test_temporary_files_of_the_living_stay(tmp_path: Path) -> None:
    code = """
        import sys
        from neurenix._atomic import writing
        with writing(sys.argv[1], 0) as file:
            print("ready", flush=True)
            sys.stdin.read()
    """
    with child(code, tmp_path / "a", stdin=subprocess.PIPE) as process:
        process.stdout.readline()
        nx.save({"x": 1}, tmp_path / "a")
        assert len(list(tmp_path.iterdir())) == 2
        process.communicate("")
    assert (tmp_path / "a").read_bytes() == b""
    assert len(list(tmp_path.iterdir())) == 1


def test_no_moment_at_which_others_can_read_a_private_file(tmp_path: Path, monkeypatch) -> None:
    nx.save({"x": 1}, tmp_path / "a")
    (tmp_path / "a").chmod(0o600)
    create, modes = os.open, []

    def recording(path, flags, mode=0o777, **more):
        descriptor = create(path, flags, mode, **more)
        if flags & os.O_CREAT:
            modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return descriptor

    monkeypatch.setattr(os, "open", recording)
    nx.save({"x": 2}, tmp_path / "a")
    assert modes == [0o600]


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with child("import sys; print(len(open(sys.argv[1], 'rb').read()))", tmp_path / "pipe") as process:
        nx.save({"x": nx.ones(3)}, tmp_path / "pipe")
        size = int(process.stdout.read())
    nx.save({"x": nx.ones(3)}, tmp_path / "file")
    assert size == (tmp_path / "file").stat().st_size
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_device_stays_a_device(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        (tmp_path / "null").write_bytes(b"x")
    except PermissionError:
        pytest.skip("making a device needs root")
    nx.save({"x": nx.ones(3)}, tmp_path / "null")
    assert stat.S_ISCHR((tmp_path / "null").stat().st_mode)
    assert [p.name for p in tmp_path.iterdir()] == ["null"]


def test_a_folder_that_cannot_be_synced_is_a_warning(tmp_path: Path, monkeypatch) -> None:
    nx.save({"x": 1}, tmp_path / "a")
    sync = os.fsync

    def failing(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(22, "Invalid argument")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.warns(RuntimeWarning, match="the new file is in place, but the folder could not be synced"):
        nx.save({"x": 2}, tmp_path / "a")
    assert nx.load(tmp_path / "a") == {"x": 2}


@pytest.mark.parametrize("name", ["a" * 255, "é" * 127, "模型" * 40 + ".safetensors", "🙂" * 60, " ", "-rf"])
def test_every_name_that_the_file_system_takes(tmp_path: Path, name: str) -> None:
    nx.save({"x": 1}, tmp_path / name)
    nx.save({"x": 2}, os.fsencode(tmp_path / name))
    assert nx.load(os.fsencode(tmp_path / name)) == {"x": 2}
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_writers_in_other_containers_are_alive(tmp_path: Path) -> None:
    """Process numbers mean nothing across namespaces: a writer there is seen by its lock."""
    apart = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("namespaces of processes need root")
    code = """
        import sys
        from neurenix._atomic import writing
        with writing(sys.argv[1], 0) as file:
            print("ready", flush=True)
            sys.stdin.read()
            file.write(b"slow")
    """
    program = [*apart, sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "a")]
    with subprocess.Popen(program, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == "ready\n"
        other = 'import sys, neurenix as nx; nx.save({"x": 1}, sys.argv[1])'
        subprocess.run([*apart, sys.executable, "-c", other, tmp_path / "a"], check=True)
        process.communicate("")
    assert process.returncode == 0
    assert (tmp_path / "a").read_bytes() == b"slow"


def test_saving_needs_little_memory(tmp_path: Path) -> None:
    """A tensor is written in parts: not even a second of its kind has to fit into memory."""
    code = """
        import resource, sys
        import neurenix as nx
        wide, tall = nx.full((2, 100_000_000), 7, dtype="uint8"), nx.full((200_000_000,), 7, dtype="uint8")
        used = int([l for l in open("/proc/self/status") if l.startswith("VmSize")][0].split()[1]) * 1024
        resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000,) * 2)
        nx.save({"wide": wide, "tall": tall}, sys.argv[1])
    """
    with child(code, tmp_path / "a") as process:
        _, error = process.communicate()
    assert (process.returncode, error) == (0, "")
    loaded = nx.load(tmp_path / "a")
    assert loaded["wide"].shape == (2, 100_000_000)
    assert (loaded["tall"] == 7).all()
    assert (loaded["wide"] == 7).all()


def test_reading_while_another_saves(tmp_path: Path) -> None:
    path = tmp_path / "a"
    nx.save({"i": 0, "x": nx.full(10_000, 0)}, path)
    code = """
        import sys
        import neurenix as nx
        for i in range(200):
            nx.save({"i": i, "x": nx.full(10_000, i)}, sys.argv[1])
    """
    with child(code, path) as process:
        while process.poll() is None:
            loaded = nx.load(path)
            assert (loaded["x"] == loaded["i"]).all()
    assert process.returncode == 0
