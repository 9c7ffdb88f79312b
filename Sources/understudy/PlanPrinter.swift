import Engine

/// Prints a plan for people.
struct PlanPrinter {
    var only: String?

    func print(_ plan: Engine.Plan) {
        let terminal = Terminal.output
        var table = TextTable()
        let expected = Dictionary(
            (plan.forecast?.entries ?? []).compactMap { entry in entry.seconds.map { (entry.instance, $0 * Double(entry.count)) } }) { $1 }
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
            table.add(entry.instance.description, status, time(entry, expected[entry.instance]), reason)
        }
        Swift.print(table.text)
        guard only == nil else { return }
        var line = "\(plan.count(.cached)) cached, \(plan.count(.willRun)) will run, \(plan.count(.depends)) depend on what others make"
        if plan.count(.unneeded) > 0 { line += ", \(plan.count(.unneeded)) no longer cached and not needed" }
        if let forecast = plan.forecast, forecast.seconds > 0 {
            line += "; about \(durationText(forecast.seconds)) by past timings"
            if forecast.unknown > 0 { line += ", and what \(forecast.unknown) take that never ran" }
        }
        Swift.print(line)
    }

    /// What it took last, or, where that says little of this time, what it is expected to take.
    private func time(_ entry: Engine.Plan.Entry, _ expected: Double?) -> String {
        switch (entry.seconds, expected) {
        case (let last?, let expected?) where max(last, expected) > 2 * min(last, expected) && max(last, expected) > 0.5:
            "about \(durationText(expected))"
        case (let last?, _): "last \(durationText(last))"
        case (nil, let expected?): "about \(durationText(expected))"
        case (nil, nil): ""
        }
    }
}
