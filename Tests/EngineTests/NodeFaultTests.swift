import Foundation
import NodeKit
import NodeTesting
import Testing

@testable import Engine

/// Nodes that do what they must not: nothing of it is taken for good, and what others rely on stays right.
@Suite struct NodeFaultTests {
    /// A node with one table in and one out that does something wrong once it has seen its input.
    private func catalogue(_ body: @escaping @Sendable (NodeInvocation) throws -> Void) throws -> [NodeType: NodeDefinition] {
        let add = try #require(testCatalogue["t.sign"])
        let description = NodeDescription(
            type: "t.bad", version: 1, summary: "Misbehaves.", inputs: add.description.inputs, outputs: add.description.outputs,
            parameters: [], cost: NodeCost())
        var all = testCatalogue
        all["t.bad"] = NodeDefinition(description: description, body: body)
        return all
    }

    private let text = """
        nodes:
          one: { type: t.constant, with: { value: 3 } }
          bad: { type: t.bad, in: { a: one.out } }
          other: { type: t.add, in: { a: one.out }, with: { bias: 1 } }
        """

    private func fault(_ body: @escaping @Sendable (NodeInvocation) throws -> Void) throws -> (shop: Workshop, failure: InstanceFailure) {
        let shop = try Workshop(catalogue: catalogue(body))
        var options = RunOptions(threads: 1)
        options.keepsGoing = true
        let run = try shop.run(text, options: options)
        #expect(run.failed.contains("bad") && run.ran.contains("one"))
        return (shop, try #require(run.summary.failures.first { $0.instance.node == "bad" }))
    }

    @Test("a node that writes to its input fails, and the input is made again")
    func writesToItsInput() throws {
        let (shop, failure) = try fault { invocation in
            let path = try #require(invocation.inputs["a"]?.first).path
            chmod(path, 0o644)
            let handle = try FileHandle(forUpdating: URL(fileURLWithPath: path))
            try handle.seekToEnd()
            try handle.seek(toOffset: try handle.offset() - 2)
            try handle.write(contentsOf: [0x55])
            try handle.close()
            try writeNumber(1, to: invocation)
        }
        #expect(failure.message.contains("wrote to its input 'a'"), "\(failure.message)")
        #expect(try shop.engine().store.verify().isClean)
        var options = RunOptions(threads: 1)
        options.targets = [RunTarget(node: "other")]
        #expect(try shop.run(text, options: options).summary.status == .done)
        #expect(try shop.value("other", text) == 4)
    }

    @Test("an output of a type that the node does not declare is refused")
    func writesAnotherType() throws {
        let (shop, failure) = try fault { invocation in
            let writer = try invocation.outputs.makeWriter("out", type: .segments)
            try Segments(ranges: [0..<5], frameCount: 5).write(to: writer)
            try invocation.outputs.finish("out", writer)
        }
        #expect(failure.message.contains("'segments'") && failure.message.contains("'table'"), "\(failure.message)")
        #expect(try shop.engine().store.list().allSatisfy { $0.type == "table" })
    }

    @Test("an output that the node does not declare is refused, and one that is missing is named")
    func otherOutputs() throws {
        let (_, extra) = try fault { invocation in
            try writeNumber(1, to: invocation)
            try writeNumber(1, to: invocation, port: "more")
        }
        #expect(extra.message.contains("'more'"), "\(extra.message)")
        let (_, missing) = try fault { _ in }
        #expect(missing.message.contains("did not write its output 'out'"), "\(missing.message)")
    }
}

private func writeNumber(_ value: Double, to invocation: NodeInvocation, port: String = "out") throws {
    let writer = try invocation.outputs.makeWriter(port, type: .table)
    try number(value).write(to: writer)
    try invocation.outputs.finish(port, writer)
}
