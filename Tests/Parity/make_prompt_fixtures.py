"""Writes Tests/Fixtures/Tokenizers/prompts.json: prompts and what the published Wan pipelines (diffusers' prompt_clean) make of them.

    pip install ftfy
    python Tests/Parity/make_prompt_fixtures.py
"""

import html
import json
import pathlib
import re

import ftfy

PROMPTS = [
    "视频中的人在做动作", "  a   b\t\nc ", "don’t “quote”", "色调艳丽，过曝，静态！ＡＢＣ１２３", "ﬁne ﬂow oﬀ ﬃ ǆ Ĳ ŉ", "&lt;b&gt; &amp;amp; &quot;x&quot; &eacute;",
    "<i>kept</i> &amp; more", "&#65;&#x42; &nbsp;|", "&unknown; & alone &;", "nul\u0000 bell\u0007 esc\u001b[31mred\u001b[0m", "\ufeffmark \u206a", "e\u0301 n\u0303",
    "line\u2028para\u2029next\u0085end\r\n.", "half ｶﾞ width ￥", "ideographic\u3000space\u00a0nbsp", "\u001c separators \u001f", "👩‍👩‍👧‍👦 stays", "½ ² ™ stay", "",
    "don&apos;t &copy2024 R&D &ampamp; &ltb&gt AT&T &notit; caf&eacute &#65 &num;1 &lpar;x&rpar; &check;", "<b> &apos; &#150; &COPY",
    "an em—dash… and ‚low‘ „quotes‟", "tab\x0bvertical\x0cform",
]


def clean(text):
    text = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
    return re.sub(r"\s+", " ", text).strip()


path = pathlib.Path(__file__).parents[1] / "Fixtures/Tokenizers/prompts.json"
path.write_text(json.dumps([{"text": t, "cleaned": clean(t)} for t in PROMPTS], ensure_ascii=False, indent=1), encoding="utf-8")
