//! A webhook: one POST of JSON over a connection of its own. Redirects are not followed, since
//! a message may only go where the registry says.

use std::{pin::pin, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{reasons, tls};
use crate::alerts::{Failure, Message};

/// Bytes of an answer's head.
const BUFFER: usize = 16 << 10;

/// Bytes of an answer's body that are read; the rest is not waited for.
const LONGEST_BODY: usize = 4 << 10;

/// Characters of it that are told where it says why a message was refused.
const TOLD: usize = 200;

pub(super) async fn post(url: &str, message: &Message) -> Result<(), Failure> {
    let target = Target::of(url).ok_or_else(|| Failure::lasting("is not a URL of the web"))?;
    let body = serde_json::to_vec(message)
        .map_err(|error| Failure::lasting(format!("cannot be written as JSON: {error}")))?;
    let bare = target.host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((bare, target.port)).await.map_err(|error| {
        Failure::passing(format!("cannot connect to port {}: {}", target.port, reasons(&error)))
    })?;
    if target.secure {
        exchange(tls::secure(stream, bare).await?, &target, body).await
    } else {
        exchange(stream, &target, body).await
    }
}

/// A URL taken apart.
struct Target {
    secure: bool,
    host: String,
    port: u16,
    /// Host and port as the URL has them, for the `Host` header.
    authority: String,
    /// `NAME:PASSWORD`, where the URL has them.
    credentials: Option<String>,
    /// With the query.
    path: String,
}

impl Target {
    fn of(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let secure = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let whole = uri.authority()?.as_str();
        let (credentials, authority) = match whole.rsplit_once('@') {
            Some((credentials, authority)) => (Some(credentials.to_owned()), authority),
            None => (None, whole),
        };
        Some(Self {
            secure,
            host: uri.host()?.to_owned(),
            port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority: authority.to_owned(),
            credentials,
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        })
    }
}

/// Sends the request and judges the answer.
async fn exchange<S>(stream: S, target: &Target, body: Vec<u8>) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broke = |error: hyper::Error| Failure::passing(format!("broke off: {}", reasons(&error)));
    let mut client = http1::Builder::new();
    client.max_buf_size(BUFFER);
    let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await.map_err(broke)?;
    let mut request = Request::post(&target.path)
        .header(header::HOST, &target.authority)
        .header(header::USER_AGENT, concat!("s7supervisor/", env!("CARGO_PKG_VERSION")))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close");
    if let Some(credentials) = &target.credentials {
        request = request.header(header::AUTHORIZATION, basic(credentials));
    }
    let request = request
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| Failure::lasting(format!("cannot be asked: {error}")))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(broke)?;
        judge(response).await
    };
    let (mut answer, mut connection) = (pin!(answer), pin!(connection));
    let mut connected = true;
    loop {
        tokio::select! {
            biased;
            judged = &mut answer => return judged,
            // Its error reaches the answer, too, and there with its cause.
            _ended = &mut connection, if connected => connected = false,
        }
    }
}

async fn judge(response: Response<Incoming>) -> Result<(), Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let again_after = response.headers().get(header::RETRY_AFTER);
    let again_after = again_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let said = beginning(response.into_body()).await;
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let why = format!("answered {}{said}", status.as_u16());
    let passing = status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if passing {
        return Err(Failure::Passing { why, again_after: again_after.map(Duration::from_secs) });
    }
    if status.is_redirection() {
        return Err(Failure::lasting(format!("{why}; redirects are not followed")));
    }
    Err(Failure::lasting(why))
}

/// What the receiver says of its refusal, in one line and not more than is of use.
async fn beginning(mut body: Incoming) -> String {
    let mut read = Vec::new();
    while read.len() < LONGEST_BODY {
        match body.frame().await {
            Some(Ok(frame)) => {
                let Some(data) = frame.data_ref() else { break };
                let room = LONGEST_BODY - read.len();
                read.extend_from_slice(&data[..data.len().min(room)]);
            }
            Some(Err(_)) | None => break,
        }
    }
    let text = String::from_utf8_lossy(&read);
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|w| !w.is_empty())
        .collect();
    words.join(" ").chars().take(TOLD).collect()
}

/// The value of the `Authorization` header: what a URL holds is percent-encoded.
fn basic(credentials: &str) -> String {
    let plain: Vec<u8> = percent_decode_str(credentials).collect();
    format!("Basic {}", STANDARD.encode(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_the_url_go_into_the_header() {
        assert_eq!(basic("Aladdin:open%20sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(basic("a:b"), "Basic YTpi");
        assert_eq!(basic("a:100%"), "Basic YToxMDAl");
    }

    #[test]
    fn a_url_is_taken_apart() {
        let target = Target::of("https://me:pw@hooks.example.com/in?x=1").expect("a URL");
        assert_eq!((target.secure, target.port), (true, 443));
        assert_eq!(target.authority, "hooks.example.com");
        assert_eq!(target.credentials.as_deref(), Some("me:pw"));
        assert_eq!(target.path, "/in?x=1");
        assert_eq!(Target::of("http://[::1]:8080").map(|target| target.port), Some(8080));
    }
}
