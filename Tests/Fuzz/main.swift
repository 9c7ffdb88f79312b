// fuzz KIND [libFuzzer options] [CORPUS…]: feeds mutated files to one reader. `Tests/Fuzz/run.sh` builds and runs it.
//
// A reader may refuse anything; it may not trap, work for more than a second on one input, or hold more than ten times the input and a
// constant. libFuzzer and AddressSanitizer see traps and wrong accesses, `watched` the other two. (libFuzzer's own limits are of single
// allocations and of the clock, which goes on while the machine does other things.)
import Foundation
import Synchronization

@_silgen_name("LLVMFuzzerRunDriver")
func runFuzzer(
    _ count: UnsafeMutablePointer<Int32>, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
    _ target: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
) -> Int32

@_silgen_name("__sanitizer_install_malloc_and_free_hooks")
func watchHeap(_ allocated: @convention(c) (UnsafeRawPointer?, Int) -> Void, _ freed: @convention(c) (UnsafeRawPointer?) -> Void) -> Int32

@_silgen_name("__sanitizer_get_allocated_size")
func allocatedSize(_ pointer: UnsafeRawPointer?) -> Int

/// Bytes of the heap that are held now, and that were held at most.
let held = Atomic(0), most = Atomic(0)

/// Reads an input and traps, so that libFuzzer keeps it, if that took too long or too much memory.
func watched(_ bytes: UnsafeBufferPointer<UInt8>) {
    let before = held.load(ordering: .relaxed)
    most.store(before, ordering: .relaxed)
    reader.readInTime(Array(bytes))
    let grown = most.load(ordering: .relaxed) - before
    guard grown <= reader.heapLimit(bytes.count) else { fatalError("\(bytes.count) bytes made the reader hold \(grown)") }
}

guard CommandLine.arguments.count > 1, let chosen = Reader.Kind(rawValue: CommandLine.arguments[1]) else {
    print("usage: fuzz KIND [options of libFuzzer] [CORPUS…]; KIND is one of \(Reader.Kind.allCases.map(\.rawValue).joined(separator: ", "))")
    exit(2)
}
nonisolated(unsafe) let reader = try Reader(chosen)
guard
    watchHeap(
        { _, size in most.max(held.add(size, ordering: .relaxed).newValue, ordering: .relaxed) },
        { held.subtract(allocatedSize($0), ordering: .relaxed) }) != 0
else { fatalError("the heap cannot be watched; build with -sanitize=fuzzer,address") }
var count = Int32(CommandLine.arguments.count - 1)
// libFuzzer's own arguments begin after the kind.
var words: [UnsafeMutablePointer<CChar>?] = ([CommandLine.arguments[0]] + CommandLine.arguments.dropFirst(2)).map { strdup($0) } + [nil]
let status = words.withUnsafeMutableBufferPointer { buffer in
    var pointer = buffer.baseAddress
    return withUnsafeMutablePointer(to: &pointer) { arguments in
        runFuzzer(&count, arguments) { bytes, count in
            watched(UnsafeBufferPointer(start: bytes, count: count))
            return 0
        }
    }
}
reader.removeScratch()
exit(status)
