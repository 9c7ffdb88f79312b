import Foundation
import GRDB
import NodeKit
import Testing

@testable import Engine

/// Flipped bits, truncations and losses in what the store keeps, at random places that a seed fixes.
@Suite struct DamageFaultTests {
    private let text = """
        nodes:
          one: { type: t.constant, with: { value: 3 } }
          two: { type: t.add, in: { a: one.out }, with: { bias: 4 } }
          count: { type: t.count }
          more: { type: t.add, each: count.numbers, in: { a: each.item }, with: { bias: 100 } }
          sum: { type: t.total, in: { values: more.out } }
        outputs: { two: two.out, sum: sum.out }
        """

    /// How many places are tried; by hand, FAULT_SEEDS says more.
    private static let seeds = ProcessInfo.processInfo.environment["FAULT_SEEDS"].flatMap(Int.init) ?? 40

    private struct Dice: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ (state >> 29)
        }
    }

    /// Flips bits or cuts a file.
    private func damage(_ path: String, _ dice: inout Dice) throws {
        var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        guard !bytes.isEmpty else { return }
        if Int.random(in: 0..<4, using: &dice) == 0 {
            bytes.removeLast(Int.random(in: 1...bytes.count, using: &dice))
        } else {
            for _ in 0..<Int.random(in: 1...8, using: &dice) {
                bytes[Int.random(in: 0..<bytes.count, using: &dice)] ^= 1 << UInt8.random(in: 0..<8, using: &dice)
            }
        }
        chmod(path, 0o644)
        try Data(bytes).write(to: URL(fileURLWithPath: path))
    }

    /// A run of the graph as a new process would do it: its values, or what it said instead.
    private func outcome(_ shop: Workshop) throws -> (values: [Double], message: String) {
        do {
            let summary = try shop.run(text).summary
            guard summary.status == .done else { return ([], summary.failures.map(\.message).joined(separator: "; ")) }
            return (try [shop.value("two", text), shop.value("sum", text)], "")
        } catch {
            return ([], "\(error)")
        }
    }

    private func copy(_ shop: Workshop) throws -> Workshop {
        let other = try Workshop()
        try FileManager.default.copyItem(atPath: shop.storePath, toPath: other.storePath)
        return other
    }

    /// A store in which the graph was run, with everything in the index's main file.
    private func prepared() throws -> Workshop {
        let shop = try Workshop()
        #expect(try outcome(shop).values == [7, 313])
        _ = try shop.closed()
        return shop
    }

    /// After damage, runs give the right values or an error that says what to do, and are right at the latest on the third go.
    private func expectRecovery(_ shop: Workshop, _ what: String) throws {
        for attempt in 1...3 {
            let (values, message) = try outcome(shop)
            if values == [7, 313] { break }
            #expect(values.isEmpty, "\(what): wrong values \(values)")
            #expect(message.contains("run again") || message.contains("verify"), "\(what): \(message)")
            #expect(attempt < 3, "\(what): \(message)")
        }
        _ = try? shop.engine().store.verify()
        #expect(try shop.engine().store.verify().isClean, "\(what)")
        #expect(try outcome(shop).values == [7, 313], "\(what)")
    }

    @Test func damagedIndex() throws {
        let whole = try prepared()
        for seed in 1...Self.seeds {
            var dice = Dice(state: UInt64(seed) &* 0x9E37_79B9_7F4A_7C15)
            let shop = try copy(whole)
            try damage("\(shop.storePath)/index.sqlite", &dice)
            try expectRecovery(shop, "seed \(seed)")
        }
    }

    @Test func damagedAndLostFiles() throws {
        let whole = try prepared()
        for seed in 1...max(Self.seeds / 2, 1) {
            var dice = Dice(state: UInt64(seed) &* 0xD1B5_4A32_D192_ED03)
            let shop = try copy(whole)
            // Artifacts and records, some damaged, some gone; every third time the index too.
            for folder in ["objects", "actions"] {
                let files = try FileManager.default.subpathsOfDirectory(atPath: "\(shop.storePath)/\(folder)").sorted()
                for file in files where file.contains(".") && Int.random(in: 0..<3, using: &dice) == 0 {
                    let path = "\(shop.storePath)/\(folder)/\(file)"
                    if Bool.random(using: &dice) { unlink(path) } else { try damage(path, &dice) }
                }
            }
            if seed % 3 == 0 { unlink("\(shop.storePath)/index.sqlite") }
            try expectRecovery(shop, "seed \(seed)")
        }
    }
}
