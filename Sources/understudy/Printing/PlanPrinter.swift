import Engine

/// Prints a plan for people.
struct PlanPrinter {
    func print(_ plan: Engine.Plan) {
        let terminal = Terminal.output
        var table = TextTable()
        let expected = Dictionary(
            (plan.forecast?.entries ?? []).compactMap { entry in entry.seconds.map { (entry.instance, $0 * Double(entry.count)) } }) { $1 }
        for pin in plan.pins {
            let note = pin.isThere ? "" : "; warning: the node has fewer instances"
            table.add("\(pin.instance).\(pin.port)", text("pinned", terminal.dim), "", "to \(pin.file)\(note)")
        }
        for entry in plan.entries {
            let status = text(entry.status)
            var reason = Terminal.plain(entry.reasons.map(\.description).joined(separator: "; "))
            if entry.status == .unneeded { reason += "; nothing that runs needs it" }
            if entry.sourceChanged {
                reason += (reason.isEmpty ? "" : "; ") + "warning: the code of this node changed since, its version did not"
            }
            table.add(entry.instance.description, status, time(entry, expected[entry.instance]), reason)
        }
        Swift.print(table.text)
        var line = "\(plan.count(.cached)) cached, \(plan.count(.willRun)) will run, \(plan.count(.depends)) depend on what others make"
        if plan.count(.unneeded) > 0 { line += ", \(plan.count(.unneeded)) no longer cached and not needed" }
        if plan.count(.shared) > 0 { line += ", \(plan.count(.shared)) the same as another" }
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

    /// A tree: each instance with what changed, below it what made its changed inputs.
    func print(_ explanations: [Explanation]) {
        var table = TextTable()
        func add(_ explanation: Explanation, depth: Int) {
            let reasons = Terminal.plain(explanation.reasons.map(\.description).joined(separator: "; "))
            table.add(
                String(repeating: "  ", count: depth) + "\(explanation.instance)", explanation.status.map(text) ?? "",
                reasons.isEmpty ? "nothing changed since its last run" : reasons)
            for cause in explanation.because { add(cause, depth: depth + 1) }
        }
        for explanation in explanations { add(explanation, depth: 0) }
        Swift.print(table.text)
    }

    private func text(_ status: Engine.Plan.Status) -> String {
        let terminal = Terminal.output
        return switch status {
        case .cached: text("cached", terminal.dim)
        case .willRun: text("run", terminal.bold)
        case .depends: text("depends", terminal.yellow)
        case .unneeded: text("gone", terminal.dim)
        case .shared: text("shared", terminal.dim)
        }
    }

    /// As wide as the widest, before colours make it longer.
    private func text(_ word: String, _ style: (String) -> String) -> String {
        style(word + String(repeating: " ", count: max(7 - word.count, 0)))
    }
}
