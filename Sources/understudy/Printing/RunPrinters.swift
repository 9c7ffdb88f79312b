import Dispatch
import Engine
import Foundation
import Locking

/// Shows the events of a run.
protocol RunPrinter: Sendable {
    func handle(_ event: RunEvent)
    /// Says on standard error what is no event of the run.
    func say(_ text: String)
    /// Takes away what is only drawn while something runs.
    func end()
}

extension RunPrinter {
    func say(_ text: String) { printError(text) }
    func end() {}
}

/// One JSON object per line on standard output.
struct JSONPrinter: RunPrinter {
    func handle(_ event: RunEvent) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let line = try? encoder.encode(event) else { return }
        print(String(decoding: line, as: UTF8.self))
        fflush(nil)
    }
}

/// Failures only.
struct QuietPrinter: RunPrinter {
    func handle(_ event: RunEvent) {
        if case .failed(let failure) = event { printError("error: \(Terminal.plain("\(failure)"))") }
    }
}

/// Lines for people: in a terminal a bar for each running node, elsewhere a plain line for each that is done.
final class ProgressPrinter: RunPrinter {
    private struct Running {
        var started = ContinuousClock.now
        var done = 0
        var total: Int?
        var unit = ""
        var note = ""
    }

    private struct State {
        var running: [(instance: InstanceID, state: Running)] = []
        var total = 0
        var finished = 0
        var bars = LiveLines()
        var lastDraw = ContinuousClock.now
        /// When it will be over by past timings, but for instances that never ran.
        var end: ContinuousClock.Instant?
        var unknown = 0
    }

    private let state = Locked(State())
    private let terminal = Terminal.output
    /// Draws when nothing is reported, too: time passes, the terminal changes its size. (Set once; any thread may use Dispatch's sources.)
    nonisolated(unsafe) private let timer: (any DispatchSourceTimer)?

    init() {
        timer = terminal.isInteractive ? DispatchSource.makeTimerSource() : nil
        timer?.schedule(deadline: .now(), repeating: .milliseconds(250), leeway: .milliseconds(50))
        timer?.setEventHandler { [weak self] in
            guard let self else { return }
            withState { if !$0.running.isEmpty { self.draw(&$0, force: false) } }
        }
        timer?.resume()
    }

    deinit { timer?.cancel() }

    private func withState(_ body: (inout State) -> Void) { LiveLines.inTurn { state.withLock(body) } }

    func handle(_ event: RunEvent) {
        withState { state in
            switch event {
            case .runStarted: state = State()
            case .total(let instances):
                state.total = instances
            case .started(let instance, let type, _, let reasons):
                state.running.append((instance, Running()))
                let reason = Terminal.plain(reasons.map(\.description).joined(separator: "; "))
                if !terminal.isInteractive { write(&state, "\(instance): \(type) started (\(reason))") }
                draw(&state, force: true)
            case .progress(let instance, let done, let total, let unit):
                guard let i = state.running.firstIndex(where: { $0.instance == instance }) else { return }
                state.running[i].state.done = done
                state.running[i].state.total = total
                state.running[i].state.unit = Terminal.plain(unit)
                draw(&state, force: false)
            case .log(let instance, let line):
                let line = Terminal.plain(line)
                if terminal.isInteractive, let i = state.running.firstIndex(where: { $0.instance == instance }) {
                    state.running[i].state.note = line
                    draw(&state, force: false)
                } else {
                    write(&state, "\(instance): \(line)")
                }
            case .waiting(let instance):
                write(&state, "\(instance): another process makes it; waiting")
            case .finished(let instance, _, let cached, let seconds, _, let bytes):
                state.running.removeAll { $0.instance == instance }
                state.finished += 1
                if !cached {
                    write(&state, "\(terminal.green("done")) \(instance)  \(durationText(seconds)), \(byteText(Int(bytes)))\(count(state))")
                }
            case .failed(let failure):
                state.running.removeAll { $0.instance == failure.instance }
                write(&state, "\(terminal.red("error:")) \(Terminal.plain("\(failure)"))")
            case .skipped(let instance, let because):
                if let because { write(&state, "\(terminal.yellow("skipped")) \(instance): it needs \(because)") }
            case .timeLeft(let seconds, let unknown):
                if state.end == nil, !terminal.isInteractive, seconds >= 5 {
                    write(&state, "about \(durationText(seconds)) by past timings" + (unknown > 0 ? ", and what \(unknown) take that never ran" : ""))
                }
                state.end = .now + .seconds(seconds)
                state.unknown = unknown
                draw(&state, force: false)
            case .warning(let text):
                write(&state, "\(terminal.yellow("warning:")) \(Terminal.plain(text))")
            case .collected(let report):
                write(&state, "the cache is kept to its size: \(report.removed) results removed, \(byteText(Int(report.keptBytes))) are left")
            case .runFinished(let summary):
                state.running = []
                write(&state, text(summary))
            }
        }
    }

    func say(_ text: String) {
        withState { state in
            state.bars.erase()
            fflush(nil)
            printError(text)
            draw(&state, force: true)
        }
    }

    func end() {
        withState { state in
            state.running = []
            state.bars.erase()
            fflush(nil)
        }
    }

    private func count(_ state: State) -> String { state.total > 0 ? terminal.dim("  [\(state.finished)/\(state.total)]") : "" }

    private func text(_ summary: RunSummary) -> String {
        var lines: [String] = []
        if summary.status == .done, summary.ran.isEmpty {
            lines.append("nothing to do: all \(summary.cached.count) results are cached (\(durationText(summary.seconds)))")
        } else {
            var line = "\(summary.ran.count) ran, \(summary.cached.count) cached"
            if !summary.failures.isEmpty { line += ", \(summary.failures.count) failed" }
            if !summary.stopped.isEmpty { line += ", \(summary.stopped.count) stopped" }
            if !summary.skipped.isEmpty { line += ", \(summary.skipped.count) skipped" }
            lines.append("\(line) in \(durationText(summary.seconds)) (run \(summary.run))")
        }
        for (name, paths) in summary.outputs.sorted(by: { $0.key < $1.key }) {
            lines.append("\(name): \(paths.joined(separator: ", "))")
        }
        return lines.joined(separator: "\n")
    }

    /// Prints lines above the bars.
    private func write(_ state: inout State, _ text: String) {
        state.bars.erase()
        print(text)
        draw(&state, force: true)
        fflush(nil)
    }

    private func draw(_ state: inout State, force: Bool) {
        guard terminal.isInteractive else { return }
        let now = ContinuousClock.now
        guard force || now - state.lastDraw > .milliseconds(80) else { return }
        state.lastDraw = now
        let (width, height) = terminal.size
        // What is scrolled off the screen could not be erased.
        var lines = state.running.prefix(max(height - 2, 0)).map { bar($0.instance, $0.state, now, width) }
        if let end = state.end, !state.running.isEmpty, end > now {
            let seconds = Double((end - now).components.seconds)
            let text = "\(state.finished)/\(state.total), \(state.unknown > 0 ? "more than" : "about") \(durationText(max(seconds, 1))) left"
            lines.append(terminal.dim(Terminal.line(text, columns: width - 1)))
        }
        state.bars.draw(lines)
        fflush(nil)
    }

    /// `skeleton  ████▌-----  53/106 frames  19.1/s  3 s left`
    private func bar(_ instance: InstanceID, _ running: Running, _ now: ContinuousClock.Instant, _ width: Int) -> String {
        let seconds = Double((now - running.started).components.seconds) + Double((now - running.started).components.attoseconds) * 1e-18
        var line = instance.description.padding(toLength: max(18, instance.description.count + 1), withPad: " ", startingAt: 0)
        if let total = running.total, total > 0 {
            let filled = min(20, running.done * 20 / total)
            line += String(repeating: "█", count: filled) + String(repeating: "░", count: 20 - filled) + "  \(running.done)/\(total) \(running.unit)"
            if running.done > 0, seconds > 0.5 {
                let rate = Double(running.done) / seconds
                line += String(format: "  %.1f/s", rate) + "  \(durationText(Double(total - running.done) / rate)) left"
            }
        } else {
            line += running.done > 0 ? "\(running.done) \(running.unit)  \(durationText(seconds))" : durationText(seconds)
        }
        if !running.note.isEmpty { line += "  \(running.note)" }
        return Terminal.line(line, columns: width - 1)
    }
}
