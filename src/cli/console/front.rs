//! The process that the shell waits for: it starts the one that has the console, and waits.
//!
//! It ends with a byte from there, which is its exit status: the console has been left and the
//! engine goes on. Or that process ends, and it passes the status on. Whatever asks *us* alone to
//! end is told to the other; and should the other be killed, the terminal is given back from here.

use std::{
    io::{self, Read, Write},
    os::{
        fd::AsRawFd,
        unix::{net::UnixStream, process::CommandExt, process::ExitStatusExt},
    },
    process::{Child, Command, ExitStatus},
    sync::Arc,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::FdFlags,
    process::{Pid, Signal},
};
use signal_hook::{consts, low_level::pipe};

use crate::{
    cli::{Context, exit::Failure},
    console::terminal::tty::Restore,
    process,
};

/// The front was asked to end: so is the one behind it.
pub const END: u8 = b'T';
/// The front was told that the terminal is gone.
pub const HANGUP: u8 = b'H';

/// What becomes of everything should the process behind us be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Successor {
    /// The Supervisor goes on, headless.
    GoesOn,
    EndsAll,
}

/// The process behind us.
struct Behind {
    child: Child,
    successor: Successor,
    terminal: Arc<Restore>,
}

/// Runs the same command behind us. Does not return when it succeeds or ends by itself: the exit
/// status is the other's.
pub fn run(context: &Context, successor: Successor) -> Result<(), Failure> {
    let cannot = |what: &str, error: io::Error| Failure::failed(format!("cannot {what}: {error}"));
    let terminal = Restore::of_terminal().map_err(|error| {
        cannot("take over the terminal", error)
            .and("bring it to the foreground, or give --plain, which needs no terminal")
    })?;
    let (ours, theirs) = UnixStream::pair().map_err(|error| cannot("make a socket", error))?;
    let asked = Asked::listen().map_err(|error| cannot("listen to signals", error))?;
    process::ignore_job_control();
    let child =
        start(&theirs).map_err(|error| cannot("start the process of the console", error))?;
    drop(theirs);
    let behind = Behind { child, successor, terminal };
    let code = wait(context, &ours, &asked, behind)
        .map_err(|error| cannot("wait for the process of the console", error))?;
    std::process::exit(code)
}

/// This command once more, with the same arguments, group and terminal.
#[expect(
    clippy::disallowed_methods,
    reason = "it shares our group and terminal, which a component never does; no thread runs yet"
)]
fn start(theirs: &UnixStream) -> io::Result<Child> {
    rustix::io::fcntl_setfd(theirs, FdFlags::empty())?;
    let mut arguments = std::env::args_os();
    let mut command = Command::new(std::env::current_exe()?);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).arg(format!("--front={}", theirs.as_raw_fd())).spawn()
}

fn wait(
    context: &Context,
    ours: &UnixStream,
    asked: &Asked,
    mut behind: Behind,
) -> io::Result<i32> {
    let child = &mut behind.child;
    loop {
        let mut watched = [
            PollFd::new(ours, PollFlags::IN),
            PollFd::new(&asked.end, PollFlags::IN),
            PollFd::new(&asked.hangup, PollFlags::IN),
            PollFd::new(&asked.quit, PollFlags::IN),
        ];
        match poll(&mut watched, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let [answer, end, hangup, quit] = watched.map(|one| !one.revents().is_empty());
        // One byte for each signal: the second means more than the first.
        for (came, pipe, word) in [(end, &asked.end, END), (hangup, &asked.hangup, HANGUP)] {
            let mut byte = [0];
            if came && matches!((&mut &*pipe).read(&mut byte), Ok(1)) {
                let _it_ends_already = (&mut &*ours).write_all(&[word]);
            }
        }
        if quit {
            let mut byte = [0];
            let _one = (&mut &asked.quit).read(&mut byte);
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            if let Some(pid) = pid {
                // Not reaped yet, so the number is still its own.
                let _it_ends_already = rustix::process::kill_process(pid, Signal::QUIT);
            }
        }
        if answer {
            let mut code = [0];
            match (&mut &*ours).read(&mut code) {
                Ok(1) => return Ok(code[0].into()),
                Ok(_) => {
                    let status = child.wait()?;
                    return Ok(ended(context, status, &behind));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The exit status for the shell.
fn ended(context: &Context, status: ExitStatus, behind: &Behind) -> i32 {
    if let Some(code) = status.code() {
        return code;
    }
    let signal = status.signal().unwrap_or_default();
    // It had no time to give the terminal back itself.
    behind.terminal.now();
    let command = context.place.command();
    let what =
        format!("the process of the console and the Supervisor was killed by signal {signal}");
    if behind.successor == Successor::EndsAll {
        context.ui.error(format_args!("{what}; its guardian ends everything"));
        return 128 + signal;
    }
    match successor(context) {
        Some(pid) => context.ui.error(format_args!(
            "{what}; its guardian has started the Supervisor again, headless, as pid {pid}: the \
             components go on, and `{command} console` attaches to it"
        )),
        None => context.ui.error(format_args!(
            "{what}; the components go on, and the next Supervisor takes them over (`{command} \
             console`, or start)"
        )),
    }
    128 + signal
}

/// The Supervisor that goes on, if one answers soon.
fn successor(context: &Context) -> Option<u32> {
    let client = context.place.client().ok()?;
    let asks = async {
        let mut tries = 0..100;
        loop {
            if let Ok(status) = client.status().await {
                break Ok(Some(status.supervisor.pid));
            }
            if tries.next().is_none() {
                break Ok(None);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    crate::cli::block_on(asks).ok().flatten()
}

/// Signals to the front, a byte for each.
struct Asked {
    end: UnixStream,
    hangup: UnixStream,
    quit: UnixStream,
}

impl Asked {
    fn listen() -> io::Result<Self> {
        let on = |signals: &[i32]| {
            let (receiver, sender) = UnixStream::pair()?;
            for signal in signals {
                pipe::register(*signal, sender.try_clone()?)?;
            }
            io::Result::Ok(receiver)
        };
        Ok(Self {
            end: on(&[consts::SIGTERM, consts::SIGINT])?,
            hangup: on(&[consts::SIGHUP])?,
            quit: on(&[consts::SIGQUIT])?,
        })
    }
}
