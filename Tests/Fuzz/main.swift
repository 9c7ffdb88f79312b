// fuzz KIND [libFuzzer options] [CORPUS…]: feeds mutated files to one reader. `Tests/Fuzz/run.sh` builds and runs it.
//
// A reader may refuse anything; it may not trap, hang, or allocate far more than it was given. libFuzzer watches all three.
import Foundation

@_silgen_name("LLVMFuzzerRunDriver")
func runFuzzer(
    _ count: UnsafeMutablePointer<Int32>, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
    _ target: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
) -> Int32

guard CommandLine.arguments.count > 1, let chosen = Reader.Kind(rawValue: CommandLine.arguments[1]) else {
    print("usage: fuzz KIND [options of libFuzzer] [CORPUS…]; KIND is one of \(Reader.Kind.allCases.map(\.rawValue).joined(separator: ", "))")
    exit(2)
}
nonisolated(unsafe) let reader = try Reader(chosen)
var count = Int32(CommandLine.arguments.count - 1)
// libFuzzer's own arguments begin after the kind.
var words: [UnsafeMutablePointer<CChar>?] = ([CommandLine.arguments[0]] + CommandLine.arguments.dropFirst(2)).map { strdup($0) } + [nil]
let status = words.withUnsafeMutableBufferPointer { buffer in
    var pointer = buffer.baseAddress
    return withUnsafeMutablePointer(to: &pointer) { arguments in
        runFuzzer(&count, arguments) { bytes, count in
            try? reader.read(Array(UnsafeBufferPointer(start: bytes, count: count)))
            return 0
        }
    }
}
reader.removeScratch()
exit(status)
