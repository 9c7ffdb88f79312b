// swift-tools-version: 6.0
import PackageDescription

// One settings list and two helpers keep the targets uniform: a library in Sources/, a node family in Nodes/.

let settings: [SwiftSetting] = [.swiftLanguageMode(.v6)]

/// A library target in `Sources/`.
func library(_ name: String, _ dependencies: [Target.Dependency] = [], exclude: [String] = []) -> Target {
    .target(
        name: name, dependencies: dependencies, path: "Sources/\(name)", exclude: exclude, swiftSettings: settings)
}

/// A system library: module map and shim in `Sources/`, found by pkg-config where there is a `.pc` file.
func system(_ name: String, pkgConfig: String? = nil, apt: [String]) -> Target {
    .systemLibrary(name: name, path: "Sources/\(name)", pkgConfig: pkgConfig, providers: [.apt(apt)])
}

/// A library that is loaded when the first of its functions is called: its header, and the list of functions in `Loading.S`.
func lazy(_ name: String) -> Target {
    .target(name: name, dependencies: ["CLoading"], path: "Sources/\(name)")
}

/// A node family: the Swift target `<folder>Node` in `Nodes/<folder>`. It sees NodeKit and libraries, never another node.
func node(_ folder: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(
        name: "\(folder)Node", dependencies: ["Locking", "NodeKit"] + dependencies, path: "Nodes/\(folder)",
        exclude: ["README.md"], swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .testTarget(
        name: name, dependencies: dependencies, path: "Tests/\(name)", resources: resources,
        swiftSettings: settings)
}

/// A program that users do not need: benchmarks, training data.
func tool(_ name: String, _ dependencies: [Target.Dependency], path: String, exclude: [String] = []) -> Target {
    .executableTarget(name: name, dependencies: dependencies, path: path, exclude: exclude, swiftSettings: settings)
}

let log: Target.Dependency = .product(name: "Logging", package: "swift-log")

let systemLibraries: [Target] = [
    system("CLibYAML", pkgConfig: "yaml-0.1", apt: ["libyaml-dev"]),
    system("CZlib", pkgConfig: "zlib", apt: ["zlib1g-dev"]),
    system("CCrypto", pkgConfig: "libcrypto", apt: ["libssl-dev"]),
]

/// Headers and a loader of libraries that are loaded when they are needed.
let lazyLibraries: [Target] = [
    .target(name: "CLoading", path: "Sources/CLoading", linkerSettings: [.linkedLibrary("dl")]),
    lazy("COpenBLAS"),  // libopenblas-dev
    lazy("COneDNN"),  // libdnnl-dev
    lazy("CCairo"),  // libcairo2-dev
    lazy("CArchive"),  // libarchive-dev
    lazy("CFFmpeg"),  // libavformat-dev, libavcodec-dev, libswscale-dev, libswresample-dev
]

let libraries: [Target] = [
    .target(name: "CKernels", dependencies: ["COneDNN"], path: "Sources/CKernels"),
    .target(name: "CLinux", path: "Sources/CLinux"),
    library("Locking"),
    library("WholeFiles"),
    library("Safetensors", ["CLinux", "WholeFiles"]),
    library("Tensors", ["Locking", "Safetensors", "CKernels", "COpenBLAS"]),
    library("Models", ["Locking", "Tensors"]),
    library("Media", ["CFFmpeg", "WholeFiles"]),
    .target(name: "CSpeech", path: "Sources/CSpeech", linkerSettings: [.linkedLibrary("dl")]),
    library("Drawing", ["CCairo", "WholeFiles"]),
    library("Perception", ["Drawing", "CZlib", "WholeFiles"]),
    library("PerceptionValues", ["NodeKit", "Perception"]),
    library("NodeKit", ["Locking", "Safetensors", "WholeFiles", "CCrypto"]),
    library("NodeTesting", ["NodeKit"]),
    library("GraphKit", ["NodeKit", "CLibYAML"]),
    library("Inspection", ["NodeKit", "Drawing", "Media", "Perception", "WholeFiles"]),
    library(
        "Engine", ["GraphKit", "Locking", "WholeFiles", "CArchive", .product(name: "GRDB", package: "GRDB.swift"), .product(name: "GRDBSQLite", package: "GRDB.swift"), log],
        exclude: ["External/PROTOCOL.md"]),
]

let nodes: [Target] = [
    node("Actor", ["Drawing", "Perception", "Safetensors", "CSpeech"]),
    node("MediaFiles", ["Media", "Safetensors"]),
    node("Metrics"),
    node("Skeleton", ["Perception", "PerceptionValues"]),
    node("BoneNormalization", ["Perception", "PerceptionValues"]),
    node("Head", ["Perception", "PerceptionValues"]),
    node("PoseMaps", ["Perception", "Drawing"]),
    node("FaceCrop", ["Perception"]),
    node("TensorFiles", ["Safetensors"]),
    node("Conditioning", ["Models", "Tensors"]),
    node("DiTSegment", ["Models", "Tensors", "Safetensors"]),
    node("FaceMotion", ["Models", "Tensors"]),
    node("Framing", ["Models", "Tensors"]),
    node("PoseEncoder", ["Models", "Tensors"]),
    node("Reference", ["Models", "Tensors"]),
    node("SkeletonNetwork", ["Models", "Tensors"]),
    node("VAE", ["Models", "Safetensors", "Tensors"]),
]

/// The readers of users' files under mutated ones: a bounded test, or a program for libFuzzer where `Tests/Fuzz/run.sh` asks for it.
let fuzzing: [Target] = {
    let dependencies: [Target.Dependency] = ["Engine", "GraphKit", "Media", "NodeCatalog", "NodeKit", "Perception", "Safetensors"]
    if Context.environment["UNDERSTUDY_FUZZ"] != nil {
        return [
            .executableTarget(
                name: "fuzz", dependencies: dependencies, path: "Tests/Fuzz", exclude: ["Corpus", "run.sh", "FuzzTests.swift"],
                swiftSettings: settings)
        ]
    }
    return [
        .testTarget(
            name: "FuzzTests", dependencies: dependencies, path: "Tests/Fuzz", exclude: ["Corpus", "run.sh", "main.swift"],
            swiftSettings: settings)
    ]
}()

let package = Package(
    name: "Understudy",
    products: [
        .executable(name: "understudy", targets: ["understudy"]),
        .library(name: "NodeKit", targets: ["NodeKit", "NodeTesting"]),
        .library(name: "UnderstudyEngine", targets: ["GraphKit", "Engine", "NodeCatalog"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    ],
    targets: systemLibraries + lazyLibraries + libraries + nodes + [
        library("NodeCatalog", ["NodeKit"] + nodes.map { .byName(name: $0.name) }),
        .executableTarget(
            name: "understudy",
            dependencies: [
                "Engine", "NodeCatalog", "Inspection", "Locking", "Models", "Tensors", "Safetensors", "WholeFiles",
                .product(name: "ArgumentParser", package: "swift-argument-parser"), log,
            ],
            path: "Sources/understudy", swiftSettings: settings),
        .target(name: "CPeak", path: "Tests/Benchmarks/Peak"),
        tool("benchmarks", ["CPeak", "Locking", "Models", "Safetensors", "Tensors"], path: "Tests/Benchmarks/Networks", exclude: ["compare.py", "run.sh"]),
        tool(
            "engine-benchmarks", ["Engine", "GraphKit", "Media", "MediaFilesNode", "NodeKit", "Safetensors"],
            path: "Tests/Benchmarks/Engine"),
        tool("actor-data", ["ActorNode", "NodeKit"], path: "Sources/actor-data"),
        tests("WholeFilesTests", ["WholeFiles"]),
        tests("SafetensorsTests", ["Safetensors"]),
        tests("TensorsTests", ["Tensors", "CKernels"]),
        tests("VAETests", ["Models", "Tensors", "Safetensors"], resources: [.copy("Fixtures")]),
        tests("NodeKitTests", ["NodeKit", "NodeTesting"]),
        tests("ActorTests", ["ActorNode", "Drawing", "NodeKit", "NodeTesting"]),
        tests("DrawingTests", ["Drawing"]),
        tests("InspectionTests", ["Inspection", "Drawing", "Media", "NodeKit", "NodeTesting", "Safetensors"]),
        tests("CommandTests", ["understudy", "Tensors"]),
        tests("MetricsTests", ["MetricsNode", "NodeKit", "NodeTesting"]),
        tests("NetworkTests", ["Models", "Tensors", "Safetensors"]),
        tests(
            "NetworkNodeTests",
            [
                "Models", "DiTSegmentNode", "FaceMotionNode", "PoseEncoderNode", "ReferenceNode", "SkeletonNetworkNode", "VAENode",
                "Locking", "NodeKit", "NodeTesting", "Safetensors", "Tensors",
            ]),
        tests(
            "PerceptionTests",
            [
                "Perception", "PerceptionValues", "NodeKit", "NodeTesting", "SkeletonNode", "BoneNormalizationNode",
                "HeadNode", "PoseMapsNode", "FaceCropNode",
            ], resources: [.copy("Fixtures")]),
        tests("GraphKitTests", ["GraphKit"]),
        tests("EngineTests", ["Engine", "Locking", "NodeTesting", "ActorNode", "TensorFilesNode"]),
        tests("ExampleTests", ["Engine", "NodeCatalog", "MediaFilesNode", "NodeTesting"]),
        tests("WanPipelineTests", ["Engine", "NodeCatalog", "NodeTesting", "Safetensors"]),
        tests("MediaTests", ["Media"]),
        tests("MediaFilesTests", ["MediaFilesNode", "Media", "NodeKit", "NodeTesting"]),
    ] + fuzzing
)
