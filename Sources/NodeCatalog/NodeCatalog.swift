import ActorNode
import MediaFilesNode
import MetricsNode
import NodeKit
import TensorFilesNode

/// All node types compiled into the program: the only place that lists them.
public enum NodeCatalog {
    public static let definitions: [NodeDefinition] = [
        // Numbers
        NodeDefinition(MetricsCompare.self), NodeDefinition(MetricsDrift.self),
        // Made-up actors
        NodeDefinition(ActorClip.self), NodeDefinition(ActorDataset.self),
        // In and out
        NodeDefinition(VideoDecode.self), NodeDefinition(AudioDecode.self), NodeDefinition(ImageLoad.self),
        NodeDefinition(VideoEncode.self), NodeDefinition(MapsEncode.self),
        NodeDefinition(TensorLoad.self), NodeDefinition(TensorSave.self), NodeDefinition(TableSave.self),
    ]
}
