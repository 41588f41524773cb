//! One request over one connection, whichever kind it is.

use std::{io, time::Duration};

use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::ServiceExt as _;

use super::{
    Client, ClientError, Endpoint,
    answer::{Answering, Driven, innermost},
    call::RawAnswer,
    ssh::Trouble,
};

/// What every connection is to this room.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A way to the Supervisor that is open.
enum Way {
    Router(axum::Router),
    Wire(Box<dyn Stream>, Option<Trouble>),
}

/// Asks, and takes the whole answer.
pub(super) async fn exchange(
    client: &Client,
    request: Request<Full<Bytes>>,
    limit: Duration,
) -> Result<RawAnswer, ClientError> {
    let (way, request) = prepare(client, request).await?;
    let limit = limit.saturating_add(login_time(client));
    let answer = async { ask(client, way, request).await?.whole().await };
    tokio::time::timeout(limit, answer).await.map_err(|_elapsed| late(client, "answer", limit))?
}

/// Asks, and takes the head of the answer: its body comes as it is taken. A refusal is an error.
pub(super) async fn open(
    client: &Client,
    request: Request<Full<Bytes>>,
    limit: Duration,
) -> Result<Answering, ClientError> {
    let (way, request) = prepare(client, request).await?;
    let limit = limit.saturating_add(login_time(client));
    let answer = async {
        let answering = ask(client, way, request).await?;
        if answering.status < 400 {
            return Ok(answering);
        }
        let refused = answering.whole().await?;
        Err(client.refusal(&refused).unwrap_or_else(|| client.protocol("it refused and did not")))
    };
    tokio::time::timeout(limit, answer).await.map_err(|_elapsed| late(client, "answer", limit))?
}

fn late(client: &Client, step: &'static str, after: Duration) -> ClientError {
    ClientError::TimedOut { target: client.target().to_owned(), step, after }
}

/// What a login may take on top of the answer.
fn login_time(client: &Client) -> Duration {
    match &client.inner.endpoint {
        Endpoint::Ssh(ssh) => ssh.login_time(),
        Endpoint::Unix(_) | Endpoint::Tcp { .. } | Endpoint::InProcess(_) => Duration::ZERO,
    }
}

/// The signed request, and the way that it goes.
async fn prepare(
    client: &Client,
    mut request: Request<Full<Bytes>>,
) -> Result<(Way, Request<Full<Bytes>>), ClientError> {
    sign(client, &mut request)?;
    let way = match &client.inner.endpoint {
        Endpoint::InProcess(router) => Way::Router(router.clone()),
        Endpoint::Ssh(ssh) => {
            let (pipe, trouble) = ssh.connect().map_err(|error| no_ssh(client, &error))?;
            Way::Wire(Box::new(pipe), Some(trouble))
        }
        endpoint => {
            let limit = Client::CONNECT_TIMEOUT;
            let stream = tokio::time::timeout(limit, connect(endpoint))
                .await
                .map_err(|_elapsed| late(client, "take the connection", limit))?
                .map_err(|error| not_connected(client, &error))?;
            Way::Wire(stream, None)
        }
    };
    Ok((way, request))
}

/// The headers that say where to and who asks.
fn sign(client: &Client, request: &mut Request<Full<Bytes>>) -> Result<(), ClientError> {
    let value = |text: &str| {
        HeaderValue::from_str(text)
            .map_err(|_invalid| client.protocol(&format!("{text:?} cannot stand in a header")))
    };
    let mut token_value = None;
    let host = match &client.inner.endpoint {
        Endpoint::Tcp { host, port, token } => {
            if let Some(token) = token {
                let mut bearer = HeaderValue::from_str(&format!("Bearer {token}"))
                    .map_err(|_invalid| client.protocol("the token has characters no token has"))?;
                bearer.set_sensitive(true);
                token_value = Some(bearer);
            }
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
        }
        Endpoint::Unix(_) | Endpoint::Ssh(_) | Endpoint::InProcess(_) => "localhost".to_owned(),
    };
    let headers = request.headers_mut();
    headers.insert(header::HOST, value(&host)?);
    headers.insert(header::USER_AGENT, HeaderValue::from_static(super::PRODUCT));
    let json = HeaderValue::from_static("application/json");
    headers.entry(header::ACCEPT).or_insert(json);
    headers.insert("x-s7-client", value(&client.inner.name)?);
    if let Some(ssh) = &client.inner.ssh {
        headers.insert("x-s7-ssh", value(ssh)?);
    }
    if let Some(token) = token_value {
        headers.insert(header::AUTHORIZATION, token);
    }
    Ok(())
}

async fn connect(endpoint: &Endpoint) -> io::Result<Box<dyn Stream>> {
    Ok(match endpoint {
        #[cfg(unix)]
        Endpoint::Unix(path) => {
            let path = crate::control::socket::ShortPath::of(path)?;
            Box::new(tokio::net::UnixStream::connect(path.as_path()).await?)
        }
        #[cfg(not(unix))]
        Endpoint::Unix(_) => return Err(io::ErrorKind::Unsupported.into()),
        Endpoint::Tcp { host, port, .. } => {
            let stream = tokio::net::TcpStream::connect((host.as_str(), *port)).await?;
            // One small request, one small answer: waiting to fill a packet only delays.
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
        Endpoint::Ssh(_) | Endpoint::InProcess(_) => {
            return Err(io::ErrorKind::Unsupported.into());
        }
    })
}

/// The request over a fresh connection, which lives as long as the answer.
async fn ask(
    client: &Client,
    way: Way,
    request: Request<Full<Bytes>>,
) -> Result<Answering, ClientError> {
    let (stream, trouble) = match way {
        Way::Router(router) => {
            let Ok(response) = router.oneshot(request.map(axum::body::Body::new)).await;
            return Answering::new(client, response, None, None);
        }
        Way::Wire(stream, trouble) => (stream, trouble),
    };
    let asked = over(client, stream, request).await;
    match (asked, trouble) {
        (Ok((response, connection)), trouble) => {
            Answering::new(client, response, connection, trouble)
        }
        (Err(error), Some(mut trouble)) => Err(trouble.explain(error).await),
        (Err(error), None) => Err(error),
    }
}

/// The head of the answer over this stream, and the connection that brings the rest.
async fn over(
    client: &Client,
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
) -> Result<(Response<Incoming>, Option<Driven>), ClientError> {
    let broken = |error: &hyper::Error| ClientError::Unreachable {
        target: client.target().to_owned(),
        why: format!("the connection broke: {}", innermost(error)),
    };
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    let mut connection = Box::pin(connection);
    let mut response = Box::pin(sender.send_request(request));
    // The connection only moves while it is polled. When it ends first, what it has read is
    // already with the answer, which then ends as well.
    let (response, connection) = tokio::select! {
        response = &mut response => (response, Some(connection)),
        _ended = &mut connection => (response.await, None),
    };
    let response = response.map_err(|error| broken(&error))?;
    let connection = connection.map(|connection| {
        let driven = async move {
            let _told_by_the_body = connection.await;
            drop(sender);
        };
        Box::pin(driven) as Driven
    });
    Ok((response, connection))
}

fn no_ssh(client: &Client, error: &io::Error) -> ClientError {
    let why = format!("cannot run ssh: {error}; S7_SSH names another one");
    ClientError::Unreachable { target: client.target().to_owned(), why }
}

fn not_connected(client: &Client, error: &io::Error) -> ClientError {
    use io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};
    let target = client.target().to_owned();
    let unix = matches!(client.inner.endpoint, Endpoint::Unix(_));
    match error.kind() {
        NotFound if unix => ClientError::NotRunning { target, why: "there is no socket".into() },
        ConnectionRefused if unix => {
            ClientError::NotRunning { target, why: "nobody listens at the socket it left".into() }
        }
        ConnectionRefused => ClientError::NotRunning { target, why: "nobody listens there".into() },
        PermissionDenied => ClientError::NotPermitted {
            target,
            why: "the socket is open to its owner, root and the control group only".into(),
        },
        _ => ClientError::Unreachable { target, why: error.to_string() },
    }
}

/// A bare connection to the control socket, for whoever hands bytes on.
#[cfg(unix)]
pub fn dial(socket: &std::path::Path) -> Result<std::os::unix::net::UnixStream, ClientError> {
    let connected = crate::control::socket::ShortPath::of(socket)
        .and_then(|path| std::os::unix::net::UnixStream::connect(path.as_path()));
    let client = Client::new(Endpoint::Unix(socket.to_owned()), "dial");
    connected.map_err(|error| not_connected(&client, &error))
}
