"""The page as a whole: its policy, its frame."""

import base64
import hashlib
import re

from forecast.evaluate.page import document


def hashed(content):
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def parts(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    return (
        policy,
        re.search("<style>(.*?)</style>", page, re.DOTALL)[1],
        re.findall("<script>(.*?)</script>", page, re.DOTALL),
    )


def test_policy_names_this_style_and_this_script_alone():
    page = document.document("t", ["<p>x</p>"], scripts=[*document.CHART, *document.TABLE]).decode()
    policy, style, (script,) = parts(page)
    assert policy == (
        f"default-src 'none'; img-src data:; style-src {hashed(style)}; base-uri 'none'; form-action 'none'; "
        f"script-src {hashed(script)}"
    )
    assert page.index("Content-Security-Policy") < page.index("<style>")


def test_page_without_scripts_allows_none():
    page = document.document("t", [], scripts=[]).decode()
    assert "<script" not in page
    assert "script-src" not in page


def test_script_needs_no_evaluation_and_holds_no_markup():
    page = document.document("t", [], scripts=[*document.CHART, *document.PARALLEL, *document.TABLE]).decode()
    _, _, (script,) = parts(page)
    for word in (
        "eval(",
        "new Function",
        "innerHTML",
        "insertAdjacentHTML",
        "document.write",
        "fetch(",
        "import(",
    ):
        assert word not in script
    assert len(page) < 45_000  # hundreds of them stand in a sweep


def test_title_is_a_text():
    assert b"<title>&lt;b&gt;</title>" in document.document("<b>", [], scripts=[])


def test_frame_holds_the_page_as_an_attribute():
    framed = document.framed("<p title=\"x\">'&amp;'</p>")
    assert 'srcdoc="&lt;p title=&quot;x&quot;&gt;&#x27;&amp;amp;&#x27;&lt;/p&gt;"' in framed
    assert 'sandbox="allow-scripts"' in framed
