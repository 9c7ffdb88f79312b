import CKernels
import Foundation

/// The processor that networks run on.
public enum Processor {
    /// What decides which kernels are chosen, ours and those of the libraries: the instruction set and the processor's make, for
    /// instance `avx512-bf16 AuthenticAMD 25 17`. Kernels of different kinds add in different orders, so that results differ in
    /// their last bits.
    public static let kind: String = {
        let lines = ((try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? "").split(separator: "\n")
        var make: [Substring: String] = [:]
        for line in lines.prefix(while: { !$0.isEmpty }) {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            let (name, value) = (parts[0].trimmingCharacters(in: .whitespaces), parts[1].trimmingCharacters(in: .whitespaces))
            if make[name[...]] == nil { make[name[...]] = value }
        }
        let names: [Substring] = ["vendor_id", "cpu family", "model", "CPU implementer", "CPU part"]
        return ([String(cString: us_level_name(us_best_level()))] + names.compactMap { make[$0] }).joined(separator: " ")
    }()
}
