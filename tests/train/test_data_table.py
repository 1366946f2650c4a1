"""CSV files: headers, missing values, and every way for a file to be wrong."""

import csv
import gzip
import io
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings, strategies as st

from kokuban.errors import (
    DataError,
    FileFormatError,
    KokubanError,
    SettingError,
    StorageError,
    UnknownNameError,
)
from kokuban.train.data import Table, delimited, read_table
from kokuban.train.data.delimited import sniffed
from kokuban.train.data.table import commas_in, read_batches

SHARED = Path(__file__).parents[3] / "shared" / "data"


def write(folder: Path, data: str | bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def read(folder: Path, data: str | bytes, header: bool | None = None) -> Table:
    return read_table(write(folder, data), header)


def test_a_table_with_a_header(tmp_path: Path) -> None:
    table = read(tmp_path, "name, age ,score\nAda, 36,1.5\n Bob ,?,2\n")
    assert table.header
    assert table.columns == ("name", "age", "score")
    assert len(table) == 2
    assert table.frame.columns == ["name", "age", "score"]
    assert table.frame.rows() == [("Ada", 36, 1.5), ("Bob", None, 2)]
    assert table.lines.tolist() == [2, 3]


def test_a_table_without_a_header(tmp_path: Path) -> None:
    table = read(tmp_path, "M,0.5,15\nF,0.4,7")
    assert not table.header
    assert table.columns == ("1", "2", "3")
    assert table.frame.rows() == [("M", 0.5, 15), ("F", 0.4, 7)]
    assert table.lines.tolist() == [1, 2]


HEADERS = {
    "names over numbers": ("a,b\n1,2\n", True),
    "names over mixed": ("a,b\nx,2\ny,3\n", True),
    "names over a gap": ("a,b\n?,x\n3,y\n", True),
    "unnamed index": (",b,c\n0,x,5\n1,y,6\n", True),
    "numbers": ("1,2\n3,4\n", False),
    "unnamed over numbers": (",b\n0,x\n1,y\n", False),
    "one number above": ("x,1\ny,2\n", False),
    "years as names": ("name,2019\nx,1\n", False),
    "all text": ("name,city\nAda,London\n", False),
    "the same name": ("a,a\n1,2\n", False),
    "a gap above numbers": ("M,?\nF,1.2\nM,1.3\n", False),
    "nothing below": ("a,b\nx,\ny,\n", False),
    "one row of numbers": ("1,2\n", False),
    "one number in one row": ("a,2\n", False),
}


@pytest.mark.parametrize("name", HEADERS)
def test_whether_the_first_row_is_a_header(tmp_path: Path, name: str) -> None:
    text, header = HEADERS[name]
    assert read(tmp_path, text).header is header


def test_the_caller_decides(tmp_path: Path) -> None:
    text = read(tmp_path, "name,city\nAda,London\n", header=True)
    assert text.columns == ("name", "city")
    assert text.frame.rows() == [("Ada", "London")]
    years = read(tmp_path, "name,2019\nx,1\n", header=True)
    assert years.columns == ("name", "2019")
    data = read(tmp_path, "a,b\n1,2\n", header=False)
    assert data.frame.rows() == [("a", "b"), ("1", "2")]
    assert len(read(tmp_path, "a,b\n", header=False)) == 1


def test_an_unnamed_column_is_called_by_its_number(tmp_path: Path) -> None:
    assert read(tmp_path, ",b,\n0,1,x\n").columns == ("1", "b", "3")


def test_missing_values(tmp_path: Path) -> None:
    cells = ["", "  ", "?", "NA", "NaN", "nan", "NAN", "null", "NULL", "Null", '""']
    kept = ["Na", "na", "None", "N/A", "-", "0", "??", "nano"]
    table = read(tmp_path, "".join(f"{cell},1\n" for cell in cells + kept))
    assert table.column(1).to_list() == [None] * len(cells) + kept


def test_quotes_spaces_and_line_ends(tmp_path: Path) -> None:
    text = '1, "x, y",2\r\n3,"say ""hi""",4\r\n5,"two\nlines",6'
    table = read(tmp_path, text)
    assert table.column(2).to_list() == ["x, y", 'say "hi"', "two\nlines"]
    assert table.column(-1).to_list() == [2, 4, 6]


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    table = read(tmp_path, '\na,b\n\n1,"two\nlines"\n  \n2,x\n\n')
    assert table.header
    assert table.lines.tolist() == [4, 7]


def test_a_row_of_empty_cells_is_a_row(tmp_path: Path) -> None:
    assert read(tmp_path, "1,2\n,\n3,4\n").frame.rows()[1] == (None, None)


def test_byte_order_mark(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbfa,b\n1,2\n").columns == ("a", "b")


def test_unicode(tmp_path: Path) -> None:
    table = read(tmp_path, "名前,点\n太郎,\u00a05\u00a0\n")
    assert table.columns == ("名前", "点")
    assert table.frame.rows() == [("太郎", 5)]


SEPARATORS = {
    "comma": ("a,b\n1,2\n", ","),
    "semicolon": ("a;b\n1;2\n", ";"),
    "tab": ("a\tb\n1\t2\n", "\t"),
    "bar": ("a|b\n1|2\n", "|"),
    "decimal commas": ("a;b\n1,5;2,5\n", ";"),
    "decimal commas and no header": ("1,5;2,5\n3,5;4,5\n", ";"),
    "a semicolon in one cell": ("a,b\n1,2;3\n4,5\n", ","),
    "semicolons in quotes": ('a,b\n"1;2",3\n"4;5",6\n', ","),
    "commas in text": ("name\tn\nDoe, Jane\t3\n", "\t"),
    "a short row": ("a;b;c\n1;2\n", ";"),
    "one column": ("a\n1\n2\n", ","),
}


@pytest.mark.parametrize("name", SEPARATORS)
def test_the_separator_is_told(tmp_path: Path, name: str) -> None:
    text, separator = SEPARATORS[name]
    assert sniffed(text, "t.csv") == separator
    path = write(tmp_path, text)
    if name == "a short row":
        with pytest.raises(FileFormatError, match="line 2 has 2 cells, line 1 has 3"):
            read_table(path)
    else:
        told, given = read_table(path), read_table(path, separator=separator)
        assert told.frame.rows() == given.frame.rows()


def test_the_separator_can_be_said(tmp_path: Path) -> None:
    path = write(tmp_path, "1;2,3;4\n5;6,7;8\n")
    assert read_table(path).frame.rows() == [(1, "2,3", 4), (5, "6,7", 8)]
    commas = read_table(path, separator=",").frame.rows()
    assert commas == [("1;2", "3;4"), ("5;6", "7;8")]
    for separator in ("", ",,", '"', " ", "\n"):
        with pytest.raises(SettingError, match="it is one character"):
            read_table(path, separator=separator)


def test_gzip_and_utf_16_are_unpacked(tmp_path: Path) -> None:
    text = "名,b\nà,2\n"
    plain = read(tmp_path, text)
    for data in (gzip.compress(text.encode()), text.encode("utf-16")):
        again = read(tmp_path, data)
        assert (again.columns, again.frame.rows()) == (("名", "b"), [("à", 2)])
        assert again.frame.equals(plain.frame)
    with pytest.raises(FileFormatError, match="the gzip file is cut off or damaged"):
        read(tmp_path, gzip.compress(text.encode())[:-9])
    with pytest.raises(FileFormatError, match=r"line 2: .* is not utf-16"):
        read(tmp_path, text.encode("utf-16")[:-1])


def test_an_encoding_can_be_said(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b\ncafé,2\n".encode("cp1252"))
    assert read_table(path, encoding="cp1252").frame.rows() == [("café", 2)]
    with pytest.raises(FileFormatError, match=r"line 2: byte 0xe9 is not ascii"):
        read_table(path, encoding="ascii")
    with pytest.raises(SettingError, match="Unknown encoding 'ansi9'"):
        read_table(path, encoding="ansi9")


def test_more_rows_than_one_batch(tmp_path: Path) -> None:
    count = 150_000
    table = read(tmp_path, "a,b\n" + "".join(f"{i},x\n" for i in range(count)))
    assert table.column("a").cast(int).to_list() == list(range(count))
    assert table.lines[[0, -1]].tolist() == [2, count + 1]
    with pytest.raises(FileFormatError, match=r"line 100001 has 1 cells, line 1 has 2"):
        read(tmp_path, "1,x\n" * 100_000 + "1\n")


WRONG_FILES = {
    "empty": (b"", "the file is empty"),
    "blank": (b"\n  \n\n", "the file is empty"),
    "only a mark": (b"\xef\xbb\xbf", "the file is empty"),
    "short row": (b"1,2,3\n4,5\n", "line 2 has 2 cells, line 1 has 3"),
    "long row": (b"a,b\n\n1,2\n3,4,5\n", "line 4 has 3 cells, line 1 has 2"),
    "long after quotes": (b'a,b\n1,"x\ny"\n3,4,5\n', "line 4 has 3 cells"),
    "open quote": (b'1,2\n3,"4\n5,6\n', "the row that begins on line 2 is not CSV"),
    "stray quote": (b'1,2\n3,"x"y\n', "the row that begins on line 2 is not CSV"),
    "latin-1": ("1,2\n3,café\n".encode("latin-1"), "line 2: byte 0xe9 is not UTF-8"),
    "mixed": (
        "é,2\n".encode() * 3 + b"\xe9,2\n",
        "line 4: byte 0xe9 .*--encoding cp1252",
    ),
    "utf-16 without a mark": ("1,2\n".encode("utf-16-le"), "line 1: this is binary data"),
    "png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "this is a PNG image"),
    "gzip of a picture": (gzip.compress(b"\x89PNG\r\n\x1a\n"), "this is a PNG image"),
    "empty gzip": (gzip.compress(b""), "the file is empty"),
    "zip": (b"PK\x03\x04....", "this is a zip archive or a spreadsheet"),
    "idx": (b"\0\0\x08\x01\0\0\0\1\0", "this is an IDX file"),
    "html": (b"\n<!DOCTYPE html>\n<html>", "this is an HTML page"),
    "zero byte": (b"1,2\n3,\0\n", "line 2: this is binary data"),
    "two alike": (b"a,b,a\n1,2,3\n", "the header names two columns 'a'"),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_wrong_file(tmp_path: Path, name: str) -> None:
    data, message = WRONG_FILES[name]
    path = write(tmp_path, data)
    with pytest.raises(FileFormatError, match=message) as error:
        read_table(path, header=True if name == "two alike" else None)
    assert str(error.value).startswith(f"{path}: ")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no such file"):
        read_table(tmp_path / "absent.csv")
    with pytest.raises(StorageError, match="a folder, not a file"):
        read_table(tmp_path)


def test_a_header_without_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a header, and no row below it"):
        read(tmp_path, "a,b\n", header=True)
    with pytest.raises(DataError, match=r"one row, and no number in it.*header=False"):
        read(tmp_path, "a,b\n")


def test_columns_by_name_and_number(tmp_path: Path) -> None:
    table = read(tmp_path, "age,3,income\n10,20,30\n", header=True)
    assert table.position("age") == table.position(1) == table.position("1") == 0
    assert table.position("3") == 1  # a name goes before a number
    assert table.position(3) == table.position("-1") == table.position(-1) == 2
    assert table.column("income").to_list() == [30]
    for number in (0, 4, -4, "7"):
        with pytest.raises(UnknownNameError, match=f"column {number}: .* 1 to 3, or -1"):
            table.position(number)


def test_unknown_column(tmp_path: Path) -> None:
    named = read(tmp_path, "age,income\n10,20\n")
    with pytest.raises(UnknownNameError, match=r"'incom'. Did you mean 'income'\?"):
        named.column("incom")
    with pytest.raises(UnknownNameError, match=r"'zzz'. Known: age, income\."):
        named.column("zzz")
    with pytest.raises(UnknownNameError, match=r"no header, so .* numbered 1 to 2"):
        read(tmp_path, "1,2\n").column("income")


def test_numbers(tmp_path: Path) -> None:
    table = read(tmp_path, "v,w\n1,x\n-2.5e1,x\n,x\n+.5,x\n")
    np.testing.assert_array_equal(table.numbers(0), [1, -25, np.nan, 0.5])


@pytest.mark.parametrize("cell", ["inf", "-Infinity", "1e999", "x", "1,5", "0x10"])
def test_a_cell_that_is_no_finite_number(tmp_path: Path, cell: str) -> None:
    table = read(tmp_path, f'v,w\n1,x\n"{cell}",x\n', header=True)
    message = f"the row on line 3, column 'v': '{cell}' is not a finite number"
    with pytest.raises(DataError, match=message):
        table.numbers(0)


def test_take(tmp_path: Path) -> None:
    table = read(tmp_path, "v,w\n1,x\n2,y\nz,z\n", header=True)
    some = table.take([2, 0])
    assert some.frame.rows() == [("z", "z"), ("1", "x")]
    assert some.lines.tolist() == [4, 2]
    assert table.take([False, True, False]).frame.rows() == [("2", "y")]
    with pytest.raises(DataError, match="line 4"):  # its place in the file, still
        some.numbers(0)


# str.strip takes U+001C to U+001F for spaces, Unicode and polars do not
LETTERS = st.characters(exclude_characters="\0\x1c\x1d\x1e\x1f", codec="utf-8")
CELLS = st.text(LETTERS, max_size=6)


@settings(deadline=None)
@given(st.integers(1, 4), st.data())
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, width: int, data: st.DataObject
) -> None:
    row = st.lists(CELLS, min_size=width, max_size=width)
    rows = data.draw(st.lists(row, min_size=1, max_size=5))
    path = tmp_path_factory.getbasetemp() / "written.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["0"] * width, *rows])
    table = read_table(path, header=False)
    missing = {"", "?", "NA", "NaN", "nan", "NAN", "null", "NULL", "Null"}
    wanted = [[cell.strip() for cell in row] for row in rows]
    wanted = [["" if cell in missing else cell for cell in row] for row in wanted]
    columns = table.frame.rows()[1:], wanted
    for cells, texts in zip(*(zip(*rows, strict=True) for rows in columns), strict=True):
        if any(isinstance(cell, float) for cell in cells):  # a column of numbers
            assert cells == tuple(float(text) if text else None for text in texts)
        else:
            assert [cell or "" for cell in cells] == list(texts)


@settings(deadline=None)
@given(st.text(',"\n\r a1;\t', max_size=60), st.integers(1, 70))
def test_polars_and_csv_read_the_same(
    tmp_path_factory: pytest.TempPathFactory, text: str, piece: int
) -> None:
    parts = [text[at : at + piece] for at in range(0, len(text), piece)]
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    try:
        wanted = [row for row in reader if len(row) > 1 or "".join(row).strip()]
        wanted = wanted if len({len(row) for row in wanted}) == 1 else None
    except csv.Error:
        wanted = None
    if wanted is not None and len(wanted[0]) == 1:
        return  # there `""` is a row, see test_a_row_of_one_empty_cell
    try:
        frames, lines = zip(*delimited.batches(iter(parts), ",", "t.csv"), strict=True)
    except FileFormatError:
        assert wanted is None
        return
    found = [row for frame in frames for row in frame.rows()]
    assert wanted is not None
    bare = [[cell.strip() for cell in row] for row in wanted]
    assert [[(cell or "").strip() for cell in row] for row in found] == bare
    starts = np.concatenate(lines)
    assert len(starts) == len(found)
    assert (np.diff(starts) > 0).all()


def test_a_row_of_one_empty_cell(tmp_path: Path) -> None:
    table = read(tmp_path, 'a\n1\n\n""\n2\n')
    assert table.frame.rows() == [(1,), (None,), (2,)]
    assert table.lines.tolist() == [2, 4, 5]


BLOCKS = {
    "plain": ("{i},x\n", ["x"]),
    "quotes": ('{i},"a, ""b"""\n', ['a, "b"']),
    "quoted lines": ('{i},"two\nlines"\n', ["two\nlines"]),
    "a space before quotes": ('{i}, "a, b"\n', ["a, b"]),
    "inches": ('{i},5" pipe\n', ['5" pipe']),
    "Windows": ("{i},x\r\n", ["x"]),
    "old Mac": ("{i},x\r", ["x"]),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_many_blocks(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kokuban.train.data.text.PIECE", 1 << 12)
    monkeypatch.setattr(delimited, "_WIDE", 2)
    monkeypatch.setattr(delimited, "_BATCH", 400)
    row, cells = BLOCKS[name]
    count = 3000
    end = "\r\n" if row.endswith("\r\n") else row[-1]
    path = write(tmp_path, f"n,t{end}" + "".join(row.format(i=i) for i in range(count)))
    parts = list(read_batches(path))
    assert len(parts) > 1
    table = read_table(path)
    assert table.columns == ("n", "t")
    assert table.column("n").to_list() == list(range(count))
    assert table.column("t").unique().to_list() == cells
    each = 2 if name == "quoted lines" else 1
    assert table.lines.tolist() == [2 + each * i for i in range(count)]


def test_a_column_of_numbers_until_a_later_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kokuban.train.data.text.PIECE", 1 << 12)
    rows = [f"{i},0{i % 7},{'' if i < 4000 else 'x'}\n" for i in range(5000)]
    path = write(tmp_path, "a,b,c\n" + "".join(rows) + "5000,odd,x\n")
    table = read_table(path)
    assert table.column("a").to_list() == list(range(5001))
    assert table.column("b").to_list() == [*(f"0{i % 7}" for i in range(5000)), "odd"]
    assert table.column("c").null_count() == 4000


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    frame = pl.DataFrame(
        {
            "whole": [1, None, 3],
            "real": [0.5, float("nan"), None],
            "flag": [True, False, None],
            "day": [date(2024, 2, 29), None, date(2025, 1, 1)],
            "word": [" x ", "NA", "y"],
            "kind": pl.Series(["u", "v", "u"], dtype=pl.Categorical),
            "price": pl.Series([Decimal("1.50"), None, Decimal("2.25")]),
            "nothing": pl.Series([None, None, None]),
        }
    )
    frame.write_parquet(path)
    table = read_table(path)
    assert table.header
    assert table.columns == tuple(frame.columns)
    assert table.frame.rows() == [
        (1, 0.5, "true", "2024-02-29", "x", "u", 1.5, None),
        (None, None, "false", None, None, "v", None, None),
        (3, None, None, "2025-01-01", "y", "u", 2.25, None),
    ]
    assert table.place(2, 1) == f"{path}: row 3, column 'real'"


def test_parquet_and_csv_are_one_table(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {"n": rng.normal(size=200_000), "t": rng.choice(["a", "b"], 200_000)}
    )
    frame.write_parquet(tmp_path / "t.parquet")
    frame.write_csv(tmp_path / "t.csv")
    parts = list(read_batches(tmp_path / "t.parquet"))
    assert len(parts) > 1
    assert [int(part.lines[0]) for part in parts[:2]] == [1, 1 + len(parts[0])]
    binary, text = (read_table(tmp_path / f"t.{kind}") for kind in ("parquet", "csv"))
    assert binary.frame.equals(text.frame)


def test_wrong_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame({"a": [1, 2], "b": [[1], [2, 3]]}).write_parquet(path)
    with pytest.raises(DataError, match=r"t\.parquet: column 'b' holds List\(Int64\)"):
        read_table(path)
    pl.DataFrame({"a": pl.Series([], dtype=pl.Int64)}).write_parquet(path)
    with pytest.raises(DataError, match=r"t\.parquet: there is no row in it"):
        read_table(path)
    pl.DataFrame({"a": range(1000)}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(FileFormatError, match=r"t\.parquet: a damaged Parquet file"):
        read_table(path)


COMMAS = {
    "thousands": (["1,234", "12", "1,000,000.5"], "thousands", [1234, 12, 1000000.5]),
    "decimal": (["1,5", "12", "-0,25"], "decimal", [1.5, 12, -0.25]),
    "both": (["1.234,5", "12", "1.000"], "decimal", [1234.5, 12, 1000]),
    "in doubt": (["1,234", "5,678"], "thousands", [1234, 5678]),
    "text": (["1,234", "a, b"], "", None),
    "lists": (["1,2,3", "4,5"], "", None),
    "points": (["1.5", "2"], "", None),
}


@pytest.mark.parametrize("name", COMMAS)
def test_numbers_with_commas(tmp_path: Path, name: str) -> None:
    cells, commas, values = COMMAS[name]
    table = read(tmp_path, "v;w\n" + "".join(f"{cell};x\n" for cell in cells), True)
    assert commas_in(table.column("v")) == commas
    if values is not None:
        assert table.numbers(0, commas).tolist() == values


@settings(deadline=None)
@given(st.binary(max_size=40) | st.text(',"\n\r a1?;', max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(data)
    try:
        table = read_table(path)
    except KokubanError:
        return
    assert table.frame.height == len(table.lines) > 0


def test_polars_is_imported_when_first_needed() -> None:
    script = "import sys, kokuban.train.data; assert 'polars' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


SETS = {
    "abalone": (4177, 9),
    "adult-test": (16281, 15),
    "adult-train": (32561, 15),
    "housing": (506, 14),
    "phoneme": (5404, 6),
    "winequality-white": (4898, 12),
}


@pytest.mark.skipif(not SHARED.exists(), reason="../shared/data is not here")
@pytest.mark.parametrize("name", SETS)
def test_real_tables(name: str) -> None:
    table = read_table(SHARED / f"{name}.csv")
    rows, columns = SETS[name]
    assert not table.header
    assert (len(table), len(table.columns)) == (rows, columns)
    assert table.lines.tolist() == list(range(1, rows + 1))


@pytest.mark.skipif(not SHARED.exists(), reason="../shared/data is not here")
def test_adult_cell_by_cell() -> None:
    table = read_table(SHARED / "adult-train.csv")
    assert table.frame.row(0)[:4] == (39, "State-gov", 77516, "Bachelors")
    assert table.column(-1).value_counts(sort=True).rows() == [
        ("<=50K", 24720),
        (">50K", 7841),
    ]
    missing = dict(zip(table.columns, table.frame.null_count().row(0), strict=True))
    assert {name: n for name, n in missing.items() if n} == {
        "2": 1836,
        "7": 1843,
        "14": 583,
    }
