extension YAMLNode {
    /// This value with another laid over it: mappings merge key by key, `null` removes a key, all else is replaced.
    ///
    /// Every part keeps the place it came from.
    public func merged(with overlay: YAMLNode) -> YAMLNode {
        guard case .mapping(let over) = overlay.content else { return overlay }
        guard case .mapping(var result) = content else { return overlay.withoutNulls }
        var removed: Set<String> = []
        for entry in over.entries {
            if entry.value.isNull {
                removed.insert(entry.key)
            } else if let below = result.entry(entry.key) {
                // The key keeps its first place; messages about the key itself point to where it was introduced.
                result.set(.init(key: entry.key, keyRange: below.keyRange, value: below.value.merged(with: entry.value)))
            } else {
                result.set(.init(key: entry.key, keyRange: entry.keyRange, value: entry.value.withoutNulls))
            }
        }
        if !removed.isEmpty { result.removeAll { removed.contains($0.key) } }
        return YAMLNode(.mapping(result), at: range)
    }

    /// A new mapping of an overlay: its nulls have nothing to remove.
    private var withoutNulls: YAMLNode {
        guard case .mapping(let mapping) = content, mapping.entries.contains(where: { $0.value.isNull || $0.value.mapping != nil })
        else { return self }
        var result = YAMLMapping()
        for entry in mapping.entries where !entry.value.isNull {
            result.set(.init(key: entry.key, keyRange: entry.keyRange, value: entry.value.withoutNulls))
        }
        return YAMLNode(.mapping(result), at: range)
    }

    /// This value with all of it placed at one range.
    func relocated(to range: SourceRange) -> YAMLNode {
        switch content {
        case .scalar: return YAMLNode(content, at: range)
        case .sequence(let elements): return YAMLNode(.sequence(elements.map { $0.relocated(to: range) }), at: range)
        case .mapping(let mapping):
            var result = YAMLMapping()
            for entry in mapping.entries {
                result.set(.init(key: entry.key, keyRange: range, value: entry.value.relocated(to: range)))
            }
            return YAMLNode(.mapping(result), at: range)
        }
    }
}
