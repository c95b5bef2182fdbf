"""Reading, encoding and splitting of tables."""

import datetime as dt
import gzip
import importlib
import io
import os
import threading
import time
from decimal import Decimal

import neurenix as nx
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
            ('a\n"1\n', "line 2: a quote opens here and is not closed"),
            ("a,b\n" * 2 + '1,"2\n' + "3,4\n" * 195, "line 3: a quote opens here and is not closed"),
            ('a,b\n"x\ny",1\n2,"3\n4,5\n', "line 4: a quote opens here and is not closed"),
            ('a,b\n1,"2\n3,4\n5,"6"\n', "line 2: a quote opens here and is not closed"),
            (
                'a,b\n1,"2\n3,4\n5","6",7\n',
                "line 2: 4 values for 2 columns; a quote opens in line 2 and ends",
            ),
            ('a,b\n1,"' + "2\n" * 99999 + '"\n', "line 2: a quote opens here"),
            ("a,,b,\n1,2,3,4\n", "several columns without a name"),
            ('{"a": 1, "y": 2}\n{"a": 3, "y": 4}\n', "looks like JSON; write it as CSV"),
            (b"PK\x03\x04" + b"x" * 50, "is an Excel workbook or a zip archive; save its table as CSV"),
            (gzip.compress(b"a,b\n1,2\n")[:-9], "is damaged"),
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
            ({"x": np.zeros((0, 3))}, r"got float64 of shape \(0, 3\)"),
            ({"x": np.array([[1j], [2]])}, "must be numbers"),
            ({"x": np.eye(2), "y": np.array([1j, 2])}, "complex numbers cannot be used"),
        ],
    )
    def test_bad_npz(self, tmp_path, arrays, message):
        np.savez(tmp_path / "a.npz", **{name: np.asarray(value) for name, value in arrays.items()})
        with pytest.raises(DataError, match=message):
            read(tmp_path / "a.npz")

    def test_capital_letters_in_npz(self, tmp_path):
        np.savez(tmp_path / "a.npz", X=np.eye(2), Y=[0, 1])
        assert list(read(tmp_path / "a.npz").columns) == ["x0", "x1", "y"]

    def test_wholly_empty_columns_are_left_out(self, csv):
        table = read(csv("a,,y,,\n1,,2,,\n3,,4\n".replace("3,,4", "3,,4,,")))
        assert {name: column.tolist() for name, column in table.columns.items()} == {"a": [1, 3], "y": [2, 4]}

    def test_empty_cells_behind_the_last_column(self, csv):
        assert read(csv("a,y\n1,2,,\n3,4\n")).columns["y"].tolist() == [2, 4]

    def test_the_line_that_tells_excel_the_separator(self, csv):
        table = read(csv("sep=;\na;b,c\n1;2\n"))
        assert {name: column.tolist() for name, column in table.columns.items()} == {"a": [1], "b,c": [2]}
        with pytest.raises(DataError, match="line 4: 3 values"):
            read(csv("sep=;\na;b\n1;2\n1;2;3\n"))

    def test_gzip_and_utf_16(self, csv):
        text = "a,b\n1,ä\n"
        for written in (gzip.compress(text.encode()), text.encode("utf-16")):
            assert read(csv(written, "data.csv.gz")).columns["b"].tolist() == ["ä"]

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
    def test_pipes(self, csv, tmp_path, monkeypatch):
        os.mkfifo(tmp_path / "pipe")
        writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=("a,b\n1,2\n",))
        writer.start()
        assert read(tmp_path / "pipe").columns["b"].tolist() == [2]
        writer.join()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a,b\n1,3\n")))
        assert read("-").columns["b"].tolist() == [3]

    def test_many_columns_take_no_quadratic_time(self, csv):
        path = csv("".join(",".join(f"{word}{i}" for i in range(40_000)) + "\n" for word in ("c", "", "")))
        start = time.process_time()
        table = read(path, "c0")
        assert len(table.columns) == 40_000
        assert time.process_time() - start < 10  # a second; 37 when each name was counted

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

    @pytest.mark.parametrize(
        ("learned", "cell", "expected"),
        [
            (["01234", "K1A"], "01234", [1, 0]),
            (["1", "x"], 1, [1, 0]),
            (["1", "x"], np.float64(1), [1, 0]),
            (["1", "x"], b"x", [0, 1]),
            (["1.0", "1", "x"], "1.0", [0, 1, 0]),
            (["a", "b"], None, [0, 0]),
            (["a", "None", "b"], "None", [0, 0]),  # missing, here and there
            (["False", "True"], True, [0, 1]),
            (["False", "True"], np.False_, [1, 0]),
            ([False, True], "True", [0, 1]),
            ([2**64 - 1, "x"], 2**64 - 1, [1, 0]),
            ([dt.date(2026, 5, 1), "x"], dt.datetime(2026, 5, 1), [1, 0]),
            ([0.0, 2.0], "2", [1]),
            ([0.0, 2.0], "1.0e0", [0]),
            ([0.0, 2.0], "NA", [0]),
            ([0.0, 2.0], Decimal(2), [1]),
            ([0, 1, 2], True, [(1 - 1) / (2 / 3) ** 0.5]),
            ([0.0, 2.0], False, [-1]),
            (["0,5", "2,5"], "2,5", [1]),
            (["0,5", "2,5"], "1.000,5", [999]),
            (["0,5", "2,5"], 2.5, [1]),
            (["-1.5", "2.5"], "1e-3", [(1e-3 - 0.5) / 2]),
        ],
    )
    @pytest.mark.parametrize("others", [[], ["7"], ["z"], [None], ["0,25"], [0.5], ["1.234"]])
    def test_a_cell_is_read_as_was_learned_whatever_the_others_are(self, learned, cell, expected, others):
        encoder = Encoder.fit(Table({"a": learned}))
        if others == ["z"] and encoder.columns[0]["kind"] == "number":
            with pytest.raises(DataError, match="row 2: 'z' is not a number"):
                encoder.transform(Table({"a": [cell, *others]}))
            return
        if others == ["0,25"] and encoder.columns[0].get("decimal") != "," and len(expected) == 1:
            with pytest.raises(DataError, match="row 2: '0,25' is not a number"):
                encoder.transform(Table({"a": [cell, *others]}))
            return
        rows = encoder.transform(Table({"a": [cell, *others]}))
        assert rows[0].tolist() == pytest.approx(expected, rel=1e-6)

    def test_what_is_no_number_in_the_notation_that_was_learned(self):
        encoder = Encoder.fit(Table({"a": ["0,5", "2,5"]}))
        with pytest.raises(
            DataError, match=r"row 1: '1.5' is not a number with a decimal comma; in the training data"
        ):
            encoder.transform(Table({"a": ["1.5"]}))

    def test_thousands_follow_the_commas_of_other_columns(self):
        table = Table(
            {"a": ["1.234", "5.678"], "b": ["0,5", "1,5"], "c": ["1,234", "5,678"], "d": ["1.5", "2.5"]}
        )
        assert {name: column.tolist() for name, column in table.columns.items()} == {
            "a": [1234, 5678], "b": [0.5, 1.5], "c": [1.234, 5.678], "d": [1.5, 2.5]
        }  # fmt: skip
        alone = Table({"a": ["1.234", "5.678"], "c": ["1,234", "5,678"]})
        assert alone.columns["a"].tolist() == [1.234, 5.678]
        assert alone.columns["c"].tolist() == ["1,234", "5,678"]  # nobody knows

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


class Missing:
    """As pandas.NA, which does not say whether it equals anything."""

    def __eq__(self, other):
        return self

    __ne__ = __eq__
    __hash__ = None

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")


class Series:
    """As a column of a data frame: an array with a dtype of its own, that is converted."""

    dtype = "Int64"

    def __init__(self, *values):
        self.values = values

    def __iter__(self):
        return iter(self.values)

    def __array__(self, dtype=None, copy=None):
        return np.array(
            [np.nan if isinstance(value, Missing) else value for value in self.values], dtype=dtype
        )


class Frame:
    """As a data frame that has names and columns, and is no mapping."""

    def __init__(self, **columns):
        self._columns = columns
        self.columns = list(columns)

    def __getitem__(self, name):
        return self._columns[name]


class TestTable:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            (np.array([True, False]), ["True", "False"]),
            ([True, None], ["True", ""]),
            (Series(True, Missing()), ["True", ""]),
            (Series(1, Missing(), 3), [1, None, 3]),
            (Series(1, 2), [1, 2]),
            (nx.Tensor([1.5, 2.5]), [1.5, 2.5]),
            (nx.Tensor([True, False]), ["True", "False"]),
            ([b"x", np.bytes_(b"y")], ["x", "y"]),
            (np.array([b"1", b"2"]), [1, 2]),
            (np.array([1.5, 2.5], dtype=np.float16), [1.5, 2.5]),
            (np.array(["2026-05-01", "NaT"], dtype="M8[ns]"), ["2026-05-01", ""]),
            (np.array(["2026-05-01T10:30"], dtype="M8[s]"), ["2026-05-01 10:30:00"]),
            ([dt.date(2026, 5, 1), np.datetime64("NaT")], ["2026-05-01", ""]),
            ([Decimal("1.5"), Decimal("NaN")], [1.5, None]),
            ([" a ", "NA", "n/a", "None", "null", "?"], ["a", "", "", "", "", ""]),
            ([1, float("nan")], [1, None]),
            ((value for value in ("1", "2")), [1, 2]),
        ],
    )
    def test_what_cells_can_be(self, values, expected):
        column = Table({"a": values}).columns["a"]
        if column.dtype == object:
            assert column.tolist() == expected
        else:
            assert np.array_equal(column, np.array(expected, dtype=np.float64), equal_nan=True)

    def test_large_whole_numbers_beside_missing_ones(self):
        assert Table({"a": Series(2**60 + 1, Missing())}).texts("a").tolist() == [str(2**60 + 1), ""]

    @pytest.mark.parametrize("kind", [np.array, list, lambda values: list(map(str, values))])
    def test_large_whole_numbers_are_classes_of_their_own(self, kind):
        values = [2**64 - 1, 2**64 - 2, 2**64 - 1, 2**64 - 2]
        table = Table({"y": kind(values)}, "y")
        target = Target.fit(table, "classification")
        assert target.classes == ["18446744073709551614", "18446744073709551615"]
        assert target.transform(table).tolist() == [1, 0, 1, 0]

    def test_data_frames_and_arrays_with_names(self):
        frame = Frame(a=Series(1, 2), b=["x", "y"])
        named = np.array([(1, "x"), (2, "y")], dtype=[("a", "i8"), ("b", "U1")])
        for columns in (frame, named):
            table = Table(columns)
            assert {name: column.tolist() for name, column in table.columns.items()} == {
                "a": [1, 2],
                "b": ["x", "y"],
            }
        assert list(Table({0: [1], 1: [2]}, target=1).features) == ["0"]

    def test_pandas(self):
        try:
            pd = importlib.import_module("pandas")
        except ImportError:
            pytest.skip("pandas is not installed")
        frame = pd.DataFrame(
            {
                "a": pd.array([1, None, 3], dtype="Int64"),
                "b": pd.array([True, None, False], dtype="boolean"),
                "c": pd.to_datetime(["2026-05-01", None, "2026-05-02"]),
                "d": pd.Categorical(["x", None, "y"]),
                "e": np.array([2**64 - 1, 0, 1], dtype=np.uint64),
            }
        )
        table = Table(frame)
        assert np.array_equal(table.columns["a"], [1, np.nan, 3], equal_nan=True)
        assert [table.columns[name].tolist() for name in "bcd"] == [
            ["True", "", "False"],
            ["2026-05-01", "", "2026-05-02"],
            ["x", "", "y"],
        ]
        assert table.texts("e").tolist() == ["18446744073709551615", "0", "1"]

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ([1, 2], "expected a mapping of names to columns or a data frame, got list"),
            ({"a": 3}, "column 'a': expected values for the rows, got int"),
            ({"a": [1], "b": [1, 2]}, "different lengths: 'a' of 1, 'b' of 2"),
            ({1: [1], "1": [2]}, "several columns of the name '1'"),
            ({"a": [b"\xff"]}, "is not UTF-8 text"),
            ({"a": np.array([1j])}, "complex numbers"),
            ({"a": [float("inf")]}, "row 1 is infinite"),
            ({"a": np.eye(2)}, "one value for each row"),
            ({}, "no columns"),
        ],
    )
    def test_errors(self, columns, message):
        with pytest.raises(DataError, match=message):
            Table(columns)


class TestTarget:
    @pytest.mark.parametrize(
        ("odd", "count", "outcome"),
        [
            ("n.d.", 1, "row 8: 'n.d.' in the target 'y' is not a number, as 99 of 100 are; mend it"),
            ("n.d.", 10, "is not a number, as 90 of 100 are; mend these 10 rows"),
            ("n.d.", 11, "classification"),
            ("NA", 30, "regression"),  # missing
            ("", 30, "regression"),
        ],
    )
    @pytest.mark.parametrize("sign", [".", ","])
    def test_a_target_of_numbers_has_no_other_cells(self, odd, count, outcome, sign):
        values = [f"{i // 2}{sign}{i % 2 * 5}" for i in range(100)]
        values[7 : 7 + count] = [odd] * count
        table = Table({"x": range(100), "y": values}, "y")
        if outcome in ("classification", "regression"):
            if outcome == "classification":  # all but the odd ones are texts that occur once
                table.cells["y"] = np.array(
                    [value if value == odd else "1.0" for value in values], dtype=object
                )
            assert prepare(table).target.task == outcome
            return
        with pytest.raises(DataError, match=outcome) as error:
            prepare(table)
        assert "leave such rows out with --missing n.d., or take all cells as classes" in str(error.value)
        found = prepare(table, missing=["n.d."])
        assert (found.target.task, len(found.x) + len(found.x_val)) == ("regression", 100 - count)
        assert found.notes[0] == f"{count} rows without a target ('n.d.') are left out"

    def test_all_cells_can_be_classes(self):
        values = ["1", "2"] * 49 + ["n.d."] * 2
        target = prepare(Table({"x": range(100), "y": values}, "y"), task="classification").target
        assert target.classes == ["1", "2", "n.d."]

    @pytest.mark.parametrize("word", ["None", "NA", "null", "?"])
    def test_classes_may_be_called_as_missing_values_are(self, word):
        table = Table({"x": range(30), "y": [word, "Some", "Marked"] * 10}, "y")
        prepared = prepare(table)
        assert sorted(prepared.target.classes) == sorted([word, "Some", "Marked"])
        assert len(prepared.x) + len(prepared.x_val) == 30
        assert prepared.notes[0].startswith(
            f"the target has the class {word!r} (10 rows); if it means a missing value"
        )
        assert prepare(table, missing=[word]).target.classes == ["Marked", "Some"]

    def test_among_numbers_they_are_missing_and_told(self):
        table = Table({"x": range(40), "y": ["0", "1", "None", "1"] * 10}, "y")
        prepared = prepare(table)
        assert prepared.target.classes == ["0", "1"]
        assert prepared.notes[0] == "10 rows without a target ('None') are left out"
        with pytest.raises(
            DataError, match="row 3: 'None' in the target 'y' is not a number, as 30 of 40 are"
        ):
            prepare(table, missing=[""])
        assert prepare(table, "classification", missing=[""]).target.classes == ["0", "1", "None"]

    def test_commas_that_may_be_decimal_or_thousands(self):
        table = Table({"x": range(10), "y": [f"{i},234" for i in range(1, 11)]}, "y")
        with pytest.raises(
            DataError, match="row 1: '1,234' in the target 'y' has a decimal comma or separates"
        ):
            prepare(table)

    def test_rows_are_read_by_the_classes_that_were_learned(self):
        target = Target.fit(Table({"y": ["1", "2", "x", "1", "2", "x"]}, "y"))
        assert target.transform(Table({"y": [2, 1]}, "y")).tolist() == [1, 0]
        numbers = Target.fit(Table({"y": [1, 2, 1, 2]}, "y"))
        assert numbers.transform(Table({"y": ["2.0", "01"]}, "y")).tolist() == [1, 0]
        with pytest.raises(DataError, match="column 'y', row 2: 'z' is none of the classes '1', '2'"):
            numbers.transform(Table({"y": ["2", "z"]}, "y"))
        with pytest.raises(DataError, match="lacks the target 'y'"):
            numbers.transform(Table({"x": [1]}))

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
            (["c", "b"], None, "each row has a class of its own in the target 'y'; texts such as 'b' are"),
            (["a", "b", "c", "d", "d"], None, "3 of 5 rows have a class of their own in the target 'y'"),
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

    @pytest.mark.parametrize("rare", [2, 3, 5])
    def test_a_rare_class_is_in_both_parts(self, rare):
        classes = np.array([0] * 200 + [1] * rare)
        for rows in split(len(classes), 0.2, classes=classes):
            assert (classes[rows] == 1).any()

    def test_many_classes_take_no_quadratic_time(self):
        classes = np.arange(200_000) // 2
        start = time.process_time()
        assert np.bincount(classes[split(200_000, 0.2, classes=classes)[1]]).tolist() == [1] * 100_000
        assert time.process_time() - start < 10  # not a second; minutes when each class looked at all rows

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
        classes = ["1.50"] * 10 + ["2.50"] * 8 + ["x"] * 3
        prepared = prepare(Table({"x": list(range(21)), "y": classes}, "y"))
        assert prepared.target.classes == ["1.50", "2.50", "x"]

    def test_texts_that_hardly_repeat_are_told(self):
        table = Table({"d": [f"d{i}" for i in range(30)], "y": [i / 7 for i in range(30)]}, "y")
        assert prepare(table).notes == [
            "column 'd' is taken as texts: 30 different ones such as 'd0', each a column of its own"
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

    @pytest.mark.parametrize("name", ["", "Unnamed: 0"])
    @pytest.mark.parametrize("first", [0, 1, 61617])
    def test_row_numbers_without_a_name_are_left_out_and_told(self, name, first):
        columns = {name: range(first, first + 20), "x": range(20), "y": [0, 1] * 10}
        prepared = prepare(Table(columns, "y"))
        assert [column["name"] for column in prepared.encoder.columns] == ["x"]
        assert prepared.notes == [f"column {name!r} is left out: it has no name and numbers the rows"]

    def test_row_numbers_with_a_name_are_told(self):
        prepared = prepare(Table({"id": range(1, 21), "x": [3, 1] * 10, "y": [0, 1] * 10}, "y"))
        assert [column["name"] for column in prepared.encoder.columns] == ["id", "x"]
        assert prepared.notes == [
            "column 'id' numbers the rows; delete it unless their order means something"
        ]

    def test_a_column_without_a_name_that_means_something_stays(self):
        prepared = prepare(Table({"": [3, 1] * 10, "y": [0, 1] * 10}, "y"))
        assert [column["name"] for column in prepared.encoder.columns] == [""]

    @pytest.mark.parametrize("rows", [1, 2])
    def test_too_few_rows(self, rows):
        columns = {"x": [1.0, 2.0, 3.0], "y": [0.5, 1.5, 2.5]}
        with pytest.raises(DataError, match=f"has only {rows} rows? with a target; at least 3 are needed"):
            prepare(Table({name: values[:rows] for name, values in columns.items()}, "y"))
        assert len(prepare(Table(columns, "y")).x) == 2

    def test_the_rows_for_training_alone_may_have_nothing_to_learn(self):
        with pytest.raises(
            DataError, match="the table, rows for training: all values of the target 'y' are 1"
        ):
            for seed in range(9):
                prepare(Table({"x": [1, 2, 3], "y": [1.0, 1.0, 2.5]}, "y"), "regression", seed=seed)

    def test_decimal_commas_are_told(self):
        prepared = prepare(
            Table(
                {"x": [f"{i},5" for i in range(10)], "y": range(10)},
                "y",
            ),
            "regression",
        )
        assert prepared.notes[0] == "numbers with a decimal comma are read in: 'x'"
        assert prepared.encoder.columns[0]["decimal"] == ","

    def test_a_class_of_one_row_is_told(self):
        prepared = prepare(Table({"x": [5, 1, 7] * 7, "y": ["a", "b"] * 10 + ["c"]}, "y"))
        assert prepared.notes == ["classes of one row, which is trained on and never tested: 'c'"]

    def test_all_targets_missing(self):
        with pytest.raises(DataError, match="all values of the target 'y' are missing"):
            prepare(Table({"x": [1, 2], "y": [None, None]}, "y"))
