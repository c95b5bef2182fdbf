"""The command line as a user meets it: in processes of its own where that matters, in this one where it does not."""

import csv
import gzip
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from neurenix import load, save, train
from neurenix.cli import main
from neurenix.cli.parser import SCHEDULES, make_parser
from neurenix.data import DataError, Table

RUN = [sys.executable, "-m", "neurenix"]


@pytest.fixture
def cli(capsys):
    """Runs a command in this process; gives the exit code, its output and its errors."""

    def call(*arguments):
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def iris(tmp_path_factory):
    """The folder of a model that knows iris."""
    folder = tmp_path_factory.mktemp("iris")
    assert main(["train", "iris", "--output", str(folder), "--epochs", "80", "--lr", "0.01"]) == 0
    return folder


def history(folder):
    def no_constant(name):
        raise AssertionError(f"{name} is no JSON")

    text = (folder / "history.jsonl").read_text()
    lines = [json.loads(line, parse_constant=no_constant) for line in text.splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def assert_same(a, b):
    """Nested values are equal, tensors bit for bit."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif hasattr(a, "tobytes"):
        assert a.tobytes() == b.tobytes()
    else:
        assert a == b


def write_csv(path, rows, names):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    return path


class TestTrain:
    def test_digits(self, tmp_path):
        done = subprocess.run(
            [*RUN, "train", "digits"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        folder = tmp_path / "runs" / "digits"
        lines = history(folder)
        assert len(lines) == 40
        assert lines[-1]["val_score"] >= 0.97
        assert lines[0]["lr"] < max(line["lr"] for line in lines) > 100 * lines[-1]["lr"]
        assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
        assert "MLP 64-128-64-10" in done.stdout
        assert "epoch 4/40" in done.stdout
        assert "samples per second" in done.stdout
        assert done.stderr == ""

    def test_a_table_of_rows_and_texts(self, tmp_path, cli):
        random = np.random.default_rng(0)
        rows = [(random.choice(["red", "blue"]), random.integers(0, 9)) for _ in range(200)]
        data = write_csv(
            tmp_path / "d.csv", [(c, n, "yes" if c == "red" and n > 4 else "no") for c, n in rows], "cny"
        )
        code, out, _ = cli(
            "train", data, "--target", "y", "--output", tmp_path / "o", "--hidden", "16", "--epochs", 60
        )
        assert code == 0
        assert "classification of 'y', 160 rows for training, 40 held out" in out
        assert history(tmp_path / "o")[-1]["val_score"] == 1

    def test_numbers(self, tmp_path, cli):
        x = np.random.default_rng(0).normal(size=(300, 2)) * [1, 100] + [5, -3]
        data = write_csv(
            tmp_path / "d.csv", [(*row, row[0] * 3 - row[1] / 50 + 1000) for row in x], ["a", "b", "y"]
        )
        arguments = (
            "--target",
            "y",
            "--output",
            tmp_path / "o",
            "--hidden",
            "0",
            "--epochs",
            150,
            "--lr",
            0.03,
        )
        assert cli("train", data, *arguments, "--weight-decay", 0)[0] == 0
        assert history(tmp_path / "o")[-1]["val_score"] > 0.9999
        new = write_csv(tmp_path / "n.csv", [(5, -3)], ["a", "b"])
        _, out, _ = cli("predict", tmp_path / "o", new)
        assert float(out.splitlines()[1]) == pytest.approx(5 * 3 + 3 / 50 + 1000, abs=0.05)

    def test_task_can_be_said(self, tmp_path, cli):
        data = write_csv(tmp_path / "d.csv", [(i, i % 5) for i in range(50)], "xy")
        arguments = ("train", data, "--target", "y", "--epochs", 1, "--output", tmp_path / "o")
        assert "classification" in cli(*arguments)[1]
        assert "regression" in cli(*arguments, "--task", "regression")[1]

    def test_weights_that_are_no_numbers_are_not_saved(self, tmp_path, cli):
        data = write_csv(tmp_path / "d.csv", [(i, i % 5 / 7) for i in range(50)], "xy")
        arguments = ("train", data, "--target", "y", "--epochs", 2, "--output", tmp_path / "o")
        assert cli(*arguments)[0] == 0
        before = (tmp_path / "o" / "checkpoint.safetensors").read_bytes()
        code, _, errors = cli(*arguments, "--lr", "1e30")
        assert code == 2
        assert "the validation loss is nan at step 1; try a learning rate below 1e+30" in errors
        assert (tmp_path / "o" / "checkpoint.safetensors").read_bytes() == before

    def test_npz_and_notes(self, tmp_path, cli):
        x = np.random.default_rng(0).normal(size=(60, 3))
        y = (x[:, 0] > 0).astype(int)
        x[3, 1] = np.nan
        np.savez(tmp_path / "d.npz", x=x, y=y)
        code, out, _ = cli("train", tmp_path / "d.npz", "--output", tmp_path / "o", "--epochs", 3)
        assert code == 0
        assert "note: column 'x1': 1 missing values take the mean" in out

    @pytest.mark.parametrize(
        ("optimizer", "schedule"),
        [
            *itertools.product(
                ["adamw", "adam", "sgd"], ["cosine", "linear", "step", "exponential", "constant"]
            ),
            *(("adamw", name) for name in ["stable", "inverse_sqrt", "polynomial", "rex", "restarts"]),
        ],
    )
    def test_every_optimizer_learns_with_every_schedule(self, tmp_path, cli, optimizer, schedule):
        options = ("--optimizer", optimizer, "--schedule", schedule, "--epochs", 20, "--batch-size", 16)
        assert cli("train", "iris", "--output", tmp_path, *options)[0] == 0
        assert history(tmp_path)[-1]["val_score"] > 0.85
        rates = [line["lr"] for line in history(tmp_path)[3:]]
        assert (len(set(rates)) == 1) == (schedule == "constant")

    def test_the_schedules_are_those_of_training(self):
        assert list(SCHEDULES) == list(train.SCHEDULES)

    def test_seeds_matter_and_repeat(self, tmp_path, cli):
        for name, seed in ("a", 5), ("b", 5), ("c", 6):
            cli("train", "wine", "--epochs", 2, "--seed", seed, "--output", tmp_path / name)
        assert history(tmp_path / "a") == history(tmp_path / "b") != history(tmp_path / "c")


class TestResume:
    OPTIONS = ("train", "digits", "--hidden", "256,256", "--epochs", "60", "--batch-size", "32")

    def test_after_kill_is_bit_for_bit_the_same(self, tmp_path, cli):
        whole, cut = tmp_path / "whole", tmp_path / "cut"
        assert cli(*self.OPTIONS, "--output", whole)[0] == 0
        process = subprocess.Popen([*RUN, *self.OPTIONS, "--output", str(cut)], stdout=subprocess.DEVNULL)
        wait_for(cut / "checkpoint.safetensors", process)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert load(cut / "checkpoint.safetensors")["place"]["epoch"] < 60
        assert cli("train", "digits", "--output", cut, "--resume")[0] == 0
        assert_same(load(cut / "checkpoint.safetensors"), load(whole / "checkpoint.safetensors"))
        assert history(cut) == history(whole)

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_after_ctrl_c_within_an_epoch_too(self, number, code, tmp_path, cli):
        whole, cut = tmp_path / "whole", tmp_path / "cut"
        assert cli(*self.OPTIONS, "--output", whole)[0] == 0
        process = subprocess.Popen(
            [*RUN, *self.OPTIONS, "--output", str(cut)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for(cut / "checkpoint.safetensors", process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == code
        assert f"go on with: neurenix train digits --output {cut} --resume" in errors
        assert cli("train", "digits", "--output", cut, "--resume")[0] == 0
        assert_same(load(cut / "checkpoint.safetensors"), load(whole / "checkpoint.safetensors"))
        assert history(cut) == history(whole)

    def test_every_step_can_be_the_last(self, tmp_path):
        from neurenix import data, train

        iris = data.read("iris")
        options = train.Options(hidden=(8,), epochs=2, batch_size=32)
        reference = train.Run(options.prepare(iris), options)
        records = train.fit(reference)
        for last in range(1, reference.total_steps):
            run = train.Run(options.prepare(iris), options)
            first = train.fit(run, stop=lambda run=run, last=last: run.step == last)
            run.save(tmp_path / "c")
            state = load(tmp_path / "c")
            run = train.Run.resume(state, iris)
            assert run.step == last
            rest = train.fit(run)
            assert [r.val_loss for r in first + rest] == [r.val_loss for r in records]
            assert [r.train_loss for r in first + rest] == [r.train_loss for r in records]
            assert_same(run.model.state_dict(), reference.model.state_dict())

    def test_more_epochs(self, iris, tmp_path, cli):
        checkpoint = tmp_path / "checkpoint.safetensors"
        checkpoint.write_bytes((iris / "checkpoint.safetensors").read_bytes())
        (tmp_path / "history.jsonl").write_text('{"another": "file"}\n[1]\n')
        assert "is complete: 80 epochs" in cli("train", "iris", "--output", tmp_path, "--resume")[1]
        assert not (tmp_path / "curves.png").exists()  # there is no history to draw
        assert cli("train", "iris", "--output", tmp_path, "--resume", "--epochs", 82)[0] == 0
        assert [line["epoch"] for line in history(tmp_path)] == [81, 82]

    def test_what_does_not_fit_is_an_error(self, iris, cli):
        for arguments, message in (
            (("iris", "--lr", 0.5), "started with lr 0.01, not 0.5"),
            (("iris", "--weight-decay", 0.5), "started with weight_decay its usual value, not 0.5"),
            (("iris", "--target", "x"), "started with the target 'class', not 'x'"),
            (("wine",), "wine has changed"),
        ):
            code, _, errors = cli("train", *arguments, "--output", iris, "--resume")
            assert code == 2
            assert message in errors

    def test_what_a_complete_run_lacks_comes(self, iris, cli):
        curves = (iris / "curves.png").read_bytes()
        (iris / "curves.png").unlink()
        code, out, _ = cli("train", "iris", "--output", iris, "--resume")
        assert code == 0
        assert "nothing left to train: 160 steps are done" in out
        assert "validation" in out
        assert (iris / "curves.png").read_bytes() == curves

    def test_where_there_is_no_checkpoint_yet_it_starts(self, tmp_path, cli):
        code, out, _ = cli("train", "iris", "--epochs", 2, "--output", tmp_path, "--resume")
        assert code == 0
        assert f"{tmp_path} has no checkpoint yet; the run starts" in out
        assert len(history(tmp_path)) == 2

    def test_a_kill_before_the_first_checkpoint_does_not_revive_the_old_model(self, tmp_path, cli):
        assert cli("train", "iris", "--epochs", 2, "--output", tmp_path)[0] == 0
        old = (tmp_path / "checkpoint.safetensors").read_bytes()
        code = (
            "import os, sys; from neurenix import train; from neurenix.cli import main\n"
            "train.Saver.on_epoch = lambda *_: os._exit(9)\n"
            f"main(['train', 'digits', '--hidden', '8', '--epochs', '3', '--seed', '4', '--output', {str(tmp_path)!r}])"
        )
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 9
        assert (tmp_path / "checkpoint.safetensors").read_bytes() == old
        code, out, _ = cli("train", "digits", "--output", tmp_path, "--resume")
        assert code == 0
        assert "has no checkpoint yet and starts anew" in out
        assert "MLP 64-8-10" in out
        state = load(tmp_path / "checkpoint.safetensors")
        assert (state["options"]["seed"], state["place"]["epoch"]) == (4, 3)
        assert [line["epoch"] for line in history(tmp_path)] == [1, 2, 3]
        assert not (tmp_path / "started.json").exists()

    @pytest.mark.parametrize("part", ["place", "optimizer", "options", "target", "model", "encoder"])
    @pytest.mark.parametrize("value", [{}, [], 3, None, "x", {"a": [10**400]}])
    def test_a_foreign_checkpoint_is_one_line(self, iris, tmp_path, cli, part, value):
        state = dict(load(iris / "checkpoint.safetensors"))
        state[part] = value
        save(state, tmp_path / "checkpoint.safetensors")
        code, _, errors = cli("train", "iris", "--output", tmp_path, "--resume", "--epochs", 81)
        assert (code, errors.count("\n")) in [(2, 1), (0, 0)]
        assert code == 2 or part in ("encoder", "options")


class TestFolder:
    def test_the_usual_one_is_not_that_of_another_model(self, tmp_path, cli, monkeypatch):
        monkeypatch.chdir(tmp_path)
        for epochs in (1, 2, 3):
            assert cli("train", "iris", "--epochs", epochs)[0] == 0
        folders = [tmp_path / "runs" / name for name in ("iris", "iris-2", "iris-3")]
        assert [len(history(folder)) for folder in folders] == [1, 2, 3]
        assert "3 epochs" in cli("train", "iris", "--resume")[1]  # the last

    def test_races_have_their_own(self, tmp_path, cli, monkeypatch):
        monkeypatch.chdir(tmp_path)
        for steps in (2, 3):
            assert (
                cli("race", "iris", "--optimizers", "sgd", "--steps", steps, "--seeds", 1, "--jobs", 1)[0]
                == 0
            )
        reports = [tmp_path / "runs" / name / "race.json" for name in ("race-iris", "race-iris-2")]
        assert [json.loads(path.read_text())["settings"]["steps"] for path in reports] == [2, 3]

    def test_one_that_was_said_is_replaced_and_told(self, tmp_path, cli):
        assert "replaced" not in cli("train", "iris", "--epochs", 1, "--output", tmp_path)[1]
        assert (
            f"the model in {tmp_path} will be replaced"
            in cli("train", "iris", "--epochs", 2, "--output", tmp_path)[1]
        )
        assert len(history(tmp_path)) == 2

    def test_a_failed_start_leaves_what_was_there(self, tmp_path, cli):
        assert cli("train", "iris", "--epochs", 2, "--output", tmp_path)[0] == 0
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        for arguments in (("--lr", "1e30", "--optimizer", "sgd"), ("--optimizer", "sophia")):
            assert cli("train", "iris", *arguments, "--output", tmp_path)[0] == 2
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
        assert "is complete: 2 epochs" in cli("train", "iris", "--output", tmp_path, "--resume")[1]

    def test_two_commands_do_not_share_one(self, tmp_path, cli, monkeypatch):
        monkeypatch.chdir(tmp_path)
        process = subprocess.Popen(
            [*RUN, "train", "digits", "--epochs", "100000"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        folder = tmp_path / "runs" / "digits"
        try:
            wait_for(folder / "started.json", process)
            for command in (("train", "--resume"), ("train",), ("race", "--steps", "2")):
                code, _, errors = cli(command[0], "digits", *command[1:], "--output", folder)
                assert code == 2
                assert (
                    f"another command writes to {folder}; wait until it ends, or say another --output"
                    in errors
                )
            assert cli("train", "digits", "--epochs", 1)[0] == 0  # goes to another
            assert len(history(tmp_path / "runs" / "digits-2")) == 1
        finally:
            process.kill()
            process.wait()
        assert cli("train", "digits", "--epochs", 1, "--output", folder)[0] == 0  # it is free again


class TestOutput:
    @pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
    def test_any_encoding(self, tmp_path, encoding):
        data = write_csv(tmp_path / "d.csv", [(i, "中ü"[i % 2]) for i in range(20)], ["x", "λ"])
        environment = {**os.environ, "PYTHONIOENCODING": encoding}

        def run(*arguments):
            done = subprocess.run(
                [*RUN, *arguments], cwd=tmp_path, capture_output=True, env=environment, check=False
            )
            assert (done.returncode, done.stderr) == (0, b"")
            return done.stdout

        shown = run("train", "diabetes", "--epochs", "1", "--output", "r")
        assert b"R" + {"ascii": b"?", "utf-8": b"\xc2\xb2"}.get(encoding, b"\xb2") in shown
        run("train", data, "--target", "λ", "--epochs", "1", "--output", "m")
        # results are UTF-8 as in a file
        assert run("predict", "m", data).decode().splitlines()[0] == "λ,p(ü),p(中)"

    def test_the_callers_streams_stay_as_they_were(self, cli):
        errors = sys.stdout.errors, sys.stderr.errors
        cli("info")
        assert (sys.stdout.errors, sys.stderr.errors) == errors

    def test_no_nan_in_the_history(self, tmp_path, cli):
        data = write_csv(tmp_path / "d.csv", [(1, 1), (2, 2.5), (3, 3)], "xy")
        assert cli("train", data, "--target", "y", "--epochs", 2, "--output", tmp_path / "o")[0] == 0
        assert [line["val_score"] for line in history(tmp_path / "o")] == [None, None]  # one row has no R²
        assert (tmp_path / "o" / "curves.png").exists()

    def test_rare_classes_are_tested_and_accuracy_stands_beside_what_is_trivial(self, tmp_path, cli):
        random = np.random.default_rng(0)
        data = write_csv(
            tmp_path / "d.csv", [(f"{random.normal():.3f}", int(i < 2)) for i in range(200)], "xy"
        )
        out = cli("train", data, "--target", "y", "--output", tmp_path / "o", "--epochs", 5)[1]
        lines = {line.split("  ")[0]: line.split()[-3:] for line in out.splitlines()}
        assert lines["validation"][-2:] == ["97.56%", "50.00%"]  # 40 of 41 are right, all of one class
        assert lines["always '0'"][-2:] == ["97.56%", "50.00%"]

    def test_cells_that_a_spreadsheet_would_run(self, tmp_path, cli):
        names = ["=cmd|' /C calc'!A0", "+1+1", "-x", "@SUM(1)", "-2"]
        rows = [(i % 5, names[i % 5]) for i in range(100)]
        data = write_csv(tmp_path / "d.csv", rows, ["x", "=y"])
        assert cli("train", data, "--target", "=y", "--output", tmp_path, "--epochs", 60)[0] == 0
        out = cli("predict", tmp_path, data)[1]
        cells = [row[0] for row in csv.reader(out.splitlines())]
        assert cells[0] == "'=y"
        assert set(cells[1:]) == {"'=cmd|' /C calc'!A0", "'+1+1", "'-x", "'@SUM(1)", "-2"}

    def test_predictions_are_replaced_as_a_whole(self, iris, tmp_path, cli, monkeypatch):
        (tmp_path / "p.csv").write_text("kept\n")

        def full(*arguments):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        code, _, errors = cli("predict", iris, "iris", "--output", tmp_path / "p.csv")
        assert (code, errors.count("\n")) == (2, 1)
        assert [path.name for path in tmp_path.iterdir()] == ["p.csv"]
        assert (tmp_path / "p.csv").read_text() == "kept\n"

    def test_in_a_thread(self, tmp_path):
        codes = []
        arguments = ["train", "digits", "--epochs", "1", "--output", str(tmp_path)]
        thread = threading.Thread(target=lambda: codes.append(main(arguments)))
        thread.start()
        thread.join()
        assert codes == [0]

    @pytest.mark.parametrize("module", ["neurenix.optim.names", "sklearn", "neurenix.train.loop"])
    def test_ctrl_c_while_it_imports(self, module, tmp_path):
        code = (
            "import sys\n"
            "class Finder:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            f"        if name == {module!r}: raise KeyboardInterrupt\n"
            "sys.meta_path.insert(0, Finder())\n"
            "from neurenix.cli import main\n"
            f"sys.exit(main(['train', 'iris', '--optimizer', 'sgd', '--output', {str(tmp_path)!r}]))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (130, "neurenix: interrupted\n")


def test_steps_instead_of_epochs(tmp_path, cli):
    """The last pass ends early, and a run goes on from there."""
    arguments = ("train", "iris", "--batch-size", 32, "--schedule", "constant", "--warmup", 0)
    out = cli(*arguments, "--steps", 10, "--output", tmp_path / "a")[1]
    assert "10 steps, 4 in an epoch" in out
    assert "epoch 3/3" in out
    assert [(line["epoch"], line["step"]) for line in history(tmp_path / "a")] == [(1, 4), (2, 8), (3, 10)]
    assert "nothing left" in cli("train", "iris", "--output", tmp_path / "a", "--resume")[1]
    assert cli("train", "iris", "--output", tmp_path / "a", "--resume", "--steps", 15)[0] == 0
    assert cli(*arguments, "--steps", 15, "--output", tmp_path / "b")[0] == 0
    assert history(tmp_path / "a") == history(tmp_path / "b")
    a, b = (load(tmp_path / name / "checkpoint.safetensors") for name in "ab")
    assert_same(a["model"], b["model"])
    assert "say --epochs or --steps, not both" in cli(*arguments, "--steps", 3, "--epochs", 3)[2]


def test_data_from_the_standard_input_and_compressed(tmp_path):
    text = "x,y\n" + "".join(f"{i},{i * 0.5 + 0.25}\n" for i in range(20))
    (tmp_path / "d.csv.gz").write_bytes(gzip.compress(text.encode()))
    command = [*RUN, "train", "-", "--target", "y", "--epochs", "2"]
    for source in ("-", "/dev/stdin", "d.csv.gz"):
        command[len(RUN) + 1] = source
        subprocess.run(command, cwd=tmp_path, input=text.encode(), check=True, capture_output=True)
    folders = [tmp_path / "runs" / name for name in ("stdin", "stdin-2", "d")]
    assert history(folders[0]) == history(folders[1]) == history(folders[2])


def test_curves_that_cannot_be_drawn_are_told(tmp_path, cli, monkeypatch):
    monkeypatch.setattr("neurenix.cli.train.draw", lambda *arguments: False)
    code, out, _ = cli("train", "iris", "--epochs", 1, "--output", tmp_path)
    assert code == 0
    assert "curves.png needs matplotlib: pip install" in out


class TestPredict:
    def test_a_set(self, iris, cli):
        code, out, _ = cli("predict", iris, "iris")
        rows = list(csv.reader(out.splitlines()))
        assert code == 0
        assert rows[0] == ["class", "p(setosa)", "p(versicolor)", "p(virginica)"]
        truth = ["setosa"] * 50 + ["versicolor"] * 50 + ["virginica"] * 50
        assert np.mean([row[0] == name for row, name in zip(rows[1:], truth, strict=True)]) > 0.93
        assert all(sum(map(float, row[1:])) == pytest.approx(1, abs=1e-5) for row in rows[1:])
        assert all(row[0] in rows[0][1 + np.argmax([float(p) for p in row[1:]])] for row in rows[1:])

    def test_a_file_with_columns_in_another_order(self, iris, tmp_path, cli):
        names = ["petal width (cm)", "comment", "petal length (cm)", "sepal width (cm)", "sepal length (cm)"]
        new = write_csv(tmp_path / "n.csv", [(0.2, "x", 1.4, 3.5, 5.1), (2.1, "y", 6, 3, 7)], names)
        code, out, _ = cli("predict", iris / "checkpoint.safetensors", new, "--output", tmp_path / "p.csv")
        assert code == 0
        assert "2 predictions" in out
        lines = (tmp_path / "p.csv").read_text().splitlines()
        assert [line.split(",")[0] for line in lines] == ["class", "setosa", "virginica"]

    def test_a_reader_that_goes_away(self, iris):
        command = f"{sys.executable} -m neurenix predict {iris} digits-missing; true"
        assert subprocess.run(command, shell=True, capture_output=True, check=True).stderr.count(b"\n") == 1
        pipe = f"{sys.executable} -m neurenix predict {iris} iris | head -n 1"
        assert subprocess.run(pipe, shell=True, capture_output=True, check=True).stderr == b""


class TestRace:
    OPTIONS = ("race", "iris", "--optimizers", "sgd,adamw,lookahead+lion", "--seeds", 2, "--hidden", 8)

    def test_iris(self, tmp_path, cli):
        code, out, errors = cli(*self.OPTIONS, "--steps", 60, "--jobs", 2, "--output", tmp_path / "race")
        assert (code, errors) == (0, "")
        assert (
            "iris: classification of 'class', 120 rows for training, 30 held out; each run takes 60 steps"
            in out
        )
        assert "adamw: done, 2 seeds" in out
        report = json.loads((tmp_path / "race" / "race.json").read_text())
        best = report["ranking"][0]
        assert f"      {best['command']}" in out
        assert best["command"].endswith("--steps 60 --hidden 8")
        assert best["loss"] < 0.7
        assert f"(validation loss {best['losses'][0]:.4f}, with the seed 0 as here)" in out
        assert {place["name"] for place in report["ranking"]} == {"sgd", "adamw", "lookahead+lion"}
        assert all(name in out for name in ("race.json", "ranking.csv", "curves.png", "report.html"))
        for number, place in enumerate(report["ranking"]):
            again = tmp_path / str(number)
            assert cli(*place["command"].split()[1:], "--output", again)[0] == 0
            assert history(again)[-1]["val_loss"] == place["losses"][0]  # bit for bit what was promised

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--steps", 37, "--batch-size", 32),
            ("--epochs", 3, "--seed", 7, "--weight-decay", 0.1, "--label-smoothing", 0),
            ("--steps", 61, "--schedule", "linear", "--warmup", 0.3, "--val-fraction", 0.4),
            ("--budget", "1s"),
        ],
    )
    def test_the_command_gives_what_was_promised(self, arguments, tmp_path, cli):
        options = ("--optimizer", "adamw", "--lr", 0.01, "--seeds", 2, "--hidden", "8,4")
        assert cli("race", "iris", *options, *arguments, "--output", tmp_path / "race")[0] == 0
        best = json.loads((tmp_path / "race" / "race.json").read_text())["ranking"][0]
        assert best["lr"] == 0.01
        command = best["command"].split()[1:]
        assert cli(*command, "--output", tmp_path / "again")[0] == 0
        assert history(tmp_path / "again")[-1]["val_loss"] == best["losses"][0]

    def test_every_option_of_train_is_honoured_or_refused(self, cli):
        commands = next(
            action for action in make_parser()._actions if action.dest is not None and action.choices
        )
        train_, race_ = (commands.choices[name]._option_string_actions for name in ("train", "race"))
        assert set(train_) <= set(
            race_
        )  # else one could be taken for the beginning of another, as --seed for --seeds
        assert "cannot be resumed" in cli("race", "iris", "--resume")[2]
        assert "not both" in cli("race", "iris", "--epochs", 1, "--steps", 2)[2]

    def test_seeds_begin_where_it_was_said(self, tmp_path, cli):
        for name, seed, seeds in (("a", 0, 2), ("b", 1, 1)):
            options = ("--optimizer", "sgd", "--lr", 0.1, "--steps", 4, "--seed", seed, "--seeds", seeds)
            assert cli("race", "iris", *options, "--output", tmp_path / name)[0] == 0
        a, b = (json.loads((tmp_path / name / "race.json").read_text())["ranking"][0] for name in "ab")
        assert b["losses"] == a["losses"][1:]

    def test_steps_repeat_bit_for_bit(self, tmp_path, cli):
        for name, jobs in ("a", 1), ("b", 2):
            cli(
                *self.OPTIONS, "--steps", 12, "--lrs", "0.1,0.01", "--jobs", jobs, "--output", tmp_path / name
            )
        a, b = (json.loads((tmp_path / name / "race.json").read_text()) for name in "ab")
        curves = [
            {
                (t["name"], t["lr"], t["seed"]): [(n, loss) for n, _, loss in t["curve"]]
                for t in report["trials"]
            }
            for report in (a, b)
        ]
        assert curves[0] == curves[1]
        assert {lr for _, lr, _ in curves[0]} == {0.1, 0.01}

    def test_budget(self, tmp_path, cli):
        start = time.monotonic()
        code, out, _ = cli(*self.OPTIONS, "--budget", "2s", "--output", tmp_path)
        assert code == 0
        assert time.monotonic() - start < 10
        assert "the race takes 2 s" in out
        assert "--schedule constant" in out


@pytest.mark.parametrize("optimizer", ["adamw", "lbfgs", "sam+sgd", "schedule_free"])
def test_lr_find(tmp_path, cli, optimizer):
    code, out, _ = cli("lr-find", "iris", "--optimizer", optimizer, "--output", tmp_path)
    assert code == 0
    assert f"suggestion: --optimizer {optimizer} --lr " in out
    assert (tmp_path / "lr_find.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("seed", range(3))
def test_lr_find_on_targets_with_long_tails(tmp_path, cli, seed):
    """A short training with the suggestion gains more than half of what the best rate of a grid gains."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(600, 3))
    y = np.exp(1.2 * x[:, 0] + random.normal(size=600)) + x[:, 1]
    data = write_csv(tmp_path / "d.csv", [(*a, b) for a, b in zip(x, y, strict=True)], "abcy")
    options = ("--target", "y", "--hidden", 32, "--seed", seed)
    out = cli("lr-find", data, *options, "--output", tmp_path)[1]
    suggestion = float(out.split("--lr ")[1].split()[0])

    def loss(lr):
        assert cli("train", data, *options, "--epochs", 10, "--lr", lr, "--output", tmp_path / "o")[0] == 0
        return history(tmp_path / "o")[-1]["train_loss"]

    losses = {lr: loss(lr) for lr in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)}
    best, least = min(losses.values()), losses[1e-5]
    assert loss(suggestion) < best + 0.5 * (least - best)


def test_info(cli):
    code, out, _ = cli("info")
    assert code == 0
    names = [line.split()[0] for line in out.splitlines()]
    assert names == ["neurenix", "python", "devices", "processor", "features", "threads", "optional"]
    assert "cpu:0" in out


@pytest.mark.parametrize(
    "arguments",
    [["--help"], *([name, "--help"] for name in ("train", "predict", "race", "lr-find")), ["--version"]],
)
def test_help(cli, arguments):
    code, out, _ = cli(*arguments)
    assert code == 0
    assert "neurenix" in out


def test_help_is_quick_and_imports_nothing_heavy():
    code = "import sys; from neurenix.cli.parser import make_parser; make_parser(); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"rich", "matplotlib", "sklearn", "scipy"} & set(loaded)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "required"),
        (("fly",), "invalid choice"),
        (("train",), "DATA"),
        (("train", "iris", "--epochs", "0"), "--epochs: expected a whole number of at least 1, got '0'"),
        (("train", "iris", "--epochs", "2.5"), "whole number"),
        (("train", "iris", "--lr", "nan"), "--lr: expected a number above 0, got 'nan'"),
        (("train", "iris", "--lr", "-1"), "above 0"),
        (("train", "iris", "--hidden", "8,x"), "widths such as 128,64"),
        (("train", "iris", "--hidden", "-3"), "--hidden"),
        (("train", "iris", "--optimizer", "adem"), "there is no optimizer 'adem'; there are adam"),
        (("train", "iris", "--val-fraction", "1"), "between 0 and 1"),
        (("train", "iris", "--device", "quantum"), "quantum"),
        (("train", "iris", "--device", "cuda:7"), "cuda"),
        (("train", "iris", "--task", "regression"), "holds texts"),
        (("train", "iris", "--resume", "--lr", "nan"), "--lr"),
        (("train", "nowhere.csv"), "nowhere.csv is no file"),
        (("train", "."), "is a folder"),
        (("train", "small.csv"), "--target; it has: a, b"),
        (("train", "small.csv", "--target", "c"), "no column 'c'"),
        (("train", "small.csv", "--target", "b", "--output", "small.csv"), "small.csv"),
        (("train", "small.csv", "--target", "b", "--optimizer", "sgd", "--lr", "1e30"), "learning rate"),
        (("train", "iris", "--optimizer", "sophia"), "update_hessian"),
        (("race", "iris", "--optimizers", "sgd,adem"), "there is no optimizer 'adem'"),
        (("race", "iris", "--optimizers", "sgd,sgd"), "sgd is there twice"),
        (("race", "iris", "--budget", "soon"), "--budget: expected a time such as 60s"),
        (("race", "iris", "--budget", "0s"), "60s, 5m or 1h, got '0s'"),
        (("race", "iris", "--steps", "0"), "--steps: expected a whole number of at least 1"),
        (("race", "iris", "--seeds", "x"), "--seeds"),
        (("race", "iris", "--lrs", "0.1,-1"), "--lrs: expected a number above 0, got '-1'"),
        (("race", "iris", "--jobs", "0"), "--jobs"),
        (("race", "iris", "--schedule", "linear"), "--schedule needs --steps"),
        (("race", "nowhere.csv"), "nowhere.csv is no file"),
        (("race", "iris", "--steps", "4", "--output", "small.csv"), "small.csv"),
        (("lr-find", "iris", "--optimizer", "adem"), "there is no optimizer 'adem'"),
        (("lr-find", "iris", "--steps", "1"), "at least 2, got 1"),
        (("lr-find", "iris", "--start", "1", "--end", "0.1"), "0 < start < end"),
        (("predict", "nothing", "iris"), "there is no checkpoint"),
        (("predict", "broken.safetensors", "iris"), "broken.safetensors"),
        (("predict", "other.safetensors", "iris"), "is not a checkpoint of `neurenix train`"),
        (("predict", "small.csv", "iris"), "small.csv"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(cli, tmp_path, monkeypatch, iris, arguments, message):
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "small.csv", [(i, i * 0.7) for i in range(20)], "ab")
    whole = (iris / "checkpoint.safetensors").read_bytes()
    (tmp_path / "broken.safetensors").write_bytes(whole[: len(whole) // 2])
    save({"x": 1}, tmp_path / "other.safetensors")
    code, _, errors = cli(*arguments)
    assert code == 2
    assert errors.startswith("neurenix: error: ")
    assert message in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_flipped_bit_is_noticed(cli, tmp_path, iris, place):
    data = bytearray((iris / "checkpoint.safetensors").read_bytes())
    data[int(place * len(data))] ^= 4
    (tmp_path / "c.safetensors").write_bytes(data)
    code, _, errors = cli("predict", tmp_path / "c.safetensors", "iris")
    assert code == 2
    assert errors.count("\n") == 1


def test_a_checkpoint_that_lacks_a_part(cli, tmp_path, iris):
    state = dict(load(iris / "checkpoint.safetensors"))
    del state["encoder"]
    save(state, tmp_path / "c.safetensors")
    code, _, errors = cli("predict", tmp_path / "c.safetensors", "iris")
    assert code == 2
    assert "is a checkpoint without encoder" in errors


@pytest.mark.parametrize("part", ["options", "target", "model", "encoder"])
@pytest.mark.parametrize(
    "value",
    [[], 3, None, "x", [3], {"a": 1}, {"a": [10**400]}, [{"name": "x", "kind": "number", "mean": 10**400}]],
)
def test_a_checkpoint_of_something_else(cli, tmp_path, iris, part, value):
    state = dict(load(iris / "checkpoint.safetensors"))
    state[part] = {"hidden": value} if part == "options" and isinstance(value, dict) else value
    save(state, tmp_path / "c.safetensors")
    code, _, errors = cli("predict", tmp_path / "c.safetensors", "iris")
    assert code == 2
    assert "c.safetensors holds no model that can be used: " in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize("value", [{"hidden": [10**12]}, {"hidden": ["x"]}, {"hidden": 3}, {"optimizer": 3}])
def test_a_checkpoint_with_odd_options(cli, tmp_path, iris, value):
    state = dict(load(iris / "checkpoint.safetensors"))
    state["options"] = {**state["options"], **value}
    save(state, tmp_path / "c.safetensors")
    code, _, errors = cli("predict", tmp_path / "c.safetensors", "iris")
    assert code == 2
    assert "c.safetensors holds no model that can be used: " in errors


@pytest.mark.parametrize("content", [[1, 2], 3, None, {"format": 3}, {"format": {"a": 1}}])
def test_a_file_with_something_else(cli, tmp_path, content):
    save(content, tmp_path / "c.safetensors")
    code, _, errors = cli("predict", tmp_path / "c.safetensors", "iris")
    assert (code, errors.count("\n")) == (2, 1)
    assert "is not a checkpoint of `neurenix train`" in errors


def test_a_predictor_takes_what_a_table_does(iris):
    predictor = train.Predictor(iris)
    columns = {column["name"]: [1.0, 2.0] for column in predictor.encoder.columns}
    assert predictor(columns)[0] == predictor(Table(columns))[0]
    with pytest.raises(DataError, match="expected a mapping of names to columns or a data frame, got list"):
        predictor([[1.0, 2.0]])


def test_new_rows_that_lack_a_column(cli, tmp_path, iris):
    new = write_csv(tmp_path / "n.csv", [(1, 2)], "ab")
    old = tmp_path / "old.csv"
    old.write_text("kept\n")
    code, _, errors = cli("predict", iris, new, "--output", old)
    assert code == 2
    assert "lacks columns of the training data: 'sepal length (cm)'" in errors
    assert old.read_text() == "kept\n"


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_a_terminal_gets_a_bar_and_a_table(tmp_path):
    main_end, other_end = os.openpty()
    command = [*RUN, "train", "iris", "--epochs", "3", "--output", str(tmp_path)]
    process = subprocess.Popen(
        command, stdout=other_end, stderr=other_end, env={**os.environ, "TERM": "xterm"}
    )
    os.close(other_end)
    shown = b""
    while True:
        try:
            part = os.read(main_end, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(main_end)
    assert process.wait() == 0
    text = shown.decode()
    assert "━" in text
    assert "6/6" in text
    assert "epoch 1/3" not in text
    assert "┃" in text


def wait_for(path, process):
    end = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, "the training ended too early"
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.mark.parametrize("shape", SCHEDULES)
def test_every_schedule_reaches_its_rate(shape) -> None:
    """Also with a warm-up as long as the training, and in the shortest training."""
    for steps, warmup in ((50, 0.999), (50, 0.1), (10, 0.5), (4, 0.0), (1, 0.0), (1, 0.999)):
        rate = train.Options(schedule=shape, warmup=warmup).scheduled(1.0, steps)
        assert max(rate(t) for t in range(steps)) == pytest.approx(1.0), (steps, warmup)
