/// A node type: a pure function of its inputs, its parameters and the files it reads.
///
/// Ports and parameters are declared as properties, once; the property's name is the port's name.
///
///     public struct HeadSphere: Node {
///         public static let type: NodeType = "head.sphere"
///         public static let version = 1
///         public static let summary = "Draws the head as a sphere whose colour encodes orientation."
///
///         @Input("Head rotation, centre and radius per driving frame.") var head: HeadTrack
///         @Parameter("Canvas of the maps, in pixels.") var size = PixelSize(640, 960)
///         @Output("One sphere map per frame, RGB.") var maps: Maps
///
///         public init() {}
///         public func run(in context: NodeContext) throws { … }
///     }
///
/// `version` is part of the cache key: raise it whenever the same inputs would give other outputs.
public protocol Node: SendableMetatype {
    static var type: NodeType { get }
    static var version: Int { get }
    /// One sentence on what the node does.
    static var summary: String { get }
    static var cost: NodeCost { get }

    init()

    /// Reads inputs and parameters, writes every output.
    ///
    /// - Throws: Anything; the engine reports it with the node, its inputs and where its log is.
    func run(in context: NodeContext) throws
}

extension Node {
    public static var cost: NodeCost { NodeCost() }
}
