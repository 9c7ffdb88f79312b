import Foundation

extension JSONDecoder {
    /// Decodes JSON from anywhere: files, other programs.
    ///
    /// Foundation takes arrays in arrays to a depth of 512, and traps, instead of throwing, where a text ends with the bracket that is one
    /// too deep. With a line end behind it, it throws.
    package func decode<T: Decodable>(_ type: T.Type, text: Data) throws -> T { try decode(type, from: text + [0x0A]) }
}
