import CLibYAML
import Foundation

/// libyaml's event stream as Swift values.
final class YAMLEvents {
    enum Kind {
        case streamStart, streamEnd, documentStart, documentEnd, alias, scalar
        case sequenceStart, sequenceEnd, mappingStart, mappingEnd
    }

    struct Event {
        var kind: Kind
        var start: SourcePosition
        var end: SourcePosition
        /// The anchor it defines, or the one an alias names.
        var anchor: String?
        var tag: String?
        var text = ""
        var isPlain = false
        var isFlow = false
    }

    /// Why libyaml gave up.
    struct Problem: Error {
        var message: String
        var position: SourcePosition
        var context: String?
        var contextPosition: SourcePosition?
        var remedy: String?
    }

    private var parser = yaml_parser_t()
    // libyaml keeps pointers into the input: this copy stays where it is until the parser is deleted.
    private let input: UnsafeMutableBufferPointer<UInt8>

    init(bytes: [UInt8]) {
        input = .allocate(capacity: max(1, bytes.count))
        _ = input.initialize(from: bytes)
        // Fails only when memory is out; the first parse then reports it.
        yaml_parser_initialize(&parser)
        yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING)
        yaml_parser_set_input_string(&parser, input.baseAddress, bytes.count)
    }

    deinit {
        yaml_parser_delete(&parser)
        input.deallocate()
    }

    func next() throws -> Event {
        var event = yaml_event_t()
        guard yaml_parser_parse(&parser, &event) != 0 else { throw problem() }
        defer { yaml_event_delete(&event) }
        var result = Event(kind: .streamStart, start: position(event.start_mark), end: position(event.end_mark))
        switch event.type {
        case YAML_STREAM_END_EVENT: result.kind = .streamEnd
        case YAML_DOCUMENT_START_EVENT: result.kind = .documentStart
        case YAML_DOCUMENT_END_EVENT: result.kind = .documentEnd
        case YAML_ALIAS_EVENT:
            result.kind = .alias
            result.anchor = string(event.data.alias.anchor)
        case YAML_SCALAR_EVENT:
            result.kind = .scalar
            let scalar = event.data.scalar
            result.anchor = string(scalar.anchor)
            result.tag = string(scalar.tag)
            result.isPlain = scalar.style == YAML_PLAIN_SCALAR_STYLE
            result.text = String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
        case YAML_SEQUENCE_START_EVENT:
            result.kind = .sequenceStart
            result.anchor = string(event.data.sequence_start.anchor)
            result.tag = string(event.data.sequence_start.tag)
            result.isFlow = event.data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE
        case YAML_SEQUENCE_END_EVENT: result.kind = .sequenceEnd
        case YAML_MAPPING_START_EVENT:
            result.kind = .mappingStart
            result.anchor = string(event.data.mapping_start.anchor)
            result.tag = string(event.data.mapping_start.tag)
            result.isFlow = event.data.mapping_start.style == YAML_FLOW_MAPPING_STYLE
        case YAML_MAPPING_END_EVENT: result.kind = .mappingEnd
        // After the stream's end libyaml gives empty events for ever.
        case YAML_NO_EVENT: result.kind = .streamEnd
        default: break
        }
        return result
    }

    private func position(_ mark: yaml_mark_t) -> SourcePosition {
        SourcePosition(line: Int(clamping: mark.line) + 1, column: Int(clamping: mark.column) + 1)
    }

    private func string(_ pointer: UnsafeMutablePointer<yaml_char_t>?) -> String? {
        pointer.map { String(cString: $0) }
    }

    private func problem() -> Problem {
        var message = parser.problem.map { String(cString: $0) } ?? "memory is out"
        message = message.replacingOccurrences(of: "<", with: "").replacingOccurrences(of: ">", with: "")
        let context = parser.context.map { String(cString: $0) }
        let mark = parser.error == YAML_READER_ERROR ? parser.mark : parser.problem_mark
        var problem = Problem(message: message, position: position(mark))
        if let context, context.hasPrefix("while") {
            problem.context = context
            problem.contextPosition = position(parser.context_mark)
        }
        problem.remedy = remedy(message)
        return problem
    }

    private func remedy(_ message: String) -> String? {
        if message.contains("cannot start any token") {
            return "indent with spaces, not tabs; quote values that start with '@', '`' or '%'"
        }
        if message.contains("mapping values are not allowed") {
            return "is the line above indented as it should be? quote values that hold ': '"
        }
        if message.contains("did not find expected ',' or") {
            return "close the bracket, put ',' between entries, and quote values that hold brackets or commas"
        }
        if message.contains("did not find expected key") || message.contains("block end") {
            return "entries of one mapping start in the same column"
        }
        if message.contains("unexpected end of stream") { return "close the quote" }
        if message.contains("could not find expected ':'") { return "write 'key: value', with a space after ':'" }
        return nil
    }
}
