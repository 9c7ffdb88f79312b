/// How the names in a file become those of a network: one network is published under several sets of names.
public struct WeightNames: Sendable {
    /// The network's names for a stored tensor; several share its rows evenly. The name itself when it is not known.
    public let names: @Sendable (_ stored: String) -> [String]
    /// What other files call a tensor of the network.
    public let aliases: @Sendable (_ name: String) -> [String]

    public init(names: @escaping @Sendable (String) -> [String], aliases: @escaping @Sendable (String) -> [String]) {
        self.names = names
        self.aliases = aliases
    }

    /// Names as they are.
    public static let asStored = WeightNames(names: { [$0] }, aliases: { _ in [] })
}
