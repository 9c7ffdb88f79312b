import ActorNode
import Foundation
import NodeKit

// actor-data sheet OUT.png SEED PEOPLE [SIZE] [FRAMING] | actor-data shards FOLDER SEED FIRST COUNT PER_SHARD
//   | clip FOLDER NAME=VALUE…
let arguments = CommandLine.arguments
do {
    switch arguments.count > 1 ? arguments[1] : "" {
    case "sheet" where arguments.count >= 5:
        try ActorSheet.write(
            to: arguments[2], seed: UInt64(arguments[3]) ?? 0, people: Int(arguments[4]) ?? 8,
            size: arguments.count > 5 ? Int(arguments[5]) ?? 192 : 192,
            framing: arguments.count > 6 ? ActorFraming(rawValue: arguments[6]) ?? .any : .any)
    case "shards" where arguments.count >= 7:
        let writer = ActorDatasetWriter(seed: UInt64(arguments[3]) ?? 0)
        let first = Int(arguments[4]) ?? 0, count = Int(arguments[5]) ?? 0, size = max(1, Int(arguments[6]) ?? 32)
        for start in stride(from: first, to: first + count, by: size) {
            let name = "clips_" + String(String(1_000_000 + start).dropFirst()) + ".safetensors"
            let path = arguments[2] + "/" + name
            if FileManager.default.fileExists(atPath: path) { continue }
            try writer.writeShard(clips: start..<min(start + size, first + count), to: path)
            print(path)
        }
    case "clip" where arguments.count >= 3:
        // Parameters of actor.clip as NAME=VALUE; writes its artifacts into the folder.
        var parameters: [String: ParameterLiteral] = [:]
        for argument in arguments.dropFirst(3) {
            let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
            if parts.count == 2 { parameters[parts[0]] = Int(parts[1]).map { .integer($0) } ?? .string(parts[1]) }
        }
        try FileManager.default.createDirectory(atPath: arguments[2], withIntermediateDirectories: true)
        let context = NodeContext(scratch: arguments[2])
        try NodeDefinition(ActorClip.self).run(
            NodeInvocation(
                inputs: [:], parameters: parameters, outputs: OutputSink(folder: arguments[2], syncs: false),
                context: context))
    default:
        print("usage: actor-data sheet OUT.png SEED PEOPLE [SIZE] [FRAMING] | shards FOLDER SEED FIRST COUNT PER_SHARD | clip FOLDER NAME=VALUE…")
    }
} catch {
    FileHandle.standardError.write(Data("error: \(error)\n".utf8))
    exit(1)
}
