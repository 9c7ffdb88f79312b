import ArgumentParser
import Engine
import Tensors

/// Whose results count as one's own.
struct NumericOptions: ParsableArguments {
    @Flag(help: "Takes cached results of the same kind of processor only: those of another, which differ in the last bits, are made again. Results are kept apart by this option.")
    var sameProcessor = false

    func apply(to options: inout RunOptions) {
        if sameProcessor { options.numericPolicy += " " + Processor.kind }
    }
}
