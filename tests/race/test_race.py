"""Races: who is compared with whom, on how much, and what is left when something goes wrong."""

import csv
import html.parser
import json
import math
import os
import random
import signal
import subprocess
import sys
import time

import neurenix as nx
import numpy as np
import pytest
from neurenix import optim
from neurenix.race import race
from neurenix.race.candidates import candidates
from neurenix.race.crews import CAN_FORK
from neurenix.race.halving import shares, work

JOBS = [1, pytest.param(2, marks=pytest.mark.skipif(not CAN_FORK, reason="no fork here"))]


def valley(make_optimizer, seed):
    """A quadratic with noise in its gradients: the best learning rate of SGD without noise is 0.5."""
    w = nx.full((4,), 1.0 + seed / 10).requires_grad_()
    optimizer = make_optimizer([w])
    while True:
        optimizer.zero_grad()
        (w * w + 0.01 * w * nx.randn(4)).sum().backward()
        optimizer.step()
        yield (w * w).sum().item()


def sgd(params, lr):
    return optim.SGD(params, lr=lr)


def curves(result):
    return {(t.name, t.lr, t.seed): (t.state, [(p.pieces, p.loss) for p in t.curve]) for t in result.trials}


class Page(html.parser.HTMLParser):
    """Notes what a page refers to, and which of its tags are left open."""

    def __init__(self, text):
        super().__init__()
        self.sources, self.tags, self.open, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [
            value for name, value in attrs if name in ("src", "href", "srcset", "action", "data")
        ]
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.mark.parametrize("jobs", JOBS)
class TestProtocol:
    def test_the_best_rate_of_the_best_optimizer_wins(self, jobs):
        entries = {"plain": sgd, "slow": lambda params, lr: optim.SGD(params, lr=lr / 1000)}
        result = race(valley, entries, lrs=[0.001, 0.03, 0.3, 0.9], seeds=3, steps=20, jobs=jobs)
        assert result.complete
        assert [place.name for place in result.ranking] == ["plain", "slow"]
        assert result.best.lr == 0.3
        assert result.best.loss < 1e-3 < result.ranking[1].loss
        assert len(result.best.losses) == 3
        assert result.best.loss == pytest.approx(np.mean(result.best.losses))
        assert result.best.spread == pytest.approx(np.std(result.best.losses, ddof=1))
        assert result.ranking[1].at_edge == "highest"
        assert not result.ranking[1].tied

    def test_the_worse_half_goes_no_further_and_nobody_twice(self, jobs):
        result = race(valley, {"sgd": sgd}, lrs=[0.001, 0.01, 0.1, 0.3], seeds=2, steps=12, jobs=jobs)
        lengths = {(t.lr, t.seed): len(t.curve) for t in result.trials}
        assert lengths == {(0.001, 0): 4, (0.01, 0): 4, (0.1, 0): 8, (0.3, 0): 12, (0.3, 1): 12}
        assert all([p.pieces for p in t.curve] == list(range(1, len(t.curve) + 1)) for t in result.trials)
        states = {(t.lr, t.seed): t.state for t in result.trials}
        assert states[0.001, 0] == states[0.1, 0] == "dropped"
        assert states[0.3, 0] == states[0.3, 1] == "complete"

    def test_what_diverges_loses_and_stops_nothing(self, jobs):
        def train(make_optimizer, seed):
            for loss in valley(make_optimizer, seed):
                if make_optimizer.lr == 0.4 and make_optimizer.name == "b":
                    raise RuntimeError("a fault of 0.4")
                yield loss if loss < 1e10 else math.inf

        result = race(
            train, {"a": sgd, "b": sgd, "c": sgd}, lrs={"a": [10.0, 100.0], "b": [0.4, 0.01], "c": [0.3]}, seeds=2,
            steps=30, jobs=jobs,
        )  # fmt: skip
        assert [place.name for place in result.ranking] == ["c", "b", "a"]
        assert result.ranking[1].lost == (1, 3)
        assert result.ranking[2].lost == (2, 2)
        assert result.ranking[2].loss == math.inf
        errors = {(t.name, t.lr): (t.state, t.error) for t in result.trials if t.lost}
        assert errors["b", 0.4][0] == "failed"
        assert errors["b", 0.4][1].startswith("RuntimeError: a fault of 0.4 (test_race.py, line ")
        assert errors["a", 10.0][0] == "diverged"
        assert "the loss was inf after" in errors["a", 10.0][1]

    def test_a_rate_that_loses_with_another_seed_is_replaced(self, jobs):
        def train(make_optimizer, seed):
            for loss in valley(make_optimizer, seed):
                yield math.nan if make_optimizer.lr == 0.3 and seed == 1 else loss

        result = race(train, {"sgd": sgd}, lrs=[0.01, 0.1, 0.3], seeds=3, steps=12, jobs=jobs)
        assert result.best.lr == 0.1
        assert len(result.best.losses) == 3
        assert math.isfinite(result.best.loss)

    def test_usual_grids_grow_where_the_best_is_the_outermost(self, jobs):
        def train(make_optimizer, seed):  # the higher the better, up to 1
            while True:
                yield abs(math.log10(make_optimizer.lr))

        result = race(train, ["adamw"], seeds=1, steps=8, jobs=jobs)
        usual = optim.named("adamw").lr
        tried = sorted({t.lr for t in result.trials})
        assert tried[0] == pytest.approx(usual / 10)
        assert tried[-3:] == pytest.approx([usual * 30, usual * 90, usual * 270], rel=0.01)
        assert result.best.lr == pytest.approx(0.81, rel=0.01)
        given = race(train, ["adamw"], lrs=[0.001, 0.01], seeds=1, steps=8, jobs=jobs)
        assert {t.lr for t in given.trials} == {0.001, 0.01}

    def test_functions_that_end_by_themselves(self, jobs):
        def train(make_optimizer, seed):
            for loss, _ in zip(valley(make_optimizer, seed), range(2), strict=False):
                yield loss

        result = race(train, {"sgd": sgd}, lrs=[0.1, 0.3], seeds=2, steps=100, jobs=jobs)
        assert result.complete
        assert result.best.complete
        assert {len(t.curve) for t in result.trials} == {2}

    def test_a_budget_of_time(self, jobs):
        def train(make_optimizer, seed):
            for loss in valley(make_optimizer, seed):
                time.sleep(0.01)
                yield loss

        start = time.monotonic()
        result = race(train, {"a": sgd, "b": sgd}, lrs=[0.01, 0.3], seeds=2, budget=2, jobs=jobs)
        assert time.monotonic() - start < 5
        full = [t for t in result.trials if t.state == "complete"]
        seconds = [t.curve[-1].seconds for t in full]
        assert result.ranking[0].lr == result.ranking[1].lr == 0.3
        if result.complete:  # a machine that is busy may be too slow
            assert len(full) == 4
            assert max(seconds) < 1.5 * min(seconds)

    def test_time_that_is_up_leaves_what_is_known(self, jobs):
        def train(make_optimizer, seed):
            for loss in valley(make_optimizer, seed):
                time.sleep(0.02)
                yield loss

        result = race(train, {"a": sgd, "b": sgd}, lrs=[0.01, 0.3], seeds=2, steps=10**6, budget=1, jobs=jobs)
        assert not result.complete
        assert not result.interrupted
        assert not result.best.complete
        assert result.best.loss < 4
        assert "not at the end" in str(result)


@pytest.mark.skipif(not CAN_FORK, reason="no fork here")
class TestProcesses:
    def test_their_number_does_not_change_a_bit(self):
        def train(make_optimizer, seed):
            for loss in valley(make_optimizer, seed):
                yield loss + random.random() + np.random.random() * 1e-3

        one, three = (race(train, ["sgd", "adamw"], seeds=2, steps=9, jobs=jobs) for jobs in (1, 3))
        assert curves(one) == curves(three)
        assert [(p.name, p.losses) for p in one.ranking] == [(p.name, p.losses) for p in three.ranking]

    def test_one_that_is_killed_loses_its_trial_only(self):
        def train(make_optimizer, seed):
            for number, loss in enumerate(valley(make_optimizer, seed)):
                if make_optimizer.lr == 0.1 and number == 3:
                    os.kill(os.getpid(), signal.SIGKILL)
                yield loss

        result = race(train, {"sgd": sgd}, lrs=[0.01, 0.1, 0.3], seeds=2, steps=12, jobs=2)
        assert result.complete
        assert result.best.lr == 0.3
        (lost,) = (t for t in result.trials if t.lost)
        assert (lost.lr, lost.error) == (0.1, "its process ended with exit code -9")
        assert all([p.pieces for p in t.curve] == list(range(1, len(t.curve) + 1)) for t in result.trials)

    def test_none_is_left(self):
        race(valley, {"sgd": sgd}, lrs=[0.1], seeds=2, steps=3, jobs=2)
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)

    def test_ctrl_c_leaves_a_report(self, tmp_path):
        code = (
            "import signal, sys; from neurenix.cli import main\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # it is ignored in the background
            "sys.exit(main(['race', 'iris', '--optimizers', 'sgd,adamw', '--steps', '100000', '--jobs', '2',"
            " '--output', 'out']))"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        assert "each run takes 100000 steps" in process.stdout.readline()
        time.sleep(3)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        assert errors == "neurenix: interrupted; the report has what was known by then\n"
        report = json.loads((tmp_path / "out" / "race.json").read_text())
        assert not report["complete"]
        assert all(trial["state"] != "complete" for trial in report["trials"])
        assert "stopped before its end" in (tmp_path / "out" / "report.html").read_text()


def test_ctrl_c_in_the_only_process():
    def train(make_optimizer, seed):
        for number, loss in enumerate(valley(make_optimizer, seed)):
            if number == 7:
                raise KeyboardInterrupt
            yield loss

    result = race(train, {"sgd": sgd}, lrs=[0.1, 0.3], seeds=2, steps=10, jobs=1)
    assert result.interrupted
    assert not result.complete
    assert (result.best.lr, result.best.pieces) == (0.3, 7)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_a_terminal_gets_a_live_table(tmp_path):
    main_end, other_end = os.openpty()
    command = [sys.executable, "-m", "neurenix", "race", "iris", "--optimizers", "sgd,lion", "--steps", "40"]
    process = subprocess.Popen(
        [*command, "--output", str(tmp_path)], stdout=other_end, stderr=other_end,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
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
    assert "┏━" in text
    assert "5 rates, on to 25% of a run" in text
    assert "best: optimizer = optim." in text


class TestReport:
    @pytest.fixture(scope="class")
    @staticmethod
    def folder(tmp_path_factory):
        def train(make_optimizer, seed):
            for loss in valley(make_optimizer, seed):
                yield math.nan if make_optimizer.lr == 0.5 else loss

        folder = tmp_path_factory.mktemp("race") / "deep" / "er"
        race(
            train, ["sgd", "lion"], lrs=[0.01, 0.1, 0.5], seeds=2, steps=9, jobs=1, output=folder, title="<b>&",
            command=lambda name, lr, steps: f"neurenix train x --optimizer {name} --lr {lr:g} --steps {steps}",
        )  # fmt: skip
        return folder

    def test_all_files_are_there(self, folder):
        assert {path.name for path in folder.iterdir()} == {
            "race.json",
            "ranking.csv",
            "curves.png",
            "report.html",
        }
        assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")

    def test_the_numbers(self, folder):
        report = json.loads((folder / "race.json").read_text(), parse_constant=lambda name: pytest.fail(name))
        rows = list(csv.DictReader((folder / "ranking.csv").read_text().splitlines()))
        assert report["format"] == "neurenix race 1"
        assert report["complete"]
        assert [place["name"] for place in report["ranking"]] == [row["optimizer"] for row in rows]
        assert report["ranking"][0]["loss"] == float(rows[0]["loss"])
        assert report["settings"]["steps"] == 9
        lost = [trial for trial in report["trials"] if trial["state"] == "diverged"]
        assert {trial["lr"] for trial in lost} == {0.5}
        assert lost[0]["curve"][-1][2] is None
        assert rows[0]["python"] == report["ranking"][0]["python"]

    def test_the_page_needs_nothing_else(self, folder):
        text = (folder / "report.html").read_text()
        page = Page(text)
        assert page.open == []
        assert all(source.startswith("data:image/png;base64,") for source in page.sources)
        assert page.sources
        assert "script" not in page.tags
        assert "link" not in page.tags
        assert "http" not in text
        assert "url(" not in text
        assert "@import" not in text
        words = " ".join(page.words)
        assert "<b>&" in words
        assert "optim.SGD(optim.param_groups(model)" in words
        assert "neurenix train x --optimizer lion --lr" in words
        assert words.count("the loss was nan after 1 pieces") == 2

    def test_without_matplotlib_all_but_the_picture(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        race(valley, {"sgd": sgd}, lrs=[0.1], seeds=1, steps=2, jobs=1, output=tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {"race.json", "ranking.csv", "report.html"}
        assert "img" not in Page((tmp_path / "report.html").read_text()).tags


class TestArguments:
    def test_halvings(self):
        assert shares(8) == shares(5) == [0.25, 0.5, 0.75]
        assert shares(2) == [0.5]
        assert work(1, 3) == 3
        assert work(2, 1) == 1.5

    def test_what_a_training_function_gets(self):
        seen = []

        def train(make_optimizer, seed):
            optimizer = make_optimizer(nx.nn.Linear(2, 2), lambda lr: optim.schedule.linear(lr, 0.0, steps=4))
            decays = [group["weight_decay"] for group in optimizer.param_groups]
            seen.append(
                (make_optimizer.name, make_optimizer.lr, seed, optimizer.param_groups[0]["lr"](2), decays)
            )
            yield 1.0

        race(train, ["lion"], lrs=[0.2], seeds=2, steps=1, jobs=1, weight_decay=0.3)
        assert seen == [("lion", 0.2, seed, pytest.approx(0.1), [0.3, 0.0]) for seed in (0, 1)]

    def test_random_numbers_of_the_caller_stay(self):
        nx.manual_seed(5)
        random.seed(5)
        expected = nx.randn(3).tolist(), random.random()
        nx.manual_seed(5)
        random.seed(5)
        race(valley, {"sgd": sgd}, lrs=[0.1, 0.2], seeds=2, steps=3, jobs=1)
        assert (nx.randn(3).tolist(), random.random()) == expected

    def test_all_optimizers(self):
        assert [entry.name for entry in candidates(["all"])] == list(optim.names.names())

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({}, ValueError, "say how long"),
            ({"steps": 0}, ValueError, "steps must be a whole number of at least 1, got 0"),
            ({"steps": 1.5}, ValueError, "steps"),
            ({"steps": 1, "seeds": True}, ValueError, "seeds"),
            ({"steps": 1, "jobs": -1}, ValueError, "jobs"),
            ({"budget": 0}, ValueError, "budget must be a number of seconds above 0, got 0"),
            ({"budget": math.inf}, ValueError, "budget"),
            ({"steps": 1, "optimizers": "sgd"}, TypeError, "give a list of names"),
            ({"steps": 1, "optimizers": []}, ValueError, "at least one"),
            ({"steps": 1, "optimizers": ["sgd", "SGD"]}, ValueError, "sgd is there twice"),
            ({"steps": 1, "optimizers": {"mine": sgd}}, ValueError, "mine needs a function"),
            ({"steps": 1, "optimizers": {"mine": 3}, "lrs": [1.0]}, ValueError, "mine needs a function"),
            ({"steps": 1, "lrs": []}, ValueError, "lrs of sgd is empty"),
            ({"steps": 1, "lrs": [0.1, math.nan]}, ValueError, "lrs of sgd must be numbers above 0, got nan"),
            ({"steps": 1, "lrs": {"lion": [0.1]}, "optimizers": ["sgd"]}, ValueError, "'lion' is none of"),
        ],
    )
    def test_bad_arguments(self, arguments, error, message):
        with pytest.raises(error, match=message):
            race(valley, **arguments)

    def test_a_function_that_is_none(self):
        with pytest.raises(TypeError, match="train must be a function"):
            race(None, steps=1)

    @pytest.mark.parametrize("jobs", JOBS)
    def test_when_every_trial_fails_the_error_is_the_first(self, jobs, tmp_path):
        def train(make_optimizer, seed):
            yield make_optimizer(nx.nn.Linear(2, 2)).no_such_thing

        told = r"every trial failed; the first, sgd with lr .*no_such_thing' \(test_race.py, line \d+\)"
        with pytest.raises(ValueError, match=told):
            race(train, ["sgd"], steps=1, jobs=jobs, output=tmp_path)
        assert (tmp_path / "race.json").is_file()

    def test_a_function_that_yields_nothing(self):
        with pytest.raises(ValueError, match="yielded nothing"):
            race(lambda make_optimizer, seed: iter(()), ["sgd"], lrs=[0.1], steps=1, jobs=1)


def test_importing_neurenix_does_not_import_races():
    code = (
        "import sys, neurenix; assert not {'neurenix.race', 'neurenix.optim.names'} & set(sys.modules); "
        "neurenix.optim.race, neurenix.optim.named"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
