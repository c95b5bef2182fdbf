"""Reading, encoding and splitting of tables."""

import numpy as np
import pytest
from neurenix import data
from neurenix.data import DataError, Encoder, Table, Target, prepare, read, split


@pytest.fixture
def csv(tmp_path):
    def write(text, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


class TestRead:
    def test_numbers_and_texts_are_told_apart(self, csv):
        table = read(csv("age,city\n30,Oslo\n 41.5 ,Lima\n"))
        assert table.columns["age"].tolist() == [30, 41.5]
        assert table.columns["city"].tolist() == ["Oslo", "Lima"]

    @pytest.mark.parametrize("word", ["", "NA", "nan", "null", "?", " n/a "])
    def test_missing_values(self, csv, word):
        table = read(csv(f"a,b\n1,x\n{word},{word}\n"))
        assert np.isnan(table.columns["a"][1])
        assert table.columns["b"].tolist() == ["x", ""]

    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    def test_delimiters_quotes_and_byte_order_marks(self, csv, delimiter):
        text = f'\ufeffa{delimiter}b\n1{delimiter}"x{delimiter}y"\n'
        table = read(csv(text))
        assert list(table.columns) == ["a", "b"]
        assert table.columns["b"].tolist() == [f"x{delimiter}y"]

    def test_delimiters_within_quotes_do_not_count(self, csv):
        assert list(read(csv('a,"b;c;d"\n1,2\n')).columns) == ["a", "b;c;d"]

    def test_a_newline_in_quotes_and_windows_line_ends(self, csv):
        assert read(csv(b'a,b\r\n1,"x\ny"\r\n\r\n2,z\r\n')).columns["b"].tolist() == ["x\ny", "z"]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "is empty"),
            ("a,b\n", "no rows"),
            ("1,2\n3,4\n", "first line must name the columns"),
            ("a,b\n1,2\n1,2,3\n", "line 3: 3 values for 2 columns"),
            ("a,a\n1,2\n", "same name: 'a'"),
            ("a\n1\ninf\n", "row 2 is infinite"),
            (b"a\n\xff\xfe\n", "not UTF-8"),
            ('a\n"1\n', "line"),
        ],
    )
    def test_bad_files(self, csv, text, message):
        with pytest.raises(DataError, match=message):
            read(csv(text))

    def test_unknown_target_and_file(self, csv):
        with pytest.raises(DataError, match=r"no column 'z'; its columns are: a, b"):
            read(csv("a,b\n1,2\n"), target="z")
        with pytest.raises(DataError, match=r"nowhere.csv is no file, and no data set; .* digits, iris"):
            read("nowhere.csv")

    def test_npz(self, tmp_path):
        path = tmp_path / "a.npz"
        np.savez(path, x=np.arange(12.0).reshape(3, 2, 2), y=[0, 1, 0])
        table = read(path)
        assert list(table.columns) == ["x0", "x1", "x2", "x3", "y"]
        assert table.columns["x3"].tolist() == [3, 7, 11]
        assert table.target == "y"
        with pytest.raises(DataError, match="has the target 'y'"):
            read(path, target="x0")

    def test_npz_of_texts_has_classes(self, tmp_path):
        np.savez(tmp_path / "a.npz", x=np.eye(2), y=np.array(["no", "yes"]))
        assert read(tmp_path / "a.npz").columns["y"].tolist() == ["no", "yes"]

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"a": [1]}, "needs an array 'x'"),
            ({"x": [1.0, 2.0]}, r"shape \(rows, features\)"),
            ({"x": np.eye(2), "y": [1, 2, 3]}, "one value for each of the 2 rows"),
            ({"x": np.array([[object()]])}, "cannot be read"),
        ],
    )
    def test_bad_npz(self, tmp_path, arrays, message):
        np.savez(tmp_path / "a.npz", **{name: np.asarray(value) for name, value in arrays.items()})
        with pytest.raises(DataError, match=message):
            read(tmp_path / "a.npz")

    @pytest.mark.parametrize("keep", [0, 10, 150])
    def test_truncated_npz(self, tmp_path, keep):
        path = tmp_path / "a.npz"
        np.savez(path, x=np.eye(5))
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(DataError, match=r"a\.npz"):
            read(path)

    @pytest.mark.parametrize(
        ("name", "rows", "features", "task"),
        [
            ("iris", 150, 4, "classification"),
            ("wine", 178, 13, "classification"),
            ("breast_cancer", 569, 30, "classification"),
            ("digits", 1797, 64, "classification"),
            ("diabetes", 442, 10, "regression"),
        ],
    )
    def test_toy_sets(self, name, rows, features, task):
        table = read(name)
        assert (table.rows, len(table.features)) == (rows, features)
        assert Target.fit(table).task == task

    def test_all_toy_sets_are_tested(self):
        assert set(data.SETS) == {"iris", "wine", "breast_cancer", "digits", "diabetes"}


class TestEncoder:
    def test_standardises_with_what_it_saw(self):
        encoder = Encoder.fit(Table({"a": [1.0, 3.0, 5.0]}))
        assert encoder.transform(Table({"a": [3.0, 3 + 8**0.5 / 3**0.5]})).tolist() == [[0.0], [1.0]]

    def test_missing_numbers_take_the_mean_and_are_told(self):
        encoder = Encoder.fit(Table({"a": [1.0, None, 3.0]}))
        assert encoder.transform(Table({"a": [None]})).tolist() == [[0.0]]
        assert encoder.notes == ["column 'a': 1 missing values take the mean, 2"]

    def test_what_never_varied_says_nothing(self):
        encoder = Encoder.fit(Table({"a": [0.1] * 7}))
        assert encoder.transform(Table({"a": [0.1, 1e9, None]}))[:, 0].tolist() == [0, 0, 0]

    @pytest.mark.parametrize("scale", [1e-310, 1e-30, 1.0, 1e200])
    def test_every_scale_is_standardised(self, scale):
        encoder = Encoder.fit(Table({"a": [scale, 2 * scale, 3 * scale]}))
        encoded = encoder.transform(Table({"a": [scale, 2 * scale, 3 * scale]}))
        assert encoded[:, 0].tolist() == pytest.approx([-(1.5**0.5), 0, 1.5**0.5])

    def test_one_hot(self):
        encoder = Encoder.fit(Table({"a": ["x", "y", "x"]}))
        assert encoder.transform(Table({"a": ["y", "new", ""]})).tolist() == [[0, 1], [0, 0], [0, 0]]

    def test_text_that_looks_like_numbers_later(self):
        encoder = Encoder.fit(Table({"a": ["1", "x"]}))
        assert encoder.transform(Table({"a": ["1", "1"]})).tolist() == [[1, 0], [1, 0]]

    def test_too_many_texts_are_left_out_and_told(self):
        encoder = Encoder.fit(Table({"id": [f"n{i}" for i in range(101)], "a": range(101)}))
        assert [column["name"] for column in encoder.columns] == ["a"]
        assert "101 different texts" in encoder.notes[0]

    def test_errors(self):
        encoder = Encoder.fit(Table({"a": [1, 2]}))
        with pytest.raises(DataError, match="lacks columns of the training data: 'a'; it has: b"):
            encoder.transform(Table({"b": [1]}))
        with pytest.raises(DataError, match="column 'a', row 2: 'x' is not a number"):
            encoder.transform(Table({"a": ["1", "x"]}))
        with pytest.raises(DataError, match="no usable features: column 'a' is left out"):
            Encoder.fit(Table({"a": [None, None]}))


class TestTarget:
    @pytest.mark.parametrize(
        ("values", "task"),
        [
            (["a", "b", "a"], "classification"),
            ([0, 1, 1], "classification"),
            ([0.5, 1.0, 1.5], "regression"),
            (list(range(21)), "regression"),
            ([*range(20), 0], "classification"),
        ],
    )
    def test_finds_the_task(self, values, task):
        assert Target.fit(Table({"y": values}, "y")).task == task

    def test_numbers_keep_their_order_as_classes(self):
        target = Target.fit(Table({"y": [10, 9, 9, 10, 2]}, "y"))
        assert target.classes == ["2", "9", "10"]
        assert target.transform(Table({"y": [2, 10]}, "y")).tolist() == [0, 2]

    @pytest.mark.parametrize(
        ("values", "task", "message"),
        [
            (["a", "a"], None, "only the class 'a'"),
            (
                ["0,5", "0,7"],
                None,
                "each row has a class of its own in the target 'y'; texts such as '0,5' are",
            ),
            ([1, 2], None, "each row has a class of its own in the target 'y'; try --task regression"),
            (["a", "b", "a"], "regression", "holds texts such as 'a'"),
            ([0.5, 0.5], "regression", "nothing to learn"),
            ([1e-30] * 3, "regression", "nothing to learn"),
            ([3, 3], None, "only the class '3'"),
        ],
    )
    def test_errors(self, values, task, message):
        with pytest.raises(DataError, match=message):
            Target.fit(Table({"y": values}, "y"), task)

    @pytest.mark.parametrize("scale", [1e-30, 1e200])
    def test_a_number_of_any_scale(self, scale):
        table = Table({"y": [scale, 2.5 * scale, 4 * scale]}, "y")
        encoded = Target.fit(table, "regression").transform(table)
        assert encoded.tolist() == pytest.approx([-(1.5**0.5), 0, 1.5**0.5])

    def test_no_target_names_the_columns(self):
        with pytest.raises(DataError, match="--target; it has: a, b"):
            Target.fit(Table({"a": [1], "b": [2]}))


class TestSplit:
    def test_same_seed_same_rows_and_nothing_lost(self):
        train, held_out = split(100, 0.2, seed=3)
        assert len(held_out) == 20
        assert sorted([*train, *held_out]) == list(range(100))
        assert (split(100, 0.2, seed=3)[1] == held_out).all()
        assert (split(100, 0.2, seed=4)[1] != held_out).any()

    def test_each_class_has_its_share(self):
        classes = np.repeat([0, 1, 2], [50, 30, 20])
        _, held_out = split(100, 0.2, classes=classes)
        assert np.bincount(classes[held_out]).tolist() == [10, 6, 4]

    def test_a_class_of_one_row_is_trained_on(self):
        classes = np.array([0] * 9 + [1])
        assert 9 in split(10, 0.2, classes=classes)[0]

    @pytest.mark.parametrize(("rows", "classes"), [(2, None), (3, [0, 0, 1]), (5, [0, 0, 1, 1, 2])])
    def test_both_parts_have_rows(self, rows, classes):
        parts = split(rows, 0.01, classes=None if classes is None else np.array(classes))
        assert min(map(len, parts)) >= 1

    @pytest.mark.parametrize(("rows", "fraction"), [(1, 0.2), (10, 0.0), (10, 1.0), (10, float("nan"))])
    def test_errors(self, rows, fraction):
        with pytest.raises(DataError):
            split(rows, fraction)


class TestPrepare:
    def test_nothing_is_learned_from_held_out_rows(self):
        x = np.arange(50.0)
        prepared = prepare(Table({"x": x, "y": x * 2 + 0.5}, "y"), seed=1)
        assert abs(prepared.x.mean()) < 1e-6
        assert prepared.x.std() == pytest.approx(1, abs=1e-6)
        assert prepared.y.mean() == pytest.approx(0, abs=1e-6)
        assert abs(prepared.x_val.mean()) > 1e-3
        assert prepared.x.dtype == prepared.y.dtype == np.float32

    @pytest.mark.parametrize("place", range(20))
    def test_one_text_makes_a_column_of_texts_wherever_it_falls(self, place):
        values = [str(i % 4) for i in range(20)]
        values[place] = "?!"
        table = Table({"x": values, "y": [i / 7 for i in range(20)]}, "y")
        prepared = prepare(table)
        assert prepared.encoder.columns[0]["kind"] == "text"
        assert prepared.notes == [
            "column 'x' is taken as texts: most are numbers, but '?!' is not; leave such values empty to have numbers"
        ]

    def test_classes_that_look_like_numbers_keep_their_names(self):
        classes = ["1.50"] * 10 + ["2.50"] * 10 + ["x"]
        prepared = prepare(Table({"x": list(range(21)), "y": classes}, "y"))
        assert prepared.target.classes == ["1.50", "2.50", "x"]

    def test_texts_that_hardly_repeat_are_told(self):
        table = Table({"d": [f"0,{i}" for i in range(30)], "y": [i / 7 for i in range(30)]}, "y")
        assert prepare(table).notes == [
            "column 'd' is taken as texts: 30 different ones such as '0,0', each a column of its own"
        ]

    def test_rows_without_target_are_left_out_and_told(self):
        prepared = prepare(Table({"x": range(10), "y": ["a", "b", "", "a", "b"] * 2}, "y"))
        assert len(prepared.x) + len(prepared.x_val) == 8
        assert prepared.notes == ["2 rows without a target are left out"]

    def test_fingerprint_sees_every_value(self):
        values = np.arange(20.0)
        before = prepare(Table({"x": values, "y": values % 2}, "y")).fingerprint
        values[7] += 1e-3
        assert prepare(Table({"x": values, "y": values % 2}, "y")).fingerprint != before

    def test_all_targets_missing(self):
        with pytest.raises(DataError, match="all values of the target 'y' are missing"):
            prepare(Table({"x": [1, 2], "y": [None, None]}, "y"))
