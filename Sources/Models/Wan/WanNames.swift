import Tensors

extension WeightNames {
    /// The names of Wan's original checkpoints for ``WanTransformer``, which has those of diffusers.
    static let wanTransformer = WeightNames(
        modules: [
            "patch_embedding": "patch_embedding", "text_embedding.0": "condition_embedder.text_embedder.linear_1",
            "text_embedding.2": "condition_embedder.text_embedder.linear_2", "time_embedding.0": "condition_embedder.time_embedder.linear_1",
            "time_embedding.2": "condition_embedder.time_embedder.linear_2", "time_projection.1": "condition_embedder.time_proj",
            "head.head": "proj_out", "head.modulation": "scale_shift_table", "img_emb.proj.0": "condition_embedder.image_embedder.norm1",
            "img_emb.proj.1": "condition_embedder.image_embedder.ff.net.0.proj", "img_emb.proj.3": "condition_embedder.image_embedder.ff.net.2",
            "img_emb.proj.4": "condition_embedder.image_embedder.norm2", "img_emb.emb_pos": "condition_embedder.image_embedder.pos_embed",
            "face_encoder.conv1_local.conv": "face_encoder.conv1_local", "face_encoder.conv2.conv": "face_encoder.conv2",
            "face_encoder.conv3.conv": "face_encoder.conv3", "motion_encoder.dec.direction.weight": "motion_encoder.motion_synthesis_weight",
            "motion_encoder.enc.net_app.convs.0.0": "motion_encoder.conv_in", "motion_encoder.enc.net_app.convs.0.1": "motion_encoder.conv_in.act_fn",
        ],
        numbered: [
            "blocks": attention("self_attn", "attn1").merging(attention("cross_attn", "attn2")) { a, _ in a }.merging([
                "ffn.0": "ffn.net.0.proj", "ffn.2": "ffn.net.2", "norm3": "norm2", "modulation": "scale_shift_table",
            ]) { a, _ in a }
        ], special: wanAnimate, original: wanAnimateOriginal)

    /// The names of the original checkpoint for ``WanAnimate2Transformer``: each block is wrapped once more there.
    static let wanAnimate2 = WeightNames(
        modules: [:], numbered: ["blocks": attention("self_attn", "self_attn").merging(attention("cross_attn", "cross_attn")) { a, _ in a }],
        special: { _ in nil }, original: { _ in nil }, unwraps: true)

    private static func attention(_ original: String, _ name: String) -> [String: String] {
        let parts = [
            "q": "to_q", "k": "to_k", "v": "to_v", "o": "to_out.0", "k_img": "add_k_proj", "v_img": "add_v_proj", "norm_k_img": "norm_added_k",
            "norm_q": "norm_q", "norm_k": "norm_k",
        ]
        return Dictionary(uniqueKeysWithValues: parts.map { ("\(original).\($0.key)", "\(name).\($0.value)") })
    }

    /// Tables both ways.
    ///
    /// - Parameters:
    ///   - modules: Original names (of modules or single parameters) → the network's.
    ///   - numbered: The same inside the items of a list, by the list's name.
    ///   - special: What no table says, original → the network's.
    ///   - original: The same the other way.
    ///   - unwraps: Whether `blocks.N.block.…` of the original is `blocks.N.…`.
    private init(
        modules: [String: String], numbered: [String: [String: String]], special: @escaping @Sendable (String) -> [String]?,
        original: @escaping @Sendable (String) -> String?, unwraps: Bool = false
    ) {
        @Sendable func lookUp(_ name: String, _ modules: [String: String], _ numbered: [String: [String: String]]) -> String? {
            if let whole = modules[name] { return whole }
            let parts = name.split(separator: ".")
            // The longest known beginning, then the same inside a list.
            for length in stride(from: parts.count - 1, through: 1, by: -1) {
                if let module = modules[parts[..<length].joined(separator: ".")] {
                    return module + "." + parts[length...].joined(separator: ".")
                }
            }
            guard parts.count > 2, let inner = numbered[String(parts[0])] else { return nil }
            let rest = lookUp(parts[2...].joined(separator: "."), inner, [:])
            return rest.map { "\(parts[0]).\(parts[1]).\($0)" }
        }
        func inverted(_ table: [String: String]) -> [String: String] { Dictionary(table.map { ($0.value, $0.key) }) { a, _ in a } }
        let back = (inverted(modules), numbered.mapValues(inverted))
        @Sendable func unwrapped(_ name: String) -> String {
            let parts = name.split(separator: ".", maxSplits: 3)
            return unwraps && parts.count == 4 && parts[0] == "blocks" && parts[2] == "block" ? "blocks.\(parts[1]).\(parts[3])" : name
        }
        self.init(
            names: { stored in
                let name = unwrapped(stored)
                return special(name) ?? [lookUp(name, modules, numbered) ?? name]
            },
            aliases: { name in [original(name), lookUp(name, back.0, back.1)].compactMap { $0 } })
    }

    /// Face adapters, whose keys and values are one matrix, and the motion encoder, whose blocks are counted from 1.
    @Sendable private static func wanAnimate(_ name: String) -> [String]? {
        let parts = name.split(separator: ".").map(String.init)
        if parts.count >= 4, parts[0] == "face_adapter", parts[1] == "fuser_blocks" {
            let leaf = parts.dropFirst(4).joined(separator: ".")
            let module = "face_adapter.\(parts[2])"
            func named(_ part: String) -> String { leaf.isEmpty ? "\(module).\(part)" : "\(module).\(part).\(leaf)" }
            switch parts[3] {
            case "linear1_kv": return [named("to_k"), named("to_v")]
            case "linear1_q": return [named("to_q")]
            case "linear2": return [named("to_out")]
            case "q_norm": return [named("norm_q")]
            case "k_norm": return [named("norm_k")]
            default: return nil
            }
        }
        if parts.count == 5, parts.starts(with: ["motion_encoder", "enc", "fc"]) { return ["motion_encoder.motion_network.\(parts[3]).\(parts[4])"] }
        guard parts.count >= 6, parts.starts(with: ["motion_encoder", "enc", "net_app", "convs"]), let number = Int(parts[4]), number > 0 else { return nil }
        let block = "motion_encoder.res_blocks.\(number - 1)"
        switch parts[5...].joined(separator: ".") {
        case "weight": return ["motion_encoder.conv_out.weight"]
        case "conv1.0.weight": return ["\(block).conv1.weight"]
        case "conv1.1.bias": return ["\(block).conv1.act_fn.bias"]
        case "conv2.1.weight": return ["\(block).conv2.weight"]
        case "conv2.2.bias": return ["\(block).conv2.act_fn.bias"]
        case "skip.1.weight": return ["\(block).conv_skip.weight"]
        default: return nil
        }
    }

    /// The layers of the face adapters that adapters may change.
    @Sendable private static func wanAnimateOriginal(_ name: String) -> String? {
        let parts = name.split(separator: ".").map(String.init)
        guard parts.count == 4, parts[0] == "face_adapter", let part = ["to_q": "linear1_q", "to_k": "linear1_kv", "to_v": "linear1_kv", "to_out": "linear2"][parts[2]] else { return nil }
        return "face_adapter.fuser_blocks.\(parts[1]).\(part).\(parts[3])"
    }
}
