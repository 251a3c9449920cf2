"""The document: no text can leave its data block, and only the page's own scripts may run."""

import base64
import hashlib
import json
import re

import pytest

from meld_lightning.page import bundle
from meld_lightning.page.document import document, json_block

HOSTILE = "</script><script>alert(1)</script> <!-- & \u2028 \u2029 é"


def test_a_text_of_the_corpus_cannot_end_its_block() -> None:
    block = json_block("corpus", {"text": [HOSTILE]})
    inside = re.fullmatch(r'<script type="application/json" id="data-corpus">(.*)</script>', block)
    assert inside
    assert not set("<>&\u2028\u2029") & set(inside[1])
    assert json.loads(inside[1]) == {"text": [HOSTILE]}


def test_a_figure_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_block("tables", [float("nan")])


def test_the_policy_admits_exactly_the_scripts_of_the_page() -> None:
    page = document(HOSTILE, {"corpus": HOSTILE})
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    ran = re.findall(r'<script(?: type="module")?>(.*?)</script>', page, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in ran]
    assert len(digests) == len(bundle.VENDORED) + 1
    admitted = " ".join(f"'sha256-{one}'" for one in digests)
    assert f"script-src {admitted};" in policy[1]
    assert policy[1].startswith("default-src 'none'")
    assert "connect-src 'none'" in policy[1]


def test_the_vendored_files_are_those_that_were_recorded() -> None:
    folder = bundle.ASSETS / "vendor"
    recorded = json.loads((folder / "vendored.json").read_text())
    assert {one["file"] for one in recorded} == {path.name for path in folder.glob("*.js")}
    assert [one["file"] for one in recorded] == list(bundle.VENDORED)
    for one in recorded:
        content = (folder / one["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == one["sha256"], one["file"]
        assert one["version"] in content[:200].decode()
        assert "Permission to use, copy" in (folder / one["license_file"]).read_text()
        assert b"</script" not in content


def test_every_script_is_part_of_the_page_after_what_it_imports() -> None:
    joined = bundle.modules()
    places = {
        path.stem: joined.index(f"const ${path.stem} = ")
        for path in (bundle.ASSETS / "script").glob("*.js")
    }
    assert places["dom"] < places["overview"] < places["main"]
    assert max(places, key=lambda name: places[name]) == "main"


def test_no_script_makes_markup_of_text() -> None:
    for path in (bundle.ASSETS / "script").glob("*.js"):
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(",
            path.read_text(),
        )
        assert not found, path.name


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('import { one } from "./main.js";', "main -> odd -> main: modules import each other"),
        ('import * as all from "./dom.js";', "`import \\* as all .* cannot be joined"),
        ("export default 1;", "`export default 1;` cannot be joined"),
    ],
)
def test_a_module_that_cannot_be_joined_is_named(
    line: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {"script/main.js": 'import { two } from "./odd.js";\n', "script/odd.js": f"{line}\n"}
    monkeypatch.setattr(bundle, "asset", lambda name: texts.get(name, ""))
    bundle.modules.cache_clear()
    with pytest.raises(ValueError, match=message):
        bundle.modules()
    bundle.modules.cache_clear()
