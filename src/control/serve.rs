//! The listeners: who is accepted, for how long, and how it ends.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body, http::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tower::ServiceExt as _;

use super::{
    PRODUCT,
    access::Access,
    guard::{self, Peer},
    patient::Patient,
    routes,
    seats::{Seat, Seats},
    token::Tokens,
};
use crate::{
    runtime::Handle,
    wire::{Problem, ProblemCode},
};

/// Connections that are being told that there are too many; further ones are just closed.
const MOST_REFUSALS: usize = 16;
/// How long a client that is refused may take to ask; it is told in any case.
const REFUSAL_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of a request's line and headers together.
const LARGEST_HEADERS: usize = 16 << 10;
/// For the headers to arrive, counted from the accept or from the end of the last answer: it
/// also ends connections that are kept alive and idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// For answers under way when the server shuts down.
const FAREWELL: Duration = Duration::from_secs(1);
/// For the first request of a client that came in just before.
const FIRST_WORD: Duration = Duration::from_millis(100);
/// After an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Where to listen.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The Unix socket, in a folder made by [`super::prepare_folder`]. None: no socket.
    pub socket: Option<PathBuf>,
    /// A group (name or number) whose members may use the socket too.
    pub group: Option<String>,
    /// Port on 127.0.0.1; 0 takes any free one. None: no TCP.
    pub tcp_port: Option<u16>,
    /// Where the token files of the TCP port are, or are made.
    pub token_folder: PathBuf,
}

/// Listening sockets, beyond the life of a server: whoever connects while none serves waits in
/// their queues.
#[derive(Debug, Default)]
pub struct Listeners {
    pub socket: Option<OwnedFd>,
    pub tcp: Option<OwnedFd>,
}

/// Why the API cannot be served. Nothing listens then.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot bind the control socket {}: {source}", path.display())]
    Socket { path: PathBuf, source: io::Error },
    #[error("cannot bind the control port 127.0.0.1:{port}: {}", in_use(source, *holder))]
    Port { port: u16, holder: Option<u32>, source: io::Error },
    #[error("{0}")]
    Token(io::Error),
}

impl From<ServeError> for io::Error {
    fn from(error: ServeError) -> Self {
        let (ServeError::Socket { source, .. }
        | ServeError::Port { source, .. }
        | ServeError::Token(source)) = &error;
        Self::new(source.kind(), error)
    }
}

/// The API being served, until [`Server::shutdown`] or the drop of this value.
#[derive(Debug)]
pub struct Server {
    open: Router,
    tcp_address: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    listeners: JoinSet<()>,
    kept: Listeners,
    #[cfg(unix)]
    file: Option<super::socket::SocketFile>,
}

/// What a listener gives every connection.
#[derive(Clone)]
struct Hall {
    router: Router,
    seats: Seats,
    refusals: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

/// Binds and serves in tasks of the current tokio runtime.
pub fn serve(options: &Options, handle: Handle) -> Result<Server, ServeError> {
    serve_with(options, handle, Listeners::default())
}

/// As [`serve`], with the listeners of a server before, as far as they are what is asked for.
pub fn serve_with(
    options: &Options,
    handle: Handle,
    before: Listeners,
) -> Result<Server, ServeError> {
    let (stop, stopped) = watch::channel(false);
    let seats = Seats::new();
    let open = routes::routes(handle).layer(axum::Extension(seats.clone()));
    let hall = |router: &Router| Hall {
        router: routes::finish(router.clone()),
        seats: seats.clone(),
        refusals: Arc::new(Semaphore::new(MOST_REFUSALS)),
        stop: stopped.clone(),
    };
    let mut listeners = JoinSet::new();
    let mut kept = Listeners::default();

    let mut tcp_address = None;
    let tcp = match options.tcp_port {
        Some(port) => {
            let tokens =
                Tokens::load_or_create(&options.token_folder).map_err(ServeError::Token)?;
            let known = before.tcp.and_then(|known| resume_tcp(known, port));
            let (listener, address) = known.map_or_else(|| bind_tcp(port), Ok)?;
            tcp_address = Some(address);
            kept.tcp = listener.as_fd().try_clone_to_owned().ok();
            Some((listener, Arc::new(tokens)))
        }
        None => None,
    };
    // The last step that can fail, so a failure leaves no socket behind.
    #[cfg(unix)]
    let mut file = None;
    #[cfg(unix)]
    if let Some(path) = &options.socket {
        let (listener, its_file) = bind_socket(path, options.group.as_deref(), before.socket)
            .map_err(|source| ServeError::Socket { path: path.clone(), source })?;
        file = Some(its_file);
        kept.socket = listener.as_fd().try_clone_to_owned().ok();
        listeners.spawn(accept_unix(listener, hall(&open)));
    }
    if let Some((listener, tokens)) = tcp {
        let guarded =
            open.clone().layer(axum::middleware::from_fn_with_state(tokens, guard::guard));
        listeners.spawn(accept_tcp(listener, hall(&guarded)));
    }
    Ok(Server {
        open,
        tcp_address,
        stop,
        listeners,
        kept,
        #[cfg(unix)]
        file,
    })
}

impl Server {
    /// The same API for a client inside the process, with this access.
    pub fn router(&self, access: Access) -> Router {
        routes::finish(self.open.clone().layer(axum::Extension(access)))
    }

    /// Where TCP is served: the port that was taken where 0 was asked for.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp_address
    }

    /// Copies of the listeners, for whoever keeps them beyond the life of this process; once.
    pub fn take_listeners(&mut self) -> Listeners {
        std::mem::take(&mut self.kept)
    }

    /// As [`shutdown`](Self::shutdown), but for somebody who goes on with the listeners: the
    /// socket's file stays, and who connects meanwhile waits.
    pub async fn suspend(mut self) {
        #[cfg(unix)]
        std::mem::forget(self.file.take());
        self.shutdown().await;
    }

    /// Accepts no more, lets answers under way end for a second at most, then closes everything
    /// and removes the socket.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        while self.listeners.join_next().await.is_some() {}
    }
}

impl fmt::Debug for Hall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hall").finish_non_exhaustive()
    }
}

fn bind_tcp(port: u16) -> Result<(TcpListener, SocketAddr), ServeError> {
    let bind = || {
        let socket = tokio::net::TcpSocket::new_v4()?;
        // Connections of a Supervisor that has just ended must not keep the next one waiting.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
        let listener = socket.listen(128)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bind().map_err(|source: io::Error| {
        let taken = source.kind() == io::ErrorKind::AddrInUse;
        ServeError::Port { port, holder: taken.then(|| holder(port)).flatten(), source }
    })
}

#[cfg(target_os = "linux")]
fn holder(port: u16) -> Option<u32> {
    super::occupant::of_port(port)
}

#[cfg(not(target_os = "linux"))]
fn holder(_port: u16) -> Option<u32> {
    None
}

fn in_use(source: &io::Error, holder: Option<u32>) -> String {
    match holder {
        Some(pid) => format!("in use by pid {pid}"),
        None => source.to_string(),
    }
}

/// The listener of a server before, if it is at this port.
fn resume_tcp(known: OwnedFd, port: u16) -> Option<(TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::from(known);
    let address = listener.local_addr().ok()?;
    let is_same = address.ip() == Ipv4Addr::LOCALHOST && (port == 0 || address.port() == port);
    listener.set_nonblocking(true).ok().filter(|()| is_same)?;
    Some((TcpListener::from_std(listener).ok()?, address))
}

#[cfg(unix)]
fn bind_socket(
    path: &Path,
    group: Option<&str>,
    before: Option<OwnedFd>,
) -> io::Result<(tokio::net::UnixListener, super::socket::SocketFile)> {
    let group = group.map(super::folder::group_id).transpose()?;
    let resumed = before.and_then(|known| super::socket::resume(path, group, known));
    let bound = resumed.map_or_else(|| super::socket::bind(path, group), Ok)?;
    let (listener, file) = bound.into_parts();
    Ok((tokio::net::UnixListener::from_std(listener)?, file))
}

#[cfg(unix)]
async fn accept_unix(listener: tokio::net::UnixListener, hall: Hall) {
    let accept = || async {
        let (stream, _address) = listener.accept().await?;
        let peer = stream.peer_cred()?;
        let access = Access::full(crate::model::Via::Socket {
            uid: peer.uid(),
            gid: peer.gid(),
            pid: peer.pid(),
            user: None, // looked up for those who change something
        });
        Ok((stream, access))
    };
    hall.welcome(accept, |seats, access| seats.local(access.pid())).await;
}

async fn accept_tcp(listener: TcpListener, hall: Hall) {
    let accept = || async {
        let (stream, address) = listener.accept().await?;
        prepare(&stream)?;
        Ok((stream, Peer(address)))
    };
    hall.welcome(accept, |seats, _peer| seats.remote()).await;
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    // An answer is one write; waiting to fill a packet only delays it.
    stream.set_nodelay(true)
}

impl Hall {
    /// Accepts until the server stops, then sees the guests off.
    async fn welcome<S, P, F>(
        mut self,
        mut accept: impl FnMut() -> F,
        seat: impl Fn(&Seats, &P) -> Option<Seat>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        P: Clone + Send + Sync + 'static,
        F: Future<Output = io::Result<(S, P)>>,
    {
        let mut guests = JoinSet::new();
        let mut stop = self.stop.clone();
        loop {
            tokio::select! {
                () = stopped(&mut stop) => break,
                Some(_gone) = guests.join_next() => {}
                accepted = accept() => match accepted {
                    Ok((stream, mark)) => {
                        let seat = seat(&self.seats, &mark);
                        self.place(&mut guests, seat, stream, mark);
                    }
                    // One client that broke off, or no descriptors for now: the next may do.
                    Err(error) if is_about_one_client(&error) => {}
                    Err(_exhausted) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
            }
        }
        // The guests learn of it by themselves; this is for those that take no notice.
        let _ =
            tokio::time::timeout(FAREWELL, async { while guests.join_next().await.is_some() {} })
                .await;
    }

    fn place<S, P>(&mut self, guests: &mut JoinSet<()>, seat: Option<Seat>, stream: S, mark: P)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        P: Clone + Send + Sync + 'static,
    {
        if let Some(seat) = seat {
            let (stop, limit) = (self.stop.clone(), seat.limit);
            let conversation = converse(stream, mark, self.router.clone(), stop, limit);
            guests.spawn(async move {
                conversation.await;
                drop(seat);
            });
        } else if let Ok(place) = Arc::clone(&self.refusals).try_acquire_owned() {
            guests.spawn(async move {
                refuse(stream).await;
                drop(place);
            });
        }
    }
}

/// Returns when the server stops, or is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Returns when the time is over; never, where there is no limit.
async fn passed(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

fn is_about_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, InvalidInput,
        NotConnected,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | Interrupted
            | InvalidInput
            | NotConnected
    )
}

/// Serves one connection: `mark` is put on each of its requests.
pub(super) async fn converse<S, P>(
    stream: S,
    mark: P,
    router: Router,
    mut stop: watch::Receiver<bool>,
    limit: Option<Duration>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    P: Clone + Send + Sync + 'static,
{
    let (tell_asked, mut asked) = watch::channel(false);
    let service = service_fn(move |mut request: Request<Incoming>| {
        tell_asked.send_replace(true);
        request.extensions_mut().insert(mark.clone());
        router.clone().oneshot(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_header_size(LARGEST_HEADERS)
        .max_buf_size(LARGEST_HEADERS)
        .serve_connection(TokioIo::new(Patient::new(stream)), service);
    tokio::pin!(connection);
    // How it ended concerns the client alone: whatever it did, it is gone.
    tokio::select! {
        _ended = &mut connection => return,
        () = stopped(&mut stop) => {}
        () = passed(limit) => {}
    }
    // Who has just come in is heard out: cut off, he could not know whether he was heard.
    if !*asked.borrow() {
        tokio::select! {
            _ended = &mut connection => return,
            _asked = tokio::time::timeout(FIRST_WORD, asked.wait_for(|asked| *asked)) => {}
        }
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(FAREWELL, connection).await;
}

/// Tells a client that there are too many, whatever it wants, as soon as it asks.
async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let problem = Problem::new(
        ProblemCode::TooManyConnections,
        "all connections are taken: close some, or try again in a moment",
    );
    let body = serde_json::to_string(&problem).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nserver: {PRODUCT}\r\n\
         content-type: application/problem+json\r\ncontent-length: {}\r\n\
         retry-after: 1\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let farewell = async {
        let mut rest = [0; 1024];
        // Some clients take an answer that comes before they have asked for a broken connection.
        if let Ok(read) = tokio::time::timeout(REFUSAL_PAUSE, stream.read(&mut rest)).await {
            read?;
        }
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // Closing with something unread would reset the connection and take the answer away.
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}
