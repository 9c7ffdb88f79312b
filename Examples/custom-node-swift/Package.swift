// swift-tools-version: 6.0
import PackageDescription

let package = Package(
    name: "Posterize",
    dependencies: [.package(name: "Understudy", path: "../..")],
    targets: [
        .executableTarget(name: "Posterize", dependencies: [.product(name: "NodeKit", package: "Understudy")])
    ]
)
