//! One ssh process, as a connection.

use std::{
    ffi::OsString,
    io,
    pin::Pin,
    process::Stdio,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    sync::oneshot,
    time::timeout,
};

use super::verdict;
use crate::client::ClientError;

/// For ssh to end by itself, once nothing more is said to it.
const FAREWELL: Duration = Duration::from_millis(500);
/// For ssh to say why, once its connection has broken.
const EXPLANATION: Duration = Duration::from_secs(2);
/// Bytes of standard error that are kept: the end, where the reason stands.
const WORDS: usize = 4096;

/// The connection. Its drop ends the process.
#[derive(Debug)]
pub(in crate::client) struct Pipe {
    /// None once it is shut down.
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    /// Its end is what the task that watches the process waits for.
    _held: oneshot::Sender<()>,
}

/// Why the connection of a [`Pipe`] broke, as far as ssh or the other side says.
#[derive(Debug)]
pub(in crate::client) struct Trouble {
    target: String,
    ended: oneshot::Receiver<Ended>,
}

/// How an ssh process ended, and its last words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    /// None: by a signal.
    pub(super) code: Option<i32>,
    pub(super) words: String,
}

pub(super) fn start(
    program: &OsString,
    arguments: &[OsString],
    target: String,
) -> io::Result<(Pipe, Trouble)> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let (held, released) = oneshot::channel();
    let (sender, ended) = oneshot::channel();
    tokio::spawn(async move {
        let _nobody_asks = sender.send(watch(child, stderr, released).await);
    });
    Ok((Pipe { stdin: Some(stdin), stdout, _held: held }, Trouble { target, ended }))
}

/// Sees the process to its end, and reaps it.
async fn watch(mut child: Child, stderr: ChildStderr, released: oneshot::Receiver<()>) -> Ended {
    let words = tokio::spawn(last_words(stderr));
    let status = tokio::select! {
        status = child.wait() => status.ok(),
        _ = released => match timeout(FAREWELL, child.wait()).await {
            Ok(status) => status.ok(),
            Err(_elapsed) => {
                let _gone = child.kill().await;
                None
            }
        }
    };
    // What it left behind may hold its standard error open; its own words are here by then.
    let words = timeout(FAREWELL, words).await.ok().and_then(Result::ok).unwrap_or_default();
    Ended { code: status.and_then(|status| status.code()), words }
}

/// Takes all that it says, so that it is never held up, and keeps the end of it.
async fn last_words(mut stderr: ChildStderr) -> String {
    let mut kept = Vec::new();
    let mut chunk = [0; 1024];
    while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..count]);
        let surplus = kept.len().saturating_sub(WORDS);
        kept.drain(..surplus);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

impl Trouble {
    /// The reason behind `error`, where ssh gives one.
    pub(in crate::client) async fn explain(&mut self, error: ClientError) -> ClientError {
        match timeout(EXPLANATION, &mut self.ended).await {
            Ok(Ok(ended)) => verdict::of(&self.target, &ended).unwrap_or(error),
            Ok(Err(_)) | Err(_) => error,
        }
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(context, buffer)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_write(context, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_flush(context),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Closed, the pipe ends: ssh tells the other side.
        self.stdin = None;
        Poll::Ready(Ok(()))
    }
}
