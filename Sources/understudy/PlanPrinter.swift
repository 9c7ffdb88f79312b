import Engine

/// Prints a plan for people.
struct PlanPrinter {
    var only: String?

    func print(_ plan: Engine.Plan) {
        let terminal = Terminal.output
        var table = TextTable()
        for entry in plan.entries where only == nil || entry.instance.node == only {
            let status =
                switch entry.status {
                case .cached: terminal.dim("cached ")
                case .willRun: terminal.bold("run    ")
                case .depends: terminal.yellow("depends")
                case .unneeded: terminal.dim("gone   ")
                }
            var reason = entry.reasons.map(\.description).joined(separator: "; ")
            if entry.status == .unneeded { reason += "; nothing that runs needs it" }
            if entry.sourceChanged {
                reason += (reason.isEmpty ? "" : "; ") + "warning: the code of this node changed since, its version did not"
            }
            table.add(entry.instance.description, status, entry.seconds.map { "last \(durationText($0))" } ?? "", reason)
        }
        Swift.print(table.text)
        guard only == nil else { return }
        let known = plan.entries.filter { [.willRun, .depends].contains($0.status) }.compactMap(\.seconds).reduce(0, +)
        var line = "\(plan.count(.cached)) cached, \(plan.count(.willRun)) will run, \(plan.count(.depends)) depend on what others make"
        if plan.count(.unneeded) > 0 { line += ", \(plan.count(.unneeded)) no longer cached and not needed" }
        if known > 0 { line += "; about \(durationText(known)) by past timings" }
        Swift.print(line)
    }
}
