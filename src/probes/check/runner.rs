//! Runs commands of exec checks by the process room: each in a tree of its own, that is killed
//! when the command has ended, or when nobody waits for it any more.

use std::{
    collections::HashSet,
    convert::Infallible,
    ffi::OsString,
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, Interest, unix::AsyncFd},
    net::unix::pipe,
    runtime::Handle,
    sync::Notify,
};

use crate::{
    model::{ComponentId, Exit, RunId},
    probes::Task,
    process::{self, Child, Containment, Launch, Tree},
};

use super::{CommandEnd, CommandError, CommandRequest, Commands};

/// Builds the launch of a component anew, as for a start, with these ends for its standard output
/// and error. The executable, the arguments and the notify variables are replaced here.
pub type LaunchOf =
    Box<dyn Fn(RunId, &ComponentId, OwnedFd, OwnedFd) -> Result<Launch, String> + Send + Sync>;

/// [`Commands`] by the process room.
pub struct Runner {
    shared: Arc<Shared>,
}

struct Shared {
    containment: Containment,
    launch_of: LaunchOf,
    /// Tells the trees of two commands apart.
    serial: AtomicU64,
    /// Runs with a command that was killed and whose tree is not gone yet. Another one is not
    /// started meanwhile, or commands that cannot be killed would pile up.
    lingering: Mutex<HashSet<RunId>>,
    /// Tells that one of them is gone.
    buried: Notify,
}

/// How long a command that was killed may take to be gone before that is a failure.
const GRACE: Duration = Duration::from_secs(1);

/// A command that was started; dropping it kills what is left of its tree.
struct Running {
    /// None once it is being ended.
    parts: Option<(Child, Tree)>,
    /// Its leader has ended.
    ended: bool,
    run: RunId,
    shared: Arc<Shared>,
    runtime: Handle,
}

impl Runner {
    pub fn new(containment: Containment, launch_of: LaunchOf) -> Self {
        let shared = Shared {
            containment,
            launch_of,
            serial: AtomicU64::new(0),
            lingering: Mutex::default(),
            buried: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }
}

impl Commands for Runner {
    fn run(&self, request: CommandRequest) -> Task<Result<CommandEnd, CommandError>> {
        Box::pin(run(Arc::clone(&self.shared), request))
    }

    fn is_idle(&self) -> bool {
        self.shared.lingering().is_empty()
    }
}

async fn run(shared: Arc<Shared>, request: CommandRequest) -> Result<CommandEnd, CommandError> {
    let is_free = tokio::time::timeout(GRACE, shared.until_free(request.run)).await;
    if is_free.is_err() {
        let text = "the command of an earlier check was killed, but has not ended";
        return Err(CommandError(text.to_owned()));
    }
    let (read_end, write_end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|errno| cannot("make a pipe", &errno.into()))?;
    // A start can wait for a slow disk. If nobody waits for the answer any more, the command is
    // dropped, and thereby killed, as soon as it has been started.
    let starting = tokio::task::spawn_blocking(move || start(shared, request, write_end));
    let mut running = starting.await.map_err(|error| CommandError(error.to_string()))??;
    let mut output = pipe::Receiver::from_owned_fd(read_end)
        .map_err(|error| cannot("read its output", &error))?;
    let mut tail = Vec::new();
    let exit = tokio::select! {
        biased;
        exit = running.exit() => exit.map_err(|error| cannot("wait for its end", &error))?,
        never = drain(&mut output, &mut tail) => match never {},
    };
    // What it wrote last may still be in the pipe. Its end is not waited for: others may hold it.
    let mut rest = [0; CommandEnd::TAIL];
    while let Ok(count @ 1..) = output.try_read(&mut rest) {
        keep_tail(&mut tail, &rest[..count]);
    }
    Ok(CommandEnd { exit, output: tail })
}

fn start(
    shared: Arc<Shared>,
    request: CommandRequest,
    output: OwnedFd,
) -> Result<Running, CommandError> {
    let CommandRequest { run, id, command } = request;
    let mut words = command.into_iter();
    let executable = words.next().ok_or_else(|| CommandError("it is empty".to_owned()))?;
    let errors = output.try_clone().map_err(|error| cannot("make a pipe", &error))?;
    let mut launch = (shared.launch_of)(run, &id, output, errors).map_err(CommandError)?;
    launch.executable = PathBuf::from(executable);
    launch.arguments = words.map(OsString::from).collect();
    // A check is not the component: it must not speak for it.
    launch.environment.retain(|(name, _)| {
        name != "NOTIFY_SOCKET" && name != "WATCHDOG_USEC" && name != "WATCHDOG_PID"
    });
    let serial = shared.serial.fetch_add(1, Ordering::Relaxed);
    // Processes are known by the run that they belong to, so the command has one of its own: with
    // the component's, its end would be the component's. Starts count from below, commands from
    // above.
    let own_run = RunId(u64::MAX - serial);
    let name = ComponentId::new(&format!("probe-{run}-{serial}"));
    let name = name.map_err(|error| CommandError(error.to_string()))?;
    let mut tree = shared
        .containment
        .tree(&name, own_run)
        .map_err(|error| cannot("make a process tree", &error))?;
    let child = match process::spawn(&launch, Some(&mut tree)) {
        Ok(child) => child,
        Err(error) => {
            tree.remove();
            return Err(CommandError(error.to_string()));
        }
    };
    Ok(Running {
        parts: Some((child, tree)),
        ended: false,
        run,
        shared,
        runtime: Handle::current(),
    })
}

/// Reads for ever, and keeps what came last.
async fn drain(output: &mut pipe::Receiver, tail: &mut Vec<u8>) -> Infallible {
    let mut chunk = [0; CommandEnd::TAIL];
    while let Ok(count @ 1..) = output.read(&mut chunk).await {
        keep_tail(tail, &chunk[..count]);
    }
    std::future::pending().await
}

fn keep_tail(tail: &mut Vec<u8>, chunk: &[u8]) {
    tail.extend_from_slice(chunk);
    let excess = tail.len().saturating_sub(CommandEnd::TAIL);
    tail.drain(..excess);
}

fn cannot(what: &str, error: &io::Error) -> CommandError {
    CommandError(format!("cannot {what}: {error}"))
}

impl Running {
    async fn exit(&mut self) -> io::Result<Exit> {
        let Some((child, _)) = &self.parts else { return Ok(Exit::Unknown) };
        let exit = wait(child).await?;
        self.ended = true;
        Ok(exit)
    }
}

/// Waits until the process has ended.
async fn wait(child: &Child) -> io::Result<Exit> {
    let pidfd = child.as_fd().try_clone_to_owned()?;
    #[expect(deprecated, reason = "the descriptor is owned by what it is registered with")]
    let pidfd = AsyncFd::with_interest(pidfd, Interest::READABLE)?;
    loop {
        let mut ended = pidfd.readable().await?;
        if let Some(exit) = child.reap()? {
            return Ok(exit);
        }
        ended.clear_ready();
    }
}

impl Shared {
    /// Waits until nothing is left of the run's earlier command.
    async fn until_free(&self, run: RunId) {
        loop {
            let mut changed = pin!(self.buried.notified());
            // From here on, so that a change between the look and the wait is not missed.
            changed.as_mut().enable();
            if !self.lingering().contains(&run) {
                return;
            }
            changed.await;
        }
    }

    fn lingering(&self) -> MutexGuard<'_, HashSet<RunId>> {
        self.lingering.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bury(&self, run: RunId) {
        self.lingering().remove(&run);
        self.buried.notify_waiters();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some((child, mut tree)) = self.parts.take() else { return };
        // At once where that is cheap, or where the command is known to go on: the runtime may be
        // about to end. A failure shows in that the tree does not get empty.
        if tree.folder().is_some() || !self.ended {
            let _ = tree.kill();
        }
        self.shared.lingering().insert(self.run);
        let (shared, run) = (Arc::clone(&self.shared), self.run);
        self.runtime.spawn(async move {
            bury(child, tree).await;
            shared.bury(run);
        });
    }
}

/// Kills until nothing is left, as long as that may take.
async fn bury(child: Child, tree: Tree) {
    let mut pause = Duration::from_millis(2);
    let mut remains = Some((child, tree));
    while let Some((child, mut tree)) = remains.take() {
        // Without cgroups this looks through all processes: nothing for the engine's thread.
        let pass = tokio::task::spawn_blocking(move || {
            let _ = tree.kill();
            let _ = child.reap();
            if tree.is_empty() {
                tree.remove();
                return None;
            }
            Some((child, tree))
        });
        remains = pass.await.ok().flatten();
        if remains.is_some() {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }
}
