//! One request over one connection, whichever kind it is.

use std::{io, time::Duration};

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Request, Response,
    body::{Body, Bytes},
    client::conn::http1,
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::ServiceExt as _;

use super::{Client, ClientError, Endpoint, call::RawAnswer};

/// Larger answers are cut off: ten times a status of 10,000 components.
const LARGEST_ANSWER: usize = 64 << 20;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What every connection is to this room.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Asks, and takes the whole answer.
pub(super) async fn exchange(
    client: &Client,
    mut request: Request<Full<Bytes>>,
    limit: Duration,
) -> Result<RawAnswer, ClientError> {
    sign(client, &mut request)?;
    let endpoint = &client.inner.endpoint;
    let timed_out =
        |step, after| ClientError::TimedOut { target: client.target().to_owned(), step, after };
    if let Endpoint::InProcess(router) = endpoint {
        let answer = async {
            let request = request.map(axum::body::Body::new);
            let Ok(response) = router.clone().oneshot(request).await;
            understood(client, response).await
        };
        let answer = tokio::time::timeout(limit, answer).await;
        return answer.map_err(|_elapsed| timed_out("answer", limit))?;
    }
    let stream = tokio::time::timeout(Client::CONNECT_TIMEOUT, connect(endpoint))
        .await
        .map_err(|_elapsed| timed_out("take the connection", Client::CONNECT_TIMEOUT))?
        .map_err(|error| not_connected(client, &error))?;
    tokio::time::timeout(limit, over(client, stream, request))
        .await
        .map_err(|_elapsed| timed_out("answer", limit))?
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
        Endpoint::Unix(_) | Endpoint::InProcess(_) => "localhost".to_owned(),
    };
    let headers = request.headers_mut();
    headers.insert(header::HOST, value(&host)?);
    headers.insert(header::USER_AGENT, HeaderValue::from_static(super::PRODUCT));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
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
        Endpoint::InProcess(_) => return Err(io::ErrorKind::Unsupported.into()),
    })
}

/// The request over a fresh connection, which is driven here and closed with the answer.
async fn over(
    client: &Client,
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
) -> Result<RawAnswer, ClientError> {
    let broken = |error: &hyper::Error| ClientError::Unreachable {
        target: client.target().to_owned(),
        why: format!("the connection broke: {}", innermost(error)),
    };
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        understood(client, response).await
    };
    // The connection only moves while it is polled. When it ends first, what it has read is
    // already with the answer, which then ends as well.
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        _ended = connection => answer.await,
    }
}

async fn understood<B>(client: &Client, response: Response<B>) -> Result<RawAnswer, ClientError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (head, body) = response.into_parts();
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    match text(header::SERVER) {
        Some(server) if server.starts_with("s7supervisor/") => {
            client.saw_version(&server["s7supervisor/".len()..]);
        }
        other => {
            let who = other.unwrap_or("another program");
            return Err(client.protocol(&format!("{who} answers there, not a Supervisor")));
        }
    }
    let status = head.status.as_u16();
    let content_type = text(header::CONTENT_TYPE).map(str::to_owned);
    let body = Limited::new(body, LARGEST_ANSWER).collect().await;
    let body = body.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return client.protocol("the answer is larger than 64 MiB");
        }
        ClientError::Unreachable {
            target: client.target().to_owned(),
            why: format!("the connection broke within the answer: {}", innermost(&*error)),
        }
    })?;
    Ok(RawAnswer { status, content_type, body: body.to_bytes() })
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

/// The cause at the bottom, which says more than "error sending request".
fn innermost<'e>(error: &'e (dyn std::error::Error + 'static)) -> &'e dyn std::error::Error {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost
}
