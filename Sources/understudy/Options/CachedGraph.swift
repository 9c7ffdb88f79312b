import ArgumentParser
import Engine
import GraphKit
import NodeKit

/// What commands share that look at a graph's cached results, and run nothing.
struct CachedGraphOptions: ParsableArguments {
    @OptionGroup var numerics: NumericOptions
    @OptionGroup var nodes: NodeOptions
    @OptionGroup var store: StoreOptions

    func open(_ graph: GraphOptions) throws -> CachedGraph {
        let store = try store.open()
        let catalogue = try nodes.catalogue(self.store)
        var check = GraphCheckOptions()
        check.checksFiles = false
        var options = RunOptions()
        numerics.apply(to: &options)
        return CachedGraph(
            graph: try graph.load(catalogue: catalogue, options: check), engine: UnderstudyEngine(store: store, catalogue: catalogue), options: options)
    }
}

/// A graph and the cache that its results are looked up in.
struct CachedGraph {
    let graph: Graph
    let engine: UnderstudyEngine
    let options: RunOptions

    /// The artifacts that a target stands for: the current ones where they are cached, else the last that were made.
    func artifacts(of target: RunTarget) throws -> [(instance: InstanceID, port: String, artifact: Artifact, isCurrent: Bool)] {
        try engine.artifacts(of: target, in: graph, options: options)
    }
}
