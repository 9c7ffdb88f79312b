import Foundation
import Media

/// A folder that goes when the test ends.
final class Scratch {
    let path: String
    init() throws {
        path = NSTemporaryDirectory() + "/understudy-media-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }
    func file(_ name: String) -> String { path + "/" + name }
}

/// A picture of one colour.
func flat(_ width: Int, _ height: Int, _ color: [UInt8]) -> RasterImage {
    RasterImage(
        width: width, height: height, channels: color.count,
        pixels: (0..<width * height).flatMap { _ in color })
}

/// A grey picture whose brightness says which frame it is, coarse enough to outlive compression.
func numbered(_ index: Int, _ width: Int = 64, _ height: Int = 48) -> RasterImage {
    flat(width, height, [UInt8](repeating: UInt8(16 + index % 28 * 8), count: 3))
}

/// The frame number that `numbered` painted, modulo 28.
func number(of image: RasterImage) -> Int { (Int(image.pixels[image.pixels.count / 2]) - 16 + 4) / 8 }

func pixel(_ image: RasterImage, _ x: Int, _ y: Int) -> [Int] {
    (0..<3).map { Int(image.pixels[(y * image.width + x) * 3 + $0]) }
}

func frames(_ reader: VideoReader) throws -> [VideoFrame] {
    var list: [VideoFrame] = []
    while let frame = try reader.next() { list.append(frame) }
    return list
}

/// Four colours in the four corners: red, green / blue, yellow.
func quadrants(_ width: Int, _ height: Int) -> RasterImage {
    var pixels: [UInt8] = []
    for y in 0..<height {
        for x in 0..<width {
            let (left, top) = (x < width / 2, y < height / 2)
            pixels += top ? (left ? [200, 30, 30] : [30, 200, 30]) : (left ? [30, 30, 200] : [200, 200, 30])
        }
    }
    return RasterImage(width: width, height: height, pixels: pixels)
}

func tone(_ count: Int, rate: Int) -> [Float] {
    (0..<count).map { Float(0.5 * sin(2 * Double.pi * 440 * Double($0) / Double(rate))) }
}

/// Runs the system's `ffmpeg`; nil where it is not installed.
func ffmpeg(_ arguments: [String]) throws -> Bool? {
    let candidates = ["/usr/bin/ffmpeg", "/usr/local/bin/ffmpeg"]
    guard let path = candidates.first(where: { FileManager.default.isExecutableFile(atPath: $0) }) else { return nil }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = ["-hide_banner", "-loglevel", "error", "-nostdin", "-y"] + arguments
    try process.run()
    process.waitUntilExit()
    return process.terminationStatus == 0
}
