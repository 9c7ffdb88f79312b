/// Why a measurement could not be made or a file could not be read: one full sentence with the remedy.
public struct PerceptionError: Error, CustomStringConvertible, Sendable {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}
