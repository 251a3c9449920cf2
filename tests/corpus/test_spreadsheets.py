"""Manifests as spreadsheets save them: encodings, separators, empty cells, and times."""

from pathlib import Path

import pytest

from meld_lightning.corpus import Corpus, load_corpus, render_report
from meld_lightning.errors import UserError
from tests.repeats import few

PLAIN = (
    "id,text,emotion,split,start\r\n"
    "a,un été,joie,train,0.5\r\n"
    'b,"“sì”, no",colère,val,12.5\r\n'
    "c,fin…,joie,test,10\r\n"
)


def load(tmp_path: Path, content: str | bytes, name: str = "mine.csv") -> Corpus:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_corpus(path, "manifest")


def refused(tmp_path: Path, content: str | bytes) -> str:
    with pytest.raises(UserError) as error:
        load(tmp_path, content)
    assert "\n" not in str(error.value)
    return str(error.value)


def separated(by: str) -> str:
    return PLAIN.replace('"“sì”, no"', "SAID").replace(",", by).replace("SAID", "“sì”, no")


@pytest.mark.parametrize(
    ("content", "assumed"),
    few(
        [
            (PLAIN.encode("utf-8-sig"), None),
            (PLAIN.encode("cp1252"), "the encoding is Windows-1252"),
            (PLAIN.encode("utf-16"), "the encoding is UTF-16"),
            (PLAIN.encode("utf-16-be"), "the encoding is UTF-16-BE"),
            (b"\xfe\xff" + PLAIN.encode("utf-16-be"), "the encoding is UTF-16"),
            (PLAIN.encode("utf-32"), "the encoding is UTF-32"),
            (separated(";").replace(".5", ",5"), "columns are separated by semicolons"),
            (separated("\t"), "columns are separated by tabs"),
            (separated("|"), "columns are separated by vertical bars"),
            ("sep=;\r\n" + separated(";"), "columns are separated by semicolons"),
            (
                separated("\t").encode("utf-16"),
                "the encoding is UTF-16; columns are separated by tabs",
            ),
            (
                "".join(f"{line},,,\r\n" for line in PLAIN.splitlines()),
                "3 empty columns without a name are left out",
            ),
            (PLAIN.replace("\r\n", "\r\n,,,,\r\n\r\n  \r\n") + ",,,,\r\n", None),
            ("\r\n,,\r\n" + PLAIN, None),
            (PLAIN.replace("\r\n", "\r"), None),
            (PLAIN.replace("0.5\r\n", "0.5,,\r\n"), None),
            (PLAIN.replace('b,"', 'b, "'), "blanks before quotes are left out"),
        ],
        8,
    ),
)
def test_the_same_corpus_however_it_was_saved(
    content: str | bytes, assumed: str | None, tmp_path: Path
) -> None:
    plain, other = load(tmp_path, PLAIN), load(tmp_path, content)
    assert plain.table["text"].tolist() == ["un été", "“sì”, no", "fin…"]
    assert plain.table["start_s"].tolist() == [0.5, 12.5, 10.0]
    assert other.digest == plain.digest
    assert other.report["ignored_columns"] == []
    lines = [f"mine.csv: {assumed}"] if assumed else []
    assert other.report["assumed"] == lines
    assert all(f"- {line}" in render_report(other.report) for line in lines)


def test_a_column_that_is_not_read_may_occur_twice(tmp_path: Path) -> None:
    twice = "\r\n".join(f"{line},note,note" for line in PLAIN.splitlines())
    assert load(tmp_path, twice).digest == load(tmp_path, PLAIN).digest
    assert "column 'text' occurs twice" in refused(tmp_path, PLAIN.replace("start", "text"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id,text,emotion\nа,привет,радость\n".encode("cp1251"), "row 2: byte 0xe0 is not UTF-8"),
        ("id,text,emotion\na,да,joy\n".encode("koi8-r"), "row 2: byte 0xc4 is not UTF-8"),
        ("id,text,emotion\na,caf\u00e9,joy\n".encode("mac-roman"), "byte 0x8e is not UTF-8"),
        ("id,text,emotion\na,\u017c\u00f3\u0142ty,joy\n".encode("cp1250"), "is not UTF-8"),
        ("id,text,emotion\na,\u015fimdi,joy\n".encode("cp1254"), "byte 0xfe is not UTF-8"),
        ("id,text,emotion\na,5 \u20ac,joy\n".encode("iso-8859-15"), "byte 0xa4 is not UTF-8"),
        ("id,text,emotion\na,caf\u00e9,joy\n".encode("cp850"), "byte 0x82 is not UTF-8"),
        ("id,text,emotion\na,été ".encode() + b"\xe9t\xe9,joy\n", "row 2: byte 0xe9"),
        (PLAIN.encode("utf-16")[:-1], "not valid UTF-16"),
        (b"PK\x03\x04 a workbook", "is an Excel or OpenDocument workbook, expected CSV; open it"),
        (b"\xd0\xcf\x11\xe0 a workbook", "is an Excel or OpenDocument workbook"),
        (b"PAR1...", "is a Parquet file; give it a name that ends in .parquet"),
        ("id;text,emotion\na;b,c\n", "no column 'id'; columns found: id;text, emotion"),
        ("id,text,emotion\na,b,c\nd,e\n", "row 3: 2 fields where 3 were expected"),
        ("id,text,emotion,,\na,b,c,,,d\n", "row 2: 6 fields where 5 were expected"),
    ],
)
def test_what_is_unclear_is_refused(content: str | bytes, said: str, tmp_path: Path) -> None:
    assert said in refused(tmp_path, content)


def test_a_column_with_content_and_no_name_is_ignored_by_its_place(tmp_path: Path) -> None:
    rows = PLAIN.splitlines()
    numbered = "\r\n".join([f",{rows[0]}", *(f"{n},{row}" for n, row in enumerate(rows[1:]))])
    corpus = load(tmp_path, numbered)
    assert corpus.report["ignored_columns"] == ["column 1 (no name)"]
    assert corpus.digest == load(tmp_path, PLAIN).digest


def test_quotes_in_a_file_with_tabs_may_be_text(tmp_path: Path) -> None:
    rows = ['a\t"Oh" he said\tjoy\ttrain', 'b\t"Well\tjoy\tval', "c\tno\tjoy\ttest"]
    content = "\n".join(["id\ttext\temotion\tsplit", *rows])
    corpus = load(tmp_path, content)
    assert corpus.table["text"].tolist() == ['"Oh" he said', '"Well', "no"]
    assert corpus.report["assumed"] == [
        "mine.csv: columns are separated by tabs; quotes are part of the texts"
    ]
    assert "row 2: not valid CSV" in refused(tmp_path, content.replace("c\tno", "c"))


def test_turns_may_be_numbered_as_pandas_writes_them(tmp_path: Path) -> None:
    rows = ["a,x,joy,train,d,2.0", "b,x,joy,val,e,", "c,x,joy,test,f,0\u200b"]
    corpus = load(tmp_path, "\n".join(["id,text,emotion,split,dialogue,utterance", *rows]))
    assert corpus.table["utterance_id"].tolist() == [2, 0, 0]


def test_a_cell_may_be_of_any_length(tmp_path: Path) -> None:
    corpus = load(tmp_path, PLAIN.replace("un été", "word " * 40_000))
    assert len(corpus.table["text"].iloc[0]) == 200_000
    assert corpus.report["splits"]["train"]["words_max"] == 40_000


def times(tmp_path: Path, *values: str, separator: str = ";") -> list[float]:
    rows = [
        separator.join(("u" + str(n), "x", "joy", split, f'"{value}"'))
        for n, (value, split) in enumerate(
            zip(values, ("train", "val", "test", *["train"] * len(values)), strict=False)
        )
    ]
    header = separator.join(("id", "text", "emotion", "split", "start"))
    found: list[float] = load(tmp_path, "\n".join([header, *rows])).table["start_s"].tolist()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("separator", few([",", ";"], 1))
def test_times_in_every_form(separator: str, tmp_path: Path) -> None:
    given = ["0:00:10", "00:00:10,500", "1:02:03.25", "12,5", "0,250", "7", "0 days 00:00:02.5"]
    expected = [10, 10.5, 3723.25, 12.5, 0.25, 7, 2.5]
    assert times(tmp_path, *given, separator=separator) == expected
    assert times(tmp_path, "1.5", "1.500", "2e-1", separator=separator) == [1.5, 1.5, 0.2]
    assert times(tmp_path, "1.234,5", "12,5", "0", separator=separator) == [1234.5, 12.5, 0]
    assert times(tmp_path, "1,234.5", "12.5", "0", separator=separator) == [1234.5, 12.5, 0]


def test_a_comma_that_could_mean_two_things_is_refused(tmp_path: Path) -> None:
    assert times(tmp_path, "1,500", "2", "3") == [1.5, 2, 3]  # semicolons: commas are decimal
    assert times(tmp_path, "1,500", "2,5", "3", separator=",") == [1.5, 2.5, 3]
    with pytest.raises(UserError, match="row 2: start '1,500' can be a fraction or thousands"):
        times(tmp_path, "1,500", "2", "3", separator=",")
    with pytest.raises(UserError, match=r"row 3: start '1\.500' can be a fraction or thousands"):
        times(tmp_path, "1,5", "1.500", "3")
    with pytest.raises(UserError, match=r"'0:10' \(minutes and seconds, or hours and minutes\?\)"):
        times(tmp_path, "0:10", "2", "3")
    for wrong in ("-1", "nan", "1_0", "10s", "1,2,3"):
        with pytest.raises(UserError, match=f"'{wrong}' is neither seconds nor a time"):
            times(tmp_path, wrong, "2", "3")
