import NodeKit

/// What of a node's settings goes with its network and with the plan of its segments.
extension DiTSegment {
    /// Refuses what is wired or set for another network: it would change nothing.
    ///
    /// - Parameter network: The network's class.
    func checkSettings(for network: String) throws {
        let dreamActor = "DreamActorTransformer", wan = "WanTransformer3DModel"
        let animate = "WanAnimateTransformer3DModel", animate2 = "WanAnimate2Transformer3DModel"
        let standard = Self()
        let settings: [(name: String, isSet: Bool, networks: [String])] = [
            ("pose", pose != nil, [dreamActor]), ("face", face != nil, [dreamActor]), ("referencePose", referencePose != nil, [dreamActor]),
            ("poseVideo", poseVideo != nil, [animate]), ("faceVideo", faceVideo != nil, [animate]),
            ("background", background != nil, [animate]), ("mask", mask != nil, [animate]),
            ("drivingVideo", drivingVideo != nil, [animate2]), ("drivingImage", drivingImage != nil, [animate2]),
            ("firstPicture", firstPicture != nil, [wan]), ("lastPicture", lastPicture != nil, [wan]),
            ("size", size != nil, [wan]), ("frames", frames != nil, [wan]),
            ("lowNoiseModel", lowNoiseModel != nil, [wan]), ("lowNoiseLora", lowNoiseLora != nil, [wan]),
            ("guidance.lowNoise", guidanceLowNoise != nil, [wan]), ("boundary", boundary != nil, [wan]),
            ("guidance.reference", guidanceReference != standard.guidanceReference, [dreamActor]),
            ("guidance.motion", guidanceMotion != standard.guidanceMotion, [dreamActor]),
            ("guidance.prompt", guidancePrompt != standard.guidancePrompt, [wan, animate, animate2]), ("tile", tile != 0, [wan, animate, animate2]),
            ("lowNoiseLoraWeights", !lowNoiseLoraWeights.isEmpty, [wan]), ("overlap", overlap != nil, [dreamActor, animate, animate2]),
            ("reference", reference != nil, [dreamActor, animate, animate2]), ("segment", segment != nil, [dreamActor, animate, animate2]),
            ("text", text != nil, [wan, animate, animate2]), ("image", image != nil, [wan, animate, animate2]),
            ("noise", noise != nil, [wan, animate, animate2]), ("vae", vae != nil, [wan, animate, animate2]),
        ]
        // What no setting is for is not a network of this node, which says so itself.
        guard settings.contains(where: { $0.networks.contains(network) }),
            let wrong = settings.first(where: { $0.isSet && !$0.networks.contains(network) })
        else { return }
        let hint = ["size", "frames"].contains(wrong.name) ? "; its films are as large as the clips wired to it, and as long as segments.plan has it" : ""
        throw NodeError("a \(network) has no use for '\(wrong.name)', which is for \(wrong.networks.joined(separator: ", ")): remove it\(hint)")
    }

    /// Frames that the segment shares with the one before: as they were planned where 'segment' is wired, else 'overlap'.
    func sharedFrames() throws -> Int {
        guard let segment, let initial else { return overlap ?? 1 }
        guard segment.ranges.count == 1, let begin = segment.ranges.first?.lowerBound else {
            throw NodeError("'segment' holds \(segment.ranges.count) segments, one expected: wire each.item")
        }
        let end = initial.firstFrame + 4 * (initial.grid.frames - 1) + 1
        guard begin < end else { throw NodeError("the segment begins at frame \(begin), the one before it ends with frame \(end - 1): segments share a frame at least") }
        let planned = end - begin
        if let overlap, overlap != planned {
            throw NodeError("overlap: \(overlap), but the segments were planned with overlap: \(planned); set it at segments.plan, and leave it out here")
        }
        return planned
    }
}
