//! `http`: a GET that is answered with one of the expected statuses.
//!
//! One connection per check, closed after it. Redirects are not followed: they are answers.

use std::{error::Error as _, ops::RangeInclusive, pin::pin};

use http_body_util::{BodyExt as _, Empty};
use hyper::{
    HeaderMap, Request, Uri,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;

use regex::bytes::Regex;

use super::{Outcome, Resolver, refusal, tcp};
use crate::registry::Check;

/// Bytes of a body that are read, so that a server can end its answer in peace. One that has
/// more to say is cut off, which is not held against it.
const LONGEST_BODY: usize = 64 << 10;

/// Bytes of an answer's head, and of what is read at a time.
const BUFFER: usize = 16 << 10;

/// Statuses that are good where the registry names none.
const SUCCESS: RangeInclusive<u16> = 200..=299;

/// What an answer must hold beside its status, compiled once.
#[derive(Debug, Default)]
pub(in crate::probes) struct Expected {
    header: Option<(String, Regex)>,
    body: Option<Regex>,
}

impl Expected {
    /// The registry has verified the expressions: one that is wrong all the same is passed over.
    pub(in crate::probes) fn of(check: &Check) -> Self {
        let Check::Http { header, body, .. } = check else { return Self::default() };
        let header = header.as_ref();
        Self {
            header: header.and_then(|it| Some((it.name.clone(), Regex::new(&it.pattern).ok()?))),
            body: body.as_ref().and_then(|pattern| Regex::new(pattern).ok()),
        }
    }

    fn missing_header(&self, headers: &HeaderMap) -> Option<String> {
        let (name, pattern) = self.header.as_ref()?;
        let mut values = headers.get_all(name.as_str()).iter().peekable();
        if values.peek().is_none() {
            return Some(format!("without the header {name}"));
        }
        let matches = values.any(|value| pattern.is_match(value.as_bytes()));
        (!matches).then(|| format!("its header {name} does not match \"{pattern}\""))
    }
}

pub(super) async fn ask(
    resolver: &Resolver,
    url: &str,
    status: &[RangeInclusive<u16>],
    wanted: &Expected,
) -> (Outcome, String) {
    let Some(target) = Target::of(url) else {
        return (Outcome::Bad, "is not an http:// URL".to_owned());
    };
    let stream = match tcp::connect(resolver, &target.host, target.port).await {
        Ok(stream) => stream,
        Err(error) => return refusal(&error),
    };
    match exchange(stream, target, wanted).await {
        Ok((answered, missing)) => {
            let expected = if status.is_empty() {
                SUCCESS.contains(&answered)
            } else {
                status.iter().any(|range| range.contains(&answered))
            };
            if let Some(missing) = missing.filter(|_| expected) {
                return (Outcome::Bad, format!("answered {answered}, but {missing}"));
            }
            let outcome = if expected { Outcome::Good } else { Outcome::Bad };
            (outcome, format!("answered {answered}"))
        }
        Err(error) => (Outcome::Bad, explain(&error)),
    }
}

/// The URL without what may be secret in it: credentials and query.
pub(super) fn shown(url: &str) -> String {
    let Some(target) = Target::of(url) else { return url.to_owned() };
    let path = target.path.split('?').next().unwrap_or_default();
    format!("http://{}{path}", target.authority)
}

/// A URL taken apart.
struct Target {
    host: String,
    port: u16,
    /// Host and port as the URL has them, for the `Host` header.
    authority: String,
    /// With the query.
    path: String,
}

impl Target {
    fn of(url: &str) -> Option<Self> {
        // hyper's type does not know fragments, which are never sent anyway.
        let uri: Uri = url.split('#').next()?.parse().ok()?;
        if uri.scheme_str() != Some("http") {
            return None;
        }
        let authority = uri.authority()?.as_str();
        let authority = authority.rsplit('@').next().unwrap_or(authority).to_owned();
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let host = uri.host()?.to_owned();
        Some(Self { host, port: uri.port_u16().unwrap_or(80), authority, path })
    }
}

/// Sends the request and reads the answer; its status.
async fn exchange(
    stream: tokio::net::TcpStream,
    target: Target,
    wanted: &Expected,
) -> hyper::Result<(u16, Option<String>)> {
    let mut client = http1::Builder::new();
    client.max_buf_size(BUFFER);
    let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await?;
    let request = Request::get(target.path)
        .header(header::HOST, target.authority)
        .header(header::USER_AGENT, concat!("s7supervisor/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .expect("the parts come from a URL that was parsed");
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let header = wanted.missing_header(response.headers());
        let missing = match (header, &wanted.body) {
            (Some(missing), _) => {
                skim(response.into_body(), None).await?;
                Some(missing)
            }
            (None, None) => {
                skim(response.into_body(), None).await?;
                None
            }
            (None, Some(body)) => {
                let mut text = Vec::new();
                skim(response.into_body(), Some(&mut text)).await?;
                (!body.is_match(&text)).then(|| format!("its body does not match \"{body}\""))
            }
        };
        Ok((status, missing))
    };
    let (mut answer, mut connection) = (pin!(answer), pin!(connection));
    let mut connected = true;
    loop {
        tokio::select! {
            biased;
            answered = &mut answer => return answered,
            // Its error reaches the answer, too, and there with its cause.
            _ended = &mut connection, if connected => connected = false,
        }
    }
}

/// Reads a body, as far as it is of interest; keeps it only where somebody wants it.
async fn skim(mut body: Incoming, mut kept: Option<&mut Vec<u8>>) -> hyper::Result<()> {
    let mut read = 0;
    while read <= LONGEST_BODY {
        let Some(frame) = body.frame().await else { break };
        let frame = frame?;
        let Some(data) = frame.data_ref() else { continue };
        read += data.len();
        if let Some(kept) = &mut kept {
            kept.extend_from_slice(data);
        }
    }
    Ok(())
}

fn explain(error: &hyper::Error) -> String {
    if error.is_incomplete_message() {
        "closed the connection without a whole answer".to_owned()
    } else if error.is_parse_too_large() {
        "answered with a head that is too large".to_owned()
    } else if error.is_parse() {
        "answered with something that is not HTTP".to_owned()
    } else {
        let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        format!("broke off: {}", cause.split(" (os error").next().unwrap_or_default())
    }
}
