import Foundation

/// Prompts as the published Wan pipelines clean them before the tokenizer.
///
/// What the reference does by the library ftfy is done here step by step, with one exception: text that was decoded with the wrong
/// character set («mojibake») is left as it is. HTML entities are those of HTML 4 and the commoner ones of HTML 5.
public enum PromptText {
    /// Entities resolved, quotes straight, widths and ligatures ordinary, no control characters, white space single.
    public static func cleaned(_ prompt: String) -> String {
        var text = prompt.contains("<") ? prompt : unescaped(prompt, isLoose: false)
        text = ordinary(text)
        text = unescaped(unescaped(text, isLoose: true), isLoose: true)
        // Python's idea of white space takes in the four ASCII separators.
        let words = text.unicodeScalars.split { $0.properties.isWhitespace || (0x1C...0x1F).contains($0.value) }
        return words.map { String($0) }.joined(separator: " ")
    }

    /// Characters that stand for others in their ordinary form; control characters go.
    private static func ordinary(_ text: String) -> String {
        let withoutEscapes = text.replacing(/\u{1B}\[((?:\d|;)*)([a-zA-Z])/, with: "")
        let wide = withoutEscapes.unicodeScalars.flatMap { scalar -> [Unicode.Scalar] in
            switch scalar.value {
            // Full and half width forms, ligatures and digraphs; bytes of Windows-1252 that were taken for control characters.
            case 0xFF01..<0xFFF0, 0xFB00...0xFB06, 0x0132, 0x0133, 0x0149, 0x01C4...0x01CC, 0x01F1...0x01F3:
                Array(String(scalar).precomposedStringWithCompatibilityMapping.unicodeScalars)
            case 0x80...0x9F: [windows1252[Int(scalar.value) - 0x80].flatMap { Unicode.Scalar($0) } ?? scalar]
            default: [scalar]
            }
        }
        var result = String.UnicodeScalarView()
        for scalar in wide {
            switch scalar.value {
            case 0x02BC, 0x2018...0x201B: result.append("'")
            case 0x201C...0x201F: result.append("\"")
            case 0x2028, 0x2029, 0x0D: result.append("\n")
            case 0x3000: result.append(" ")
            case 0x00...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0x206A...0x206F, 0xFEFF, 0xFFF9...0xFFFC: break
            default: result.append(scalar)
            }
        }
        return String(result).precomposedStringWithCanonicalMapping
    }

    /// 0x80 … 0x9F of Windows-1252; nil: no character.
    private static let windows1252: [UInt32?] = [
        0x20AC, nil, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, nil, 0x017D, nil,
        nil, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, nil, 0x017E, 0x0178,
    ]

    /// `&amp;` → `&`, `&#65;` → `A`.
    ///
    /// - Parameter isLoose: Whether the semicolon may be missing, as browsers allow it after numbers and the oldest names: `&copy2024`.
    static func unescaped(_ text: String, isLoose: Bool) -> String {
        guard text.contains("&") else { return text }
        return text.replacing(/&(?:#([0-9]{1,8})|#[xX]([0-9a-fA-F]{1,7})|([A-Za-z][A-Za-z0-9]{1,31}))(;?)/) { match in
            let whole = String(match.output.0), end = match.output.4
            guard isLoose || !end.isEmpty else { return whole }
            if let name = match.output.3 {
                if !end.isEmpty, let scalar = entities[String(name)] { return String(scalar) }
                guard isLoose, let length = (2...name.count).last(where: { oldEntities.contains(String(name.prefix($0))) }),
                    let scalar = entities[String(name.prefix(length))]
                else { return whole }
                return String(scalar) + name.dropFirst(length) + end
            }
            let number = match.output.1.flatMap { UInt32($0) } ?? match.output.2.flatMap { UInt32($0, radix: 16) } ?? 0
            switch number {
            case 0x01...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0xFDD0...0xFDEF: return ""
            case 0x80...0x9F: return Unicode.Scalar(windows1252[Int(number) - 0x80] ?? number).map { String($0) } ?? ""
            default:
                guard number > 0, let scalar = Unicode.Scalar(number) else { return "\u{FFFD}" }
                return String(scalar)
            }
        }
    }

    /// Name and code point: the entities of HTML 4, and those of HTML 5 for ASCII characters and a few signs.
    private static let entities: [String: Unicode.Scalar] = Dictionary(
        uniqueKeysWithValues: table.split(whereSeparator: \.isWhitespace).compactMap { entry in
            let parts = entry.split(separator: ":")
            guard parts.count == 2, let scalar = UInt32(parts[1], radix: 16).flatMap({ Unicode.Scalar($0) }) else { return nil }
            return (String(parts[0]), scalar)
        })

    /// Those that may stand without a semicolon.
    private static let oldEntities: Set<String> = Set(
        entities.filter { $0.value.value >= 0xA0 && $0.value.value <= 0xFF }.keys + ["amp", "lt", "gt", "quot", "AMP", "LT", "GT", "QUOT"])

    private static let table = """
        AElig:c6 Aacute:c1 Acirc:c2 Agrave:c0 Alpha:391 Aring:c5 Atilde:c3 Auml:c4 Beta:392 Ccedil:c7 Chi:3a7 Dagger:2021
        Delta:394 ETH:d0 Eacute:c9 Ecirc:ca Egrave:c8 Epsilon:395 Eta:397 Euml:cb Gamma:393 Iacute:cd Icirc:ce Igrave:cc
        Iota:399 Iuml:cf Kappa:39a Lambda:39b Mu:39c Ntilde:d1 Nu:39d OElig:152 Oacute:d3 Ocirc:d4 Ograve:d2 Omega:3a9
        Omicron:39f Oslash:d8 Otilde:d5 Ouml:d6 Phi:3a6 Pi:3a0 Prime:2033 Psi:3a8 Rho:3a1 Scaron:160 Sigma:3a3 THORN:de
        Tau:3a4 Theta:398 Uacute:da Ucirc:db Ugrave:d9 Upsilon:3a5 Uuml:dc Xi:39e Yacute:dd Yuml:178 Zeta:396 aacute:e1
        acirc:e2 acute:b4 aelig:e6 agrave:e0 alefsym:2135 alpha:3b1 amp:26 and:2227 ang:2220 aring:e5 asymp:2248 atilde:e3
        auml:e4 bdquo:201e beta:3b2 brvbar:a6 bull:2022 cap:2229 ccedil:e7 cedil:b8 cent:a2 chi:3c7 circ:2c6 clubs:2663
        cong:2245 copy:a9 crarr:21b5 cup:222a curren:a4 dArr:21d3 dagger:2020 darr:2193 deg:b0 delta:3b4 diams:2666
        divide:f7 eacute:e9 ecirc:ea egrave:e8 empty:2205 emsp:2003 ensp:2002 epsilon:3b5 equiv:2261 eta:3b7 eth:f0 euml:eb
        euro:20ac exist:2203 fnof:192 forall:2200 frac12:bd frac14:bc frac34:be frasl:2044 gamma:3b3 ge:2265 gt:3e hArr:21d4
        harr:2194 hearts:2665 hellip:2026 iacute:ed icirc:ee iexcl:a1 igrave:ec image:2111 infin:221e int:222b iota:3b9
        iquest:bf isin:2208 iuml:ef kappa:3ba lArr:21d0 lambda:3bb lang:27e8 laquo:ab larr:2190 lceil:2308 ldquo:201c
        le:2264 lfloor:230a lowast:2217 loz:25ca lrm:200e lsaquo:2039 lsquo:2018 lt:3c macr:af mdash:2014 micro:b5 middot:b7
        minus:2212 mu:3bc nabla:2207 nbsp:a0 ndash:2013 ne:2260 ni:220b not:ac notin:2209 nsub:2284 ntilde:f1 nu:3bd
        oacute:f3 ocirc:f4 oelig:153 ograve:f2 oline:203e omega:3c9 omicron:3bf oplus:2295 or:2228 ordf:aa ordm:ba oslash:f8
        otilde:f5 otimes:2297 ouml:f6 para:b6 part:2202 permil:2030 perp:22a5 phi:3c6 pi:3c0 piv:3d6 plusmn:b1 pound:a3
        prime:2032 prod:220f prop:221d psi:3c8 quot:22 rArr:21d2 radic:221a rang:27e9 raquo:bb rarr:2192 rceil:2309
        rdquo:201d real:211c reg:ae rfloor:230b rho:3c1 rlm:200f rsaquo:203a rsquo:2019 sbquo:201a scaron:161 sdot:22c5
        sect:a7 shy:ad sigma:3c3 sigmaf:3c2 sim:223c spades:2660 sub:2282 sube:2286 sum:2211 sup:2283 sup1:b9 sup2:b2
        sup3:b3 supe:2287 szlig:df tau:3c4 there4:2234 theta:3b8 thetasym:3d1 thinsp:2009 thorn:fe tilde:2dc times:d7
        trade:2122 uArr:21d1 uacute:fa uarr:2191 ucirc:fb ugrave:f9 uml:a8 upsih:3d2 upsilon:3c5 uuml:fc weierp:2118 xi:3be
        yacute:fd yen:a5 yuml:ff zeta:3b6 zwj:200d zwnj:200c
        AMP:26 COPY:a9 GT:3e Hat:5e LT:3c NewLine:a QUOT:22 REG:ae Tab:9 apos:27 ast:2a bsol:5c check:2713 colon:3a
        comma:2c commat:40 cross:2717 dash:2010 dollar:24 equals:3d excl:21 female:2640 flat:266d grave:60
        hyphen:2010 lbrace:7b lbrack:5b lcub:7b lowbar:5f lpar:28 lsqb:5b male:2642 natural:266e num:23 percnt:25
        period:2e phone:260e plus:2b quest:3f rbrace:7d rbrack:5d rcub:7d rpar:29 rsqb:5d semi:3b sharp:266f sol:2f
        star:2606 starf:2605 sung:266a verbar:7c vert:7c
        """
}
