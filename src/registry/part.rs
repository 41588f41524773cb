//! What a server or a profile says about a launch: every element of it, each optional.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::{
    Forward, Limits, Output, Probe, RestartPolicy, RestartWhen, StopSignal, Timestamps,
    decode::{
        Decoder, Expected, Outcome, boolean, cores, integer, octal, seconds, size, success_codes,
        word,
    },
    diagnostics::{Place, Problem, Text as Of},
    probe,
    tree::Element,
};
use crate::model::Shared;

/// Part of a launch. What is `None` or empty was not said (or was wrong, which has been told).
#[derive(Debug, Default)]
pub(super) struct Part {
    pub description: Option<String>,
    pub executable: Option<String>,
    /// An executable is there, be it right or wrong.
    pub names_executable: bool,
    pub working_directory: Option<PathBuf>,
    pub environment: BTreeMap<String, String>,
    pub environment_file: Option<PathBuf>,
    pub arguments: Vec<String>,
    pub operands: Vec<String>,
    pub start_priority: Option<i32>,
    pub start_delay: Option<Duration>,
    pub stop_timeout: Option<Duration>,
    pub stop_signal: Option<StopSignal>,
    pub stop_command: Option<Vec<String>>,
    pub depends_on: Vec<(String, Place)>,
    pub enabled: Option<bool>,
    pub restart: Option<Shared<RestartPolicy>>,
    pub ready: Option<Shared<Probe>>,
    pub health: Option<Shared<Probe>>,
    pub limits: Option<Shared<Limits>>,
    pub user: Option<String>,
    pub group: Option<String>,
    pub umask: Option<u32>,
    pub output: Option<OutputPart>,
}

/// `<output>`; the default log is known when the component's id is.
#[derive(Debug, Clone)]
pub(super) struct OutputPart {
    pub log: Option<PathBuf>,
    pub output: Output,
}

pub(super) fn decode(element: &Element<'_>, of: Of, decoder: &mut Decoder<'_>) -> Part {
    let mut part = Part::default();
    // One pass over what is there: most parts say little. Of what stands twice (which has been
    // told) the last counts.
    for child in &element.children {
        let given = |decoder: &mut Decoder<'_>| decoder.text(child, of);
        match child.name {
            "description" => part.description = given(decoder).map(|given| given.text),
            "executable" => {
                let program = given(decoder);
                part.names_executable = true;
                part.executable = decoder.program(program);
            }
            "workingDirectory" => {
                let folder = given(decoder);
                part.working_directory = decoder.path(folder);
            }
            "environment" => environment(child, of, &mut part, decoder),
            "arguments" => part.arguments = decoder.arguments(child, of),
            "operands" => part.operands = decoder.arguments(child, of),
            "startPriority" => {
                let priority = given(decoder);
                part.start_priority = decoder.read(priority, integer(-1_000_000_i32..=1_000_000));
            }
            "startDelay" => {
                let delay = given(decoder);
                part.start_delay = decoder.read(delay, seconds(0.0..=86_400.0));
            }
            "stopTimeout" => {
                let timeout = given(decoder);
                part.stop_timeout = decoder.read(timeout, seconds(0.0..=86_400.0));
            }
            "stopSignal" => {
                let signal = given(decoder);
                part.stop_signal = decoder.read(signal, stop_signal);
            }
            "stopCommand" => part.stop_command = decoder.command(child, of),
            "dependsOn" => {
                let reference = decoder.attribute(child, "ref", of);
                part.depends_on.extend(reference.map(|given| (given.text, given.place)));
            }
            "enabled" => {
                let enabled = given(decoder);
                part.enabled = decoder.read(enabled, boolean);
            }
            "restart" => part.restart = Some(restart(child, of, decoder).into()),
            "ready" => {
                part.ready =
                    probe::decode(child, probe::Kind::Ready, of, decoder).map(Shared::from);
            }
            "health" => {
                part.health =
                    probe::decode(child, probe::Kind::Health, of, decoder).map(Shared::from);
            }
            "limits" => part.limits = Some(limits(child, of, decoder).into()),
            "user" => {
                let user = given(decoder);
                part.user = decoder.words(user);
            }
            "group" => {
                let group = given(decoder);
                part.group = decoder.words(group);
            }
            "umask" => {
                let umask = given(decoder);
                part.umask = decoder.read(umask, octal);
            }
            "output" => part.output = Some(output(child, of, decoder)),
            // Profile references are read by their owner; unknown elements have been told.
            _ => {}
        }
    }
    if let (Some(signal), Some(_)) = (element.child("stopSignal"), element.child("stopCommand")) {
        decoder.problems.push(
            Problem::warning("<stopSignal> has no effect beside <stopCommand>")
                .at(Place { text: of, span: signal.name_span }, "no effect")
                .help("the command is run instead of the signal: remove one of the two"),
        );
    }
    part
}

const SIGNALS: &[(&str, StopSignal)] = &[
    ("TERM", StopSignal::Term),
    ("INT", StopSignal::Int),
    ("QUIT", StopSignal::Quit),
    ("HUP", StopSignal::Hup),
    ("USR1", StopSignal::Usr1),
    ("USR2", StopSignal::Usr2),
];

fn stop_signal(text: &str) -> Outcome<StopSignal> {
    word(SIGNALS)(text).map_err(|mut expected| {
        let short = text.strip_prefix("SIG");
        if let Some(short) = short.filter(|short| SIGNALS.iter().any(|(name, _)| name == short)) {
            expected.known = None;
            expected.help = Some(format!("write {short}"));
        }
        expected
    })
}

fn environment(element: &Element<'_>, of: Of, part: &mut Part, decoder: &mut Decoder<'_>) {
    let file = decoder.attribute(element, "file", of);
    part.environment_file = decoder.path(file);
    let mut first: BTreeMap<String, Place> = BTreeMap::new();
    for variable in element.children_named("variable") {
        let Some(name) = decoder.attribute(variable, "name", of) else { continue };
        let value = decoder.text(variable, of);
        if name.text.is_empty() || name.text.contains('=') {
            decoder.refuse(&name, Expected::label("expected a name without ="));
            continue;
        }
        if let Some(earlier) = first.get(&name.text) {
            decoder.problems.push(
                Problem::error(format!("the variable {} stands twice", name.text))
                    .at(name.place, "the second one")
                    .and(*earlier, "the first one"),
            );
            continue;
        }
        first.insert(name.text.clone(), name.place);
        if let Some(value) = value {
            part.environment.insert(name.text, value.text);
        }
    }
}

fn restart(element: &Element<'_>, of: Of, decoder: &mut Decoder<'_>) -> RestartPolicy {
    let mut attribute = |name| decoder.attribute(element, name, of);
    let [policy, delay, max_delay, reset_after, max_restarts, window, success_codes_given] =
        ["policy", "delay", "maxDelay", "resetAfter", "maxRestarts", "window", "successCodes"]
            .map(&mut attribute);
    let usual = RestartPolicy::default();
    let policies = word(&[
        ("always", RestartWhen::Always),
        ("on-failure", RestartWhen::OnFailure),
        ("never", RestartWhen::Never),
    ]);
    let a_day = 0.0..=86_400.0;
    let when = decoder.read(policy, policies).unwrap_or(usual.when);
    let delay = decoder.read(delay, seconds(a_day.clone())).unwrap_or(usual.delay);
    let most = decoder.read(max_delay.clone(), seconds(a_day.clone()));
    if let (Some(most), Some(given)) = (most, &max_delay)
        && most < delay
    {
        decoder.refuse(given, Expected::label("expected no less than delay"));
    }
    let max_restarts = decoder.read(max_restarts, integer(0..=1_000_000_u32));
    RestartPolicy {
        when,
        delay,
        // A long first delay is not cut short by a default.
        max_delay: most.unwrap_or(usual.max_delay.max(delay)),
        reset_after: decoder.read(reset_after, seconds(a_day)).unwrap_or(usual.reset_after),
        max_restarts: max_restarts.map_or(usual.max_restarts, |most| (most != 0).then_some(most)),
        window: decoder.read(window, seconds(1.0..=604_800.0)).unwrap_or(usual.window),
        success_codes: decoder.read(success_codes_given, success_codes).unwrap_or_default(),
    }
}

fn limits(element: &Element<'_>, of: Of, decoder: &mut Decoder<'_>) -> Limits {
    let mut child = |name| decoder.child(element, name, of);
    let [memory, memory_max, open_files, core, nice, oom, cpu, processes] =
        ["memory", "memoryMax", "openFiles", "core", "nice", "oomScoreAdjust", "cpu", "processes"]
            .map(&mut child);
    let core_size = |text: &str| match text {
        // RLIM_INFINITY.
        "unlimited" => Ok(u64::MAX),
        text => size(0..=1 << 50)(text).map_err(|mut expected| {
            expected.label.push_str(", or unlimited");
            expected
        }),
    };
    Limits {
        memory: decoder.read(memory, size(1 << 20..=1 << 50)),
        memory_max: decoder.read(memory_max, size(1 << 20..=1 << 50)),
        open_files: decoder.read(open_files, integer(16..=1 << 30)),
        core: decoder.read(core, core_size),
        nice: decoder.read(nice, integer(-20..=19)),
        oom_score_adjust: decoder.read(oom, integer(-1000..=1000)),
        cpu: decoder.read(cpu, cores),
        processes: decoder.read(processes, integer(1..=4_194_304)),
    }
}

fn output(element: &Element<'_>, of: Of, decoder: &mut Decoder<'_>) -> OutputPart {
    let timestamps = decoder.attribute(element, "timestamps", of);
    let forward = decoder.attribute(element, "forward", of);
    let mut child = |name| decoder.child(element, name, of);
    let [log, max_size, keep_days, keep_files, keep_size, compress] =
        ["log", "maxSize", "keepDays", "keepFiles", "keepSize", "compress"].map(&mut child);
    let stamps = word(&[
        ("none", Timestamps::None),
        ("rfc3339", Timestamps::Rfc3339),
        ("json", Timestamps::Json),
    ]);
    let daemons = word(&[
        ("none", None),
        ("syslog", Some(Forward::Syslog)),
        ("journald", Some(Forward::Journald)),
    ]);
    let usual = Output::usual();
    let keep_files = decoder.read(keep_files, integer(0..=100_000_u32));
    OutputPart {
        log: decoder.path(log),
        output: Output {
            timestamps: decoder.read(timestamps, stamps).unwrap_or_default(),
            max_size: decoder.read(max_size, size(1 << 10..=1 << 40)).unwrap_or(usual.max_size),
            keep_days: decoder.read(keep_days, integer(1..=3_650)).unwrap_or(usual.keep_days),
            keep_files: keep_files.filter(|&files| files != 0),
            keep_size: decoder.read(keep_size, size(1 << 10..=1 << 50)),
            forward: decoder.read(forward, daemons).flatten(),
            compress: decoder.read(compress, boolean).unwrap_or(usual.compress),
            ..usual
        },
    }
}

impl Output {
    /// Everything but the log's path, which the component's id gives.
    pub(super) fn usual() -> Self {
        Self {
            log: PathBuf::new(),
            timestamps: Timestamps::None,
            max_size: 100 << 20,
            keep_days: 14,
            keep_files: None,
            keep_size: None,
            compress: false,
            forward: None,
        }
    }
}
