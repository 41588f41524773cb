//! From the registry to a running Supervisor, and to its end.

use std::{
    collections::HashMap,
    fmt, io,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::unix::AsyncFd,
    sync::{mpsc, oneshot},
};

use super::{
    alerting::Alerting,
    beginning::take_up,
    births::Births,
    clock,
    dossiers::Desk,
    driver::{Driver, End, Inputs, Turn},
    ending::{finish, tell_end},
    guarding::{Guarding, Successor},
    handle::Handle,
    handover::{Handover, Left},
    history::Chronicle,
    holds::HoldFile,
    journal,
    launch::pipes_folder,
    limits::LimitWatch,
    links,
    lock::{Lock, LockError},
    metrics::ToldCpu,
    notify::ServiceManager,
    publish::Publisher,
    recall,
    recording::Recorded,
    samples::Samples,
    signals::{Signals, Wishes},
    spawner::Spawner,
    tallies::Tallies,
    telling::Telling,
    upgrade::{Progress, Upgrade},
};
use crate::{
    control,
    events::EventLog,
    guardian::{self, DescriptorStore as _, Inheritance, Kept, Link, Stores},
    logs::{
        self, Logs,
        trace::{Beside, Trace},
    },
    model::ComponentId,
    premises,
    probes::{Commands, Probes, Runner, Services},
    process::{self, Containment, Level, Watcher},
    registry::{self, LoadError, Registry, Sources},
};

/// How long a thread that may wait for files stays without work. Longer than from one sample of the history
/// to the next: so one of them always lives, and no others do for long. A pool without any panics when the
/// kernel makes no thread (`pids.max`), which is when an operator wants to look.
const HELPER_WAITS: Duration = Duration::from_secs(90);

/// Open while each component runs: its two pipes and its pidfd.
const DESCRIPTORS: usize = 3;

/// What else there is: files, sockets, clients.
const OWN_DESCRIPTORS: usize = 100;

/// Names in the runtime folder.
pub(super) const PENDING_EVENTS: &str = "events.pending";
pub(super) const IN_HAND: &str = "in-hand";

/// What a Supervisor is started with.
pub struct EngineOptions {
    /// Absolute.
    pub install_folder: PathBuf,
    pub registry_file: PathBuf,
    pub sources: Sources,
    /// Events go to standard error, too.
    pub foreground_log: bool,
    /// No other means of holding process trees than this one.
    pub containment: Option<Level>,
    /// The arguments to execute ourselves with at a restart in place. Asked for when everything has
    /// ended, just before: whoever else is in this process ends then.
    pub arguments: Box<dyn FnMut() -> Vec<std::ffi::OsString>>,
    /// Every input is written down here, for a replay.
    pub record: Option<PathBuf>,
    /// Where the engine is not alone in its process.
    pub embedding: Option<Embedding>,
    /// What engines before this one left: taken up before anything is started.
    pub inheritance: Inheritance,
    /// Who keeps descriptors for the one after this, beside the guardian.
    pub stores: Stores,
    /// What another program left that was in this process before.
    pub handover: Option<Handover>,
    /// Who starts the next engine should this one die.
    pub guardian: Option<Arc<Link>>,
    /// How such a one is made where there is none, or no more.
    pub successor: Option<Successor>,
}

/// A program that has the engine in it, beside something of its own (the console).
pub struct Embedding {
    /// Called once, on the engine's thread, when the API is served. Must not block.
    pub on_ready: Box<dyn FnOnce(&control::Server)>,
    /// `SIGHUP` means a reload only from when this is told: a terminal that goes away sends it
    /// too. Until then whoever embeds us handles it.
    pub owns_hangup: oneshot::Receiver<()>,
    /// Gets every event that the trace log gets.
    pub events: Option<Beside>,
}

/// Where the registry is and how it is read.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub install_folder: PathBuf,
    pub registry_file: PathBuf,
    pub sources: Sources,
}

/// Why the Supervisor did not start, or did not end well.
#[derive(Debug)]
pub enum EngineError {
    Registry(LoadError),
    AlreadyRunning {
        pid: Option<u32>,
        folder: PathBuf,
    },
    /// The runtime folder, or something in it, cannot be used.
    Folder {
        path: PathBuf,
        source: io::Error,
    },
    Control(control::ServeError),
    Leftovers(String),
    /// Something that the kernel refused.
    System {
        what: &'static str,
        source: io::Error,
    },
    /// Everything was asked to end, and these did not.
    Left(Vec<ComponentId>),
    /// The restart in place did not come off; nothing runs now.
    Restart(io::Error),
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(error) => error.fmt(f),
            Self::AlreadyRunning { pid, folder } => {
                let who = match pid {
                    Some(pid) => format!("with pid {pid} "),
                    None => String::new(),
                };
                write!(
                    f,
                    "cannot start: a Supervisor {who}already runs for this registry (it holds {}); \
                     ask it with `s7supervisor status`, end it with `s7supervisor stop`",
                    folder.join(Lock::NAME).display()
                )
            }
            Self::Folder { path, source } => {
                write!(f, "cannot use the runtime folder {}: {source}", path.display())
            }
            Self::Control(error) => error.fmt(f),
            Self::Leftovers(text) => f.write_str(text),
            Self::System { what, source } => write!(f, "cannot {what}: {source}"),
            Self::Left(ids) => {
                let names: Vec<&str> = ids.iter().map(ComponentId::as_str).collect();
                write!(
                    f,
                    "cannot end {}: killed, but not gone; the next Supervisor will know of it",
                    names.join(", ")
                )
            }
            Self::Restart(error) => {
                write!(f, "cannot execute the Supervisor anew: {error}; every component is stopped")
            }
        }
    }
}

impl std::error::Error for EngineError {}

/// Runs a Supervisor until it has ended. Blocks; makes its own runtime. The caller has put its
/// process in order with [`process::hygiene`], before it had threads.
///
/// At a restart in place this does not return: the process executes itself anew.
pub fn run(options: EngineOptions) -> Result<(), EngineError> {
    process::use_one_heap();
    let place = Place {
        install_folder: options.install_folder,
        registry_file: options.registry_file,
        sources: options.sources,
    };
    let loaded = premises::load(&place.registry_file, &place.install_folder, &place.sources);
    let (loaded, open) = loaded.map_err(EngineError::Registry)?;
    let registry = Arc::new(loaded.registry);
    process::reserve_descriptors(OWN_DESCRIPTORS + DESCRIPTORS * registry.components.len());

    let trace = Trace::new(registry.config.trace_level, options.foreground_log);
    let mut embedding = options.embedding;
    let beside = embedding.as_mut().and_then(|embedding| embedding.events.take());
    // Somebody else's already (tests of the library): events go there then.
    let _installed_before = trace.install(beside);
    for warning in &loaded.warnings {
        tracing::warn!(warning = warning.message(), "the registry");
    }
    for finding in open {
        tracing::warn!(%finding, "open to other users");
    }

    let temp = registry.config.temp.clone();
    let folder = |source| EngineError::Folder { path: temp.clone(), source };
    control::prepare_folder(&temp, registry.config.control_group.as_deref()).map_err(folder)?;
    tests_wish("start");
    let mut inheritance = options.inheritance;
    let passed = options.handover.map(|handover| {
        inheritance.kept.extend(handover.kept);
        handover.left
    });
    let stores = options.stores;
    let lock = match inheritance.take(guardian::name::LOCK) {
        Some(lock) => Lock::inherit(&temp, lock),
        None => Lock::take(&temp),
    };
    let lock = lock.map_err(|error| match error {
        LockError::Held { pid } => EngineError::AlreadyRunning { pid, folder: temp.clone() },
        LockError::Io(source) => EngineError::Folder { path: temp.clone(), source },
    })?;
    stores.set_guardian(options.guardian);
    stores.keep(guardian::name::LOCK, lock.as_fd());
    // Nothing of the folder that we happen to be in is to be kept from being unmounted.
    let _stays_where_it_is = std::env::set_current_dir(&place.install_folder);

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(8)
        .thread_keep_alive(HELPER_WAITS)
        .build()
        .map_err(|source| EngineError::System { what: "make the event loop", source })?;
    let mut arguments = options.arguments;
    let is_handed_over = options.successor.as_ref().is_none_or(|one| one.is_handed_over);
    let legacy = Legacy {
        inheritance,
        stores: stores.clone(),
        successor: options.successor,
        lock: lock.as_fd().try_clone_to_owned().ok(),
        passed,
    };
    let how = How { containment: options.containment, record: options.record };
    let engine = supervise(place, registry, trace, how, embedding, legacy, &mut *arguments);
    let end = runtime.block_on(engine);
    runtime.shutdown_timeout(Duration::from_secs(1));
    let restarts = end.as_ref().is_ok_and(|end| end.restart);
    let guardian = stores.guardian().filter(|link| !link.is_broken());
    let handed_over = guardian.as_ref().filter(|_| restarts && is_handed_over).map(Arc::clone);
    // An engine that fails has ended nothing: what is kept is for the next one.
    if let Some(link) = guardian.filter(|_| handed_over.is_none() && end.is_ok()) {
        link.farewell();
    }
    stores.clear();
    drop(lock);
    let end = end?;
    if end.restart {
        let mut arguments = arguments();
        if let Some(Ok(number)) = handed_over.map(Link::leave_open) {
            arguments.push(format!("--guarded={number}").into());
        }
        return Err(EngineError::Restart(process::execute_self(&arguments)));
    }
    if end.left.is_empty() { Ok(()) } else { Err(EngineError::Left(end.left)) }
}

/// What was asked for beside the place.
struct How {
    containment: Option<Level>,
    record: Option<PathBuf>,
}

/// What comes from the engine before, and the way to the one after.
struct Legacy {
    inheritance: Inheritance,
    stores: Stores,
    passed: Option<Left>,
    successor: Option<Successor>,
    lock: Option<OwnedFd>,
}

impl Legacy {
    fn guarding(&mut self) -> io::Result<Guarding> {
        let mut guarding = Guarding::new(self.stores.guardian(), self.successor.take())?;
        guarding.held.extend(self.lock.take().map(|lock| (guardian::name::LOCK, lock)));
        Ok(guarding)
    }
}

async fn supervise(
    place: Place,
    registry: Arc<Registry>,
    trace: Trace,
    how: How,
    embedding: Option<Embedding>,
    mut legacy: Legacy,
    arguments: &mut dyn FnMut() -> Vec<std::ffi::OsString>,
) -> Result<End, EngineError> {
    let system = |what| move |source| EngineError::System { what, source };
    let temp = registry.config.temp.clone();
    let (on_ready, owns_hangup) =
        embedding.map(|embedding| (embedding.on_ready, embedding.owns_hangup)).unzip();
    let signals = Signals::listen(owns_hangup).map_err(system("listen to signals"))?;

    let left = legacy.passed.as_mut();
    let (logs, log_thread, logs_inbox) =
        start_logs(&temp, left, legacy.stores.clone()).map_err(system("start the log thread"))?;
    // There is one from now on, whatever the kernel says later.
    drop(tokio::task::spawn_blocking(|| ()));
    trace.attach(&logs, &registry.config.log, registry.config.keep_days);
    trace_start(&place, &registry);

    let containment = contain(&temp, how.containment);
    let folder = |source| EngineError::Folder { path: temp.clone(), source };
    let opened = recall::open(&temp, &containment, &registry);
    let (remembered, journal, recalled) = opened.map_err(folder)?;
    let (hold_file, holds) = HoldFile::open(&temp).map_err(folder)?;

    let (spawner, nursery) = Spawner::start(logs.clone(), containment.clone(), pipes_folder(&temp))
        .map_err(system("start the spawner thread"))?;
    let (watcher, ended) = watch().map_err(system("watch processes"))?;

    let configs = initial_configs(&registry);
    let commands = runner(&containment, &configs);
    let (probe_notices, probes_inbox) = mpsc::channel(1024);
    let probes = Probes::new(probe_notices, services(&commands, &logs, &temp));

    let (handle, messages) = Handle::channel_above(Left::last_update(legacy.passed.as_ref()) + 1);
    let (internal, internal_inbox) = mpsc::unbounded_channel();
    let supervisor = begin(&registry, &remembered, how.record.as_deref())?;
    let manager = ServiceManager::from_environment(legacy.stores.clone());
    let guarding = legacy.guarding().map_err(system("listen to the guardian"))?;
    let now = clock::now();
    let mut driver = Driver {
        place,
        supervisor,
        running: HashMap::with_capacity(registry.components.len()),
        watcher,
        births: Births::new(spawner),
        logs,
        trace,
        probes,
        commands,
        configs,
        containment,
        journal,
        hold_file,
        desk: Desk::new(&registry.config.log),
        samples: Samples::default(),
        limits: LimitWatch::new(),
        history: Chronicle::new(&registry.config.log),
        tallies: Tallies::default(),
        told_cpu: ToldCpu::default(),
        publisher: Publisher::new(handle.updates().clone()),
        telling: Telling::new(open_events(&registry), remembered.next_run),
        alerting: Alerting::new(&registry),
        next_watchdog: manager.watchdog.map(|_| now),
        manager,
        internal,
        waiters: HashMap::new(),
        stop_commands: HashMap::new(),
        loose_ends: super::loose_ends::LooseEnds::default(),
        ends: legacy.inheritance.ends.iter().copied().collect(),
        stores: legacy.stores,
        guarding,
        wishes: Wishes::default(),
        facts: Vec::new(),
        is_crowd: false,
        gone: Vec::new(),
        unneeded: Vec::new(),
        boot: None,
        started: now,
        told: String::new(),
        end: None,
        tidy: super::tidy::Tidy::default(),
        next_statistics: registry.config.trace_stats_interval.map(|every| now.after(every)),
        progress: Progress::default(),
        upgrades: 0,
        checks_made: 0,
    };
    // Before anything is started: nothing runs that could not be asked about. Questions wait
    // until the loop begins.
    let (config, again) = (&registry.config, handle.clone());
    let server = serve(config, handle, &mut legacy.inheritance, &mut driver)?;
    if let Some(on_ready) = on_ready {
        on_ready(&server);
    }
    driver.restore_holds(holds);
    let known = (&remembered, &recalled);
    take_up(&mut driver, known, legacy.inheritance, legacy.passed).await?;
    let inputs = Inputs {
        messages,
        nursery,
        probes: probes_inbox,
        logs: logs_inbox,
        internal: internal_inbox,
        ended,
        signals,
    };
    let (server, end) = work(&mut driver, inputs, server, &again, arguments).await?;
    tell_end(&mut driver, &end);
    server.shutdown().await;
    finish(driver, log_thread, &temp).await;
    Ok(end)
}

/// Until everything has ended; or this program has, and another goes on in its place.
async fn work(
    driver: &mut Driver,
    mut inputs: Inputs,
    mut server: control::Server,
    handle: &Handle,
    arguments: &mut dyn FnMut() -> Vec<std::ffi::OsString>,
) -> Result<(control::Server, End), EngineError> {
    loop {
        match driver.run(&mut inputs).await {
            Turn::End(end) => return Ok((server, end)),
            Turn::Upgrade(upgrade) => {
                server = hand_over(driver, &mut inputs, server, upgrade, handle, arguments).await?;
            }
        }
    }
}

/// Another program goes on from here. Returns only if that did not come off.
async fn hand_over(
    driver: &mut Driver,
    inputs: &mut Inputs,
    server: control::Server,
    mut upgrade: Box<Upgrade>,
    handle: &Handle,
    arguments: &mut dyn FnMut() -> Vec<std::ffi::OsString>,
) -> Result<control::Server, EngineError> {
    driver.announce_upgrade(&mut upgrade);
    driver.publish(clock::now());
    let begun = clock::now();
    // Streams end, and their readers come back.
    driver.publisher.updates.hand_over();
    let mut suspended = std::pin::pin!(server.suspend());
    loop {
        tokio::select! {
            () = &mut suspended => break,
            Some(message) = inputs.messages.recv() => driver.handle_message(message),
            Some(internal) = inputs.internal.recv() => driver.handle_internal(internal),
        }
    }
    driver.publisher.updates.fall_silent();
    let guardian = driver.stores.guardian().filter(|link| !link.is_broken());
    let successor = driver.guarding.successor.as_ref();
    let is_handed_over = successor.is_none_or(|one| one.is_handed_over);
    let with_guardian = || {
        let mut arguments = arguments();
        match guardian {
            Some(link) if is_handed_over => {
                if let Ok(number) = link.leave_open() {
                    arguments.push(format!("--guarded={number}").into());
                }
            }
            // The program that follows makes one of its own.
            Some(link) => link.farewell(),
            None => {}
        }
        arguments
    };
    let why = driver.replace_program(inputs, &upgrade, begun, with_guardian).await;
    driver.publisher.updates.reopen();
    let mut before = Inheritance::default();
    let listens = |name: &str| [guardian::name::CONTROL, guardian::name::TCP].contains(&name);
    for (name, descriptor) in driver.guarding.held.extract_if(.., |(name, _)| listens(name)) {
        before.kept.push(Kept { name: name.to_owned(), descriptor });
    }
    let registry = Arc::clone(driver.supervisor.registry());
    let server = serve(&registry.config, handle.clone(), &mut before, driver)?;
    driver.upgrade_failed(&upgrade, &why);
    Ok(server)
}

fn runner(containment: &Containment, configs: &super::driver::Configs) -> Arc<dyn Commands> {
    Arc::new(Runner::new(containment.clone(), links::launch_beside(Arc::clone(configs))))
}

/// What tells that processes ended, and what becomes readable then.
fn watch() -> io::Result<(Watcher, AsyncFd<OwnedFd>)> {
    let watcher = Watcher::new()?;
    let ended = process::readable(watcher.as_fd().try_clone_to_owned()?)?;
    Ok((watcher, ended))
}

/// The pure supervisor, with a record of its inputs where one was asked for.
fn begin(
    registry: &Arc<Registry>,
    remembered: &journal::State,
    record: Option<&Path>,
) -> Result<Recorded, EngineError> {
    Recorded::begin(registry, remembered.next_run, fastrand::u64(..), record)
        .map_err(|source| EngineError::System { what: "begin the record of inputs", source })
}

fn services(commands: &Arc<dyn Commands>, logs: &Logs, temp: &Path) -> Services {
    Services {
        commands: Arc::clone(commands),
        lines: Arc::new(links::Lines(logs.clone())),
        members: Arc::new(links::Belonging),
        notify_folder: temp.join("notify"),
        seed: fastrand::u64(..),
    }
}

/// With the listeners of the engine before: who has connected meanwhile is answered now.
fn serve(
    config: &registry::Config,
    handle: Handle,
    inheritance: &mut Inheritance,
    driver: &mut Driver,
) -> Result<control::Server, EngineError> {
    use guardian::name::{CONTROL, TCP};
    let before =
        control::Listeners { socket: inheritance.take(CONTROL), tcp: inheritance.take(TCP) };
    let server = control::serve_with(&control_options(config), handle, before);
    let mut server = server.map_err(EngineError::Control)?;
    let control::Listeners { socket, tcp } = server.take_listeners();
    for (name, listener) in [(CONTROL, socket), (TCP, tcp)] {
        match listener {
            Some(listener) => {
                driver.stores.keep(name, listener.as_fd());
                driver.guarding.held.push((name, listener));
            }
            None => driver.stores.forget(name),
        }
    }
    Ok(server)
}

fn control_options(config: &registry::Config) -> control::Options {
    control::Options {
        socket: Some(config.temp.join(control::SOCKET_NAME)),
        group: config.control_group.clone(),
        tcp_port: config.tcp_port,
        token_folder: config.temp.clone(),
    }
}

fn contain(temp: &Path, forced: Option<Level>) -> Containment {
    let containment = Containment::probe(&tree_name(temp), forced);
    match containment.reason() {
        None => tracing::info!("process trees are held by cgroups: nothing escapes"),
        Some(reason) => tracing::warn!(reason, "process trees are held without cgroups"),
    }
    containment
}

fn trace_start(place: &Place, registry: &Registry) {
    tracing::info!(
        version = process::version(), pid = std::process::id(),
        registry = %place.registry_file.display(), components = registry.components.len(),
        "the Supervisor starts"
    );
}

/// The log thread, and what it will tell.
fn start_logs(
    temp: &Path,
    passed: Option<&mut Left>,
    stores: Stores,
) -> io::Result<(Logs, logs::LogThread, mpsc::Receiver<logs::Notice>)> {
    let (notices, inbox) = mpsc::channel(1024);
    let sink =
        move |notice| notices.try_send(notice).map_err(mpsc::error::TrySendError::into_inner);
    let mut options = logs::Options::new(Box::new(sink));
    options.numbers = Some(temp.join("log-numbers"));
    options.open_lines =
        passed.map(|left| std::mem::take(&mut left.open_lines)).unwrap_or_default();
    options.stores = stores;
    options.in_hand = Some(temp.join(IN_HAND));
    let (logs, thread) = Logs::start(options)?;
    Ok((logs, thread, inbox))
}

/// A panic at a test's wish; debug builds alone have it.
pub(super) fn tests_wish(place: &str) {
    let is_wished = std::env::var("S7_TEST_PANIC").is_ok_and(|wish| wish == place);
    assert!(!(cfg!(debug_assertions) && is_wished), "the engine was told to panic: {place}");
}

/// Beside the trace log.
fn open_events(registry: &Registry) -> EventLog {
    let (log, error) = EventLog::open(&registry.config.log);
    if let Some(error) = error {
        tracing::error!(%error, "the log of events cannot be used; tried again with each event");
    }
    let pending = registry.config.temp.join(PENDING_EVENTS);
    if let Err(error) = log.note_in(&pending) {
        tracing::warn!(%error, path = %pending.display(), "events that a kill would take are not noted");
    }
    log
}

fn initial_configs(registry: &Registry) -> super::driver::Configs {
    let configs = registry.components.iter();
    let configs = configs.map(|component| (component.id.clone(), Arc::clone(component.arc())));
    Arc::new(std::sync::Mutex::new(configs.collect()))
}

/// The same for every Supervisor of one runtime folder, and for no other.
pub fn tree_name(temp: &Path) -> String {
    let real = temp.canonicalize().unwrap_or_else(|_| temp.to_owned());
    format!("{:08x}", crc32fast::hash(real.as_os_str().as_encoded_bytes()))
}
