"""Writes Tests/Fixtures/Tokenizers: small unigram tokenizers of the kinds that are published, and what the `tokenizers` library makes of odd texts.

    pip install sentencepiece tokenizers
    python Tests/Parity/make_tokenizer_fixtures.py [--rule nmt_nfkc] [OUT]

--rule takes one of SentencePiece's whole character maps instead of a small one (too large to keep here; for checks by hand).
"""

import argparse
import base64
import io
import json
import pathlib
import random

import sentencepiece
import tokenizers
from sentencepiece import sentencepiece_model_pb2 as sentencepiece_model

SENTENCES = """The quick brown fox jumps over the lazy dog.
A person in a red coat walks across the room and waves at the camera.
视频中的人在做动作
一个穿红色外套的人走过房间，向镜头挥手。
人物は赤いコートを着て、カメラに向かって手を振ります。
ビデオの中の人が動いている
영상 속 사람이 움직이고 있습니다.
Человек в красном пальто идёт по комнате и машет рукой.
Une personne traverse la pièce et fait un signe à la caméra ; c'est très beau.
Die Person im roten Mantel läuft durchs Zimmer und grüßt fröhlich.
شخص يرتدي معطفا أحمر يمشي في الغرفة
एक व्यक्ति लाल कोट में कमरे से गुजरता है
Người mặc áo khoác đỏ đi ngang qua phòng và vẫy tay.
Ο άνθρωπος με το κόκκινο παλτό χαιρετά.
bright tones, overexposed, static, blurred details, subtitles, worst quality, 1280x720, 30 fps""".split("\n")

TEXTS = SENTENCES + [
    "", " ", "   ", "a", " a", "a ", "  a  b   c  ", "\t tabs\tand\nnewlines\r\n end ", "non\u00a0breaking\u2003space\u3000ideographic",
    "zero\u200bwidth\u200djoiner\ufeff", "ＦＵＬＬｗｉｄｔｈ　ｔｅｘｔ！？", "ﬁne ﬂow oﬀ ﬃ", "①②③ ½ ² ™ ℃", "é e\u0301 ñ n\u0303 Å A\u030a ẛ̣",
    "👩‍👩‍👧‍👦 family 👋🏽 wave 🇩🇪 flag ❤️", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𠮷野家 𐍈", "한글 자모 ᄒ", "हिन्दी क्षत्रिय", "ไทยไม่มีช่องว่าง", "\u202eright to left\u202c",
    "</s>", "before</s>after", "  <unk> x <pad>", "<extra_id_0> fills <extra_id_1>.", "▁already▁marked", "▁ ▁", "<0x41>", "price: $12,345.67 (−5 %)",
    "http://example.org/a?b=c&d=e#f", "don’t “quote” — dash…", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "\u0000\u0001\u001f", "ΑΒΓ ǆ ŀ ﷺ",
    "mixed日本語and한국어или русский", "ÄÖÜ äöü ß ẞ", "x" * 300, "word " * 40,
]

# A few rules of each kind: one to one, one to many, many to one, and removal.
RULES = {"\u3000": " ", "\u00a0": " ", "\u2003": " ", "\t": " ", "\n": " ", "\r": " ", "\u200b": "", "\ufeff": "", "ﬁ": "fi", "ﬂ": "fl", "ﬀ": "ff", "ﬃ": "ffi",
         "½": "1⁄2", "²": "2", "™": "TM", "℃": "°C", "e\u0301": "é", "n\u0303": "ñ", "A\u030a": "Å", "ﷺ": "صلى الله عليه وسلم", "①": "1", "②": "2",
         "！": "!", "？": "?", "，": ","}
RULES |= {chr(0xFF21 + i): chr(65 + i) for i in range(26)} | {chr(0xFF41 + i): chr(97 + i) for i in range(26)}


def train(rule, byte_fallback, folder):
    options = {}
    if rule:
        options["normalization_rule_name"] = rule
    else:
        path = folder / "rules.tsv"
        lines = [" ".join(f"{ord(c):X}" for c in a) + "\t" + " ".join(f"{ord(c):X}" for c in b) for a, b in sorted(RULES.items())]
        path.write_text("\n".join(lines) + "\n")
        options["normalization_rule_tsv"] = str(path)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 4), model_writer=model, vocab_size=800 if byte_fallback else 560, model_type="unigram",
        character_coverage=0.995, byte_fallback=byte_fallback, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, num_threads=1,
        hard_vocab_limit=False, minloglevel=2, **options)
    if not rule:
        path.unlink()
    proto = sentencepiece_model.ModelProto()
    proto.ParseFromString(model.getvalue())
    return proto


def special(content, number, **options):
    token = {"id": number, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return token | options


def tokenizer(proto, kind):
    vocabulary = [[p.piece, p.score] for p in proto.pieces]
    added = [special("<pad>", 0), special("</s>", 1), special("<unk>", 2)]
    charsmap = base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()
    precompiled = {"type": "Precompiled", "precompiled_charsmap": charsmap}
    spaces = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    template = {
        "type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}}
    model = {"type": "Unigram", "unk_id": 2, "vocab": vocabulary, "byte_fallback": kind != "t5"}
    if kind == "umt5":
        normalizer, splitter = {"type": "Sequence", "normalizers": [precompiled, spaces]}, metaspace
    elif kind == "t5":
        normalizer = {"type": "Sequence", "normalizers": [precompiled, {"type": "Strip", "strip_left": False, "strip_right": True}, spaces | {"content": "▁"}]}
        splitter = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace]}
        added += [special("<extra_id_0>", len(vocabulary), lstrip=True), special("<extra_id_1>", len(vocabulary) + 1, rstrip=True)]
    else:
        normalizer = {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Replace", "pattern": {"String": "``"}, "content": "\""}]}
        splitter = metaspace | {"prepend_scheme": "first", "split": False}
        added += [special("<extra_id_0>", len(vocabulary), normalized=True), special("fox", len(vocabulary) + 1, normalized=True, single_word=True)]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": normalizer, "pre_tokenizer": splitter,
        "post_processor": template if kind != "first" else None, "decoder": None, "model": model}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rule")
    parser.add_argument("out", nargs="?", default=pathlib.Path(__file__).parents[1] / "Fixtures/Tokenizers", type=pathlib.Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    random.seed(0)
    letters = sorted(set("".join(SENTENCES))) + list(" \t👋é\u0301①</s>") + ["</s>", "  "]
    texts = TEXTS + ["".join(random.choices(letters, k=random.randrange(1, 40))) for _ in range(150)]
    for kind in ("umt5", "t5", "first"):
        proto = train(arguments.rule, kind != "t5", arguments.out)
        text = json.dumps(tokenizer(proto, kind), ensure_ascii=False)
        path = arguments.out / f"{kind}.json"
        path.write_text(text, encoding="utf-8")
        reference = tokenizers.Tokenizer.from_file(str(path))
        cases = [{"text": t, "ids": reference.encode(t).ids} for t in texts]
        reference.enable_truncation(16)
        cases += [{"text": t, "ids": reference.encode(t).ids, "limit": 16} for t in SENTENCES]
        (arguments.out / f"{kind}.cases.json").write_text(json.dumps({"cases": cases}, ensure_ascii=False), encoding="utf-8")


main()
