/// All value types by port type, for the places that handle any value: slicing, inspection.
public enum ValueCatalog {
    public static let types: [PortType: any PortValue.Type] = {
        let all: [any PortValue.Type] = [
            Image.self, Video.self, Audio.self, PoseTrack.self, HeadTrack.self, FaceTrack.self, FaceMotion.self,
            AudioFeatures.self, Maps.self, Latent.self, PoseFeatures.self, Reference.self, Segments.self,
            ModelFolder.self, Table.self, TensorBundle.self, File.self,
        ]
        return Dictionary(uniqueKeysWithValues: all.map { ($0.portType, $0) })
    }()

    /// Opens an artifact as the value that it holds: checks a node's output, or reads it for display.
    ///
    /// - Throws: When it is damaged or of another type.
    public static func open(_ artifact: Artifact) throws -> any PortValue {
        guard let type = types[artifact.type] else { throw NodeError("no value type '\(artifact.type)'") }
        return try type.init(artifact: artifact)
    }

    /// Cuts a range of video frames out of an artifact into a new one.
    ///
    /// - Throws: ``NodeError`` when the type has no time axis or the range leaves the sequence.
    public static func slice(_ artifact: Artifact, frames: Range<Int>, to writer: ArtifactWriter) throws {
        guard let value = try open(artifact) as? any TimeSliceable else {
            throw NodeError("a '\(artifact.type)' has no time axis to cut along")
        }
        try value.write(frames: frames, to: writer)
    }
}
