import BoneNormalizationNode
import FaceCropNode
import HeadNode
import MediaFilesNode
import MetricsNode
import NodeKit
import PoseMapsNode
import SkeletonNode
import TensorFilesNode

/// All node types compiled into the program: the only place that lists them.
public enum NodeCatalog {
    public static let definitions: [NodeDefinition] = [
        // Perception and control images
        NodeDefinition(SkeletonSmooth.self), NodeDefinition(SkeletonLoad.self), NodeDefinition(BoneNormalize.self),
        NodeDefinition(HeadTracker.self), NodeDefinition(HeadSphere.self), NodeDefinition(PoseMaps.self),
        NodeDefinition(PoseOverlay.self), NodeDefinition(FaceCrop.self),
        // Numbers
        NodeDefinition(MetricsCompare.self), NodeDefinition(MetricsDrift.self),
        // In and out
        NodeDefinition(TensorLoad.self), NodeDefinition(TensorSave.self), NodeDefinition(TableSave.self),
    ]
}
