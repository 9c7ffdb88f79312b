import ActorNode
import BoneNormalizationNode
import ConditioningNode
import DiTSegmentNode
import FaceCropNode
import FaceMotionNode
import FramingNode
import HeadNode
import MediaFilesNode
import MetricsNode
import NodeKit
import PoseEncoderNode
import PoseMapsNode
import ReferenceNode
import SkeletonNetworkNode
import SkeletonNode
import TensorFilesNode
import VAENode

/// All node types compiled into the program: the only place that lists them.
public enum NodeCatalog {
    public static let definitions: [NodeDefinition] = [
        // Media in and out
        NodeDefinition(VideoDecode.self), NodeDefinition(AudioDecode.self), NodeDefinition(ImageLoad.self),
        NodeDefinition(VideoEncode.self), NodeDefinition(MapsEncode.self), NodeDefinition(VideoFit.self), NodeDefinition(ImageFit.self),
        NodeDefinition(VideoCut.self), NodeDefinition(VideoCrop.self),
        // Body, head, face, and the control images made of them
        NodeDefinition(SkeletonNetwork.self), NodeDefinition(SkeletonLoad.self), NodeDefinition(SkeletonSmooth.self),
        NodeDefinition(BoneNormalize.self), NodeDefinition(HeadTracker.self), NodeDefinition(HeadSphere.self),
        NodeDefinition(PoseMaps.self), NodeDefinition(PoseOverlay.self), NodeDefinition(PoseMask.self), NodeDefinition(FaceCrop.self),
        // Networks
        NodeDefinition(FaceMotionVideo.self), NodeDefinition(AudioFeaturesNode.self), NodeDefinition(FaceMotionAudio.self),
        NodeDefinition(PoseEncode.self), NodeDefinition(ReferenceEncode.self), NodeDefinition(ReferenceSelect.self),
        NodeDefinition(SegmentsPlan.self), NodeDefinition(DiTSegment.self), NodeDefinition(VAEEncode.self),
        NodeDefinition(VAEDecode.self), NodeDefinition(TextEncode.self), NodeDefinition(ImageEncode.self),
        // Generated actors
        NodeDefinition(ActorClip.self), NodeDefinition(ActorDataset.self),
        // Numbers
        NodeDefinition(MetricsCompare.self), NodeDefinition(MetricsDrift.self),
        // In and out
        NodeDefinition(TensorLoad.self), NodeDefinition(TensorSave.self), NodeDefinition(TableSave.self),
    ]
}
