//! The registry as the rest of the program sees it: typed, complete, validated.
//!
//! Every value is final: settings are replaced, profiles merged, defaults filled in, relative
//! paths joined to the install folder. Two registries that mean the same compare equal, which
//! is what `reload` relies on.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::model::{ComponentId, Shared};

/// A whole registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Registry {
    /// The file that it was read from.
    pub file: PathBuf,
    /// The folder that relative paths are relative to.
    pub install_folder: PathBuf,
    pub config: Config,
    /// In the order of the file. Ids are unique.
    pub components: Vec<Shared<Component>>,
}

/// `<config>`: the Supervisor's own settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Control port on 127.0.0.1; `None` (0 in the file, or no element): no TCP.
    pub tcp_port: Option<u16>,
    /// Base path of the Supervisor's trace log; the date is put before the suffix.
    pub log: PathBuf,
    /// The runtime folder: socket, tokens, lock, journal, pipes.
    pub temp: PathBuf,
    pub trace_level: TraceLevel,
    /// How often memory statistics are traced, 5 s to 86,400 s; `None`: never.
    pub trace_stats_interval: Option<Duration>,
    /// Trace logs older than this many days are deleted; 1 to 3,650, default 14.
    pub keep_days: u32,
    /// Members of this group may use the control socket too (mode 0660).
    pub control_group: Option<String>,
    /// Bound on starts of all components together within a minute; `None` (0): no bound.
    pub starts_per_minute: Option<u32>,
    pub leftovers: Leftovers,
    pub notify: Vec<Notify>,
}

/// `SV::tracelevel`: 1 errors, 2 what happens (default), 3 and 4 debugging.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TraceLevel(pub u8);

/// What to do at start with processes that an earlier Supervisor of this registry left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Leftovers {
    /// Take them over where they are certain to be ours and the registry still has them.
    #[default]
    Adopt,
    /// End them, then start anew.
    Stop,
    /// Do not start; name them.
    Refuse,
}

/// `<notify>`: whom to tell about what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notify {
    /// Words of the `event` attribute: `failed`, `unhealthy`, `recovered`, `restarts`.
    pub events: Vec<String>,
    /// Messages are collected over this time.
    pub interval: Duration,
    /// For `restarts`: more than this many within `within` are told.
    pub restarts: u32,
    pub within: Duration,
    pub targets: Vec<NotifyTarget>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotifyTarget {
    Webhook {
        /// `http://` or `https://`; it may hold a secret in any of its parts.
        url: String,
    },
    Mail(MailTarget),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailTarget {
    pub host: String,
    pub port: u16,
    pub from: String,
    /// At least one.
    pub to: Vec<String>,
    pub tls: MailTls,
    /// Who we are to the server, where it asks.
    pub user: Option<String>,
    /// Holds the password of `user` in its first line; read at each message.
    pub password_file: Option<PathBuf>,
}

/// How the way to a mail server is kept private.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MailTls {
    /// By STARTTLS where the server offers it, whoever it is; with `user` as `Starttls`, on port
    /// 465 as `Implicit`.
    #[default]
    Auto,
    /// By STARTTLS with a certificate that is valid, or not at all.
    Starttls,
    /// From the first byte.
    Implicit,
    Never,
}

/// One `<server>`: a component to supervise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Component {
    pub id: ComponentId,
    pub description: String,
    /// An absolute path, or a bare name to be found on the component's own `PATH`.
    pub executable: PathBuf,
    /// Everything after the executable, in its final order.
    pub arguments: Vec<String>,
    pub working_directory: PathBuf,
    /// Added to (and overriding) the Supervisor's environment.
    pub environment: BTreeMap<String, String>,
    /// `environment file="…"`: `NAME=value` lines read at each start; they stand below
    /// `environment`.
    pub environment_file: Option<PathBuf>,
    /// Lower starts earlier.
    pub start_priority: i32,
    /// Alive this long counts as running, where there is no readiness check.
    pub start_delay: Duration,
    pub stop: Shared<StopPolicy>,
    pub depends_on: Vec<ComponentId>,
    /// Started together with the Supervisor.
    pub enabled: bool,
    pub restart: Shared<RestartPolicy>,
    pub ready: Option<Shared<Probe>>,
    pub health: Option<Shared<Probe>>,
    pub limits: Shared<Limits>,
    /// Name or number; needs a Supervisor that is root.
    pub user: Option<String>,
    pub group: Option<String>,
    /// Permission bits, 0 to 0o777.
    pub umask: Option<u32>,
    pub output: Shared<Output>,
}

/// How a component is stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StopPolicy {
    /// From the polite request to the kill of the whole tree.
    pub timeout: Duration,
    pub signal: StopSignal,
    /// Run instead of the signal: executable and arguments.
    pub command: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopSignal {
    #[default]
    Term,
    Int,
    Quit,
    Hup,
    Usr1,
    Usr2,
}

/// What an end without request leads to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestartPolicy {
    pub when: RestartWhen,
    /// First delay of the exponential back-off; zero: no delay ever.
    pub delay: Duration,
    pub max_delay: Duration,
    /// Stable for this long, a component is forgiven its past.
    pub reset_after: Duration,
    /// More restarts than this within `window` end in *failed*; `None` (0): no limit.
    pub max_restarts: Option<u32>,
    pub window: Duration,
    /// Exit codes that count as success, beside 0.
    pub success_codes: Vec<i32>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartWhen {
    #[default]
    Always,
    OnFailure,
    Never,
}

/// `<ready>` or `<health>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    pub check: Check,
    /// From the end of one check to the start of the next.
    pub interval: Duration,
    /// For one check; for `notify` and `log` readiness: for the whole wait.
    pub timeout: Duration,
    /// Consecutive failures until the verdict.
    pub failures: u32,
    /// Consecutive successes until the verdict is taken back.
    pub successes: u32,
    /// From the start of the process: failures within it do not count.
    pub start_period: Duration,
    /// Intervals vary by this share to both sides, from 0 to 1.
    pub jitter: f64,
}

impl Probe {
    /// The usual `jitter`.
    pub const JITTER: f64 = 0.05;
}

/// A header by name, and a regular expression that its value must match.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeaderMatch {
    pub name: String,
    pub pattern: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Check {
    Tcp {
        host: String,
        port: u16,
    },
    Http {
        url: String,
        status: Vec<std::ops::RangeInclusive<u16>>,
        /// A header that the answer must have.
        header: Option<HeaderMatch>,
        /// A regular expression that the body of the answer must match.
        body: Option<String>,
    },
    Exec {
        command: Vec<String>,
    },
    /// A regular expression that a line of the component's output matches.
    Log {
        pattern: String,
    },
    /// The systemd notification protocol.
    Notify,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Resident bytes of the whole tree; above it the component is restarted.
    pub memory: Option<u64>,
    pub open_files: Option<u64>,
    /// Bytes of a core file.
    pub core: Option<u64>,
    /// -20 to 19.
    pub nice: Option<i32>,
    /// -1000 to 1000.
    pub oom_score_adjust: Option<i32>,
    /// Cores (1.5 is one and a half), where the cgroup controller is delegated.
    pub cpu: Option<f64>,
    /// Bytes of memory of the whole tree that the kernel does not let it pass, where the cgroup
    /// controller is delegated.
    pub memory_max: Option<u64>,
    /// Processes of the tree, where the cgroup controller is delegated.
    pub processes: Option<u64>,
}

/// Where a component's output goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// Base path: `logs/ID.log` is written as `logs/ID-2026-11-22.log`.
    pub log: PathBuf,
    pub timestamps: Timestamps,
    /// A file that grows beyond it is rotated within the day.
    pub max_size: u64,
    pub keep_days: u32,
    /// `None`: by days alone.
    pub keep_files: Option<u32>,
    /// Bytes of all its files together; `None`: by days and files alone.
    pub keep_size: Option<u64>,
    pub compress: bool,
    /// Lines go there as well.
    pub forward: Option<Forward>,
}

/// A log daemon of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Forward {
    /// `/dev/log`
    Syslog,
    /// `/run/systemd/journal/socket`
    Journald,
}

/// What is put before each line in the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Timestamps {
    /// Nothing: the file holds the component's bytes as they are.
    #[default]
    None,
    /// RFC 3339 in local time with milliseconds, and the stream.
    Rfc3339,
    /// Each line as a JSON object.
    Json,
}

impl StopSignal {
    /// The name that the registry uses: `TERM`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Int => "INT",
            Self::Quit => "QUIT",
            Self::Hup => "HUP",
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
        }
    }
}

impl RestartPolicy {
    /// Whether an exit with this code is a success.
    pub fn is_success(&self, code: i32) -> bool {
        code == 0 || self.success_codes.contains(&code)
    }
}

impl Default for RestartPolicy {
    /// Section 3.4: always, 0.1 s, 60 s, 60 s, 10 in 600 s.
    fn default() -> Self {
        Self {
            when: RestartWhen::Always,
            delay: Duration::from_millis(100),
            max_delay: Duration::from_mins(1),
            reset_after: Duration::from_mins(1),
            max_restarts: Some(10),
            window: Duration::from_mins(10),
            success_codes: Vec::new(),
        }
    }
}

impl Default for StopPolicy {
    fn default() -> Self {
        Self { timeout: Duration::from_mins(1), signal: StopSignal::Term, command: None }
    }
}

impl Component {
    /// It says itself how it is, by the notification protocol.
    pub fn speaks(&self) -> bool {
        let checks = [&self.ready, &self.health].into_iter().flatten();
        checks.into_iter().any(|probe| probe.check == Check::Notify)
    }

    /// A component with every default, for tests and for programs that build a registry.
    pub fn new(id: ComponentId, executable: impl Into<PathBuf>) -> Self {
        let log = PathBuf::from(format!("logs/{id}.log"));
        Self {
            id,
            description: String::new(),
            executable: executable.into(),
            arguments: Vec::new(),
            working_directory: PathBuf::from("."),
            environment: BTreeMap::new(),
            environment_file: None,
            start_priority: 1,
            start_delay: Duration::ZERO,
            stop: Shared::default(),
            depends_on: Vec::new(),
            enabled: true,
            restart: Shared::default(),
            ready: None,
            health: None,
            limits: Shared::default(),
            user: None,
            group: None,
            umask: None,
            output: Shared::from(Output {
                log,
                timestamps: Timestamps::None,
                max_size: 100 << 20,
                keep_days: 14,
                keep_files: None,
                keep_size: None,
                compress: false,
                forward: None,
            }),
        }
    }
}
