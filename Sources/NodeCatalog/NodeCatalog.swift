import DiTSegmentNode
import FaceMotionNode
import MediaFilesNode
import MetricsNode
import NodeKit
import PoseEncoderNode
import ReferenceNode
import SkeletonNetworkNode
import TensorFilesNode
import VAENode

/// All node types compiled into the program: the only place that lists them.
public enum NodeCatalog {
    public static let definitions: [NodeDefinition] = [
        // Networks
        NodeDefinition(SkeletonNetwork.self), NodeDefinition(FaceMotionVideo.self), NodeDefinition(AudioFeaturesNode.self),
        NodeDefinition(FaceMotionAudio.self), NodeDefinition(PoseEncode.self), NodeDefinition(ReferenceEncode.self),
        NodeDefinition(ReferenceSelect.self), NodeDefinition(SegmentsPlan.self), NodeDefinition(DiTSegment.self),
        NodeDefinition(VAEEncode.self), NodeDefinition(VAEDecode.self),
        // Numbers
        NodeDefinition(MetricsCompare.self), NodeDefinition(MetricsDrift.self),
        // In and out
        NodeDefinition(TensorLoad.self), NodeDefinition(TensorSave.self), NodeDefinition(TableSave.self),
    ]
}
