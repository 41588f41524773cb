//! An answer whose head is here and whose body still comes, over a connection that is driven
//! while the body is taken.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http_body_util::{BodyExt as _, combinators::UnsyncBoxBody};
use hyper::{
    Response,
    body::{Body, Bytes},
    header,
};

use super::{Client, ClientError, call::RawAnswer, ssh::Trouble};

/// Larger answers are cut off: ten times a status of 10,000 components.
const LARGEST_ANSWER: usize = 64 << 20;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A connection at work. It ends by itself; how is told by the body.
pub(super) type Driven = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) struct Answering {
    pub(super) status: u16,
    pub(super) content_type: Option<String>,
    client: Client,
    body: UnsyncBoxBody<Bytes, BoxError>,
    /// None once it has ended, and for the router in the process, which has none.
    connection: Option<Driven>,
    /// Says why an ssh connection broke.
    trouble: Option<Trouble>,
    /// How the body ended before it was complete: it stays so, whoever asks again.
    broken: Option<ClientError>,
}

impl Answering {
    /// Whoever answers must be a Supervisor.
    pub(super) fn new<B>(
        client: &Client,
        response: Response<B>,
        connection: Option<Driven>,
        trouble: Option<Trouble>,
    ) -> Result<Self, ClientError>
    where
        B: Body<Data = Bytes> + Send + 'static,
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
        Ok(Self {
            status: head.status.as_u16(),
            content_type: text(header::CONTENT_TYPE).map(str::to_owned),
            client: client.clone(),
            body: body.map_err(Into::into).boxed_unsync(),
            connection,
            trouble,
            broken: None,
        })
    }

    /// The next piece of the body; none when it is complete. Nothing is lost where the future is
    /// dropped before it is ready.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        let mut error = match &self.broken {
            Some(error) => error.clone(),
            None => match poll_fn(|context| self.poll_chunk(context)).await.transpose() {
                Ok(chunk) => return Ok(chunk),
                Err(error) => ClientError::Unreachable {
                    target: self.client.target().to_owned(),
                    why: format!("the connection broke within the answer: {}", innermost(&*error)),
                },
            },
        };
        self.broken = Some(error.clone());
        if let Some(trouble) = &mut self.trouble {
            error = trouble.explain(error).await;
            self.trouble = None;
            self.broken = Some(error.clone());
        }
        Err(error)
    }

    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        if let Some(connection) = &mut self.connection
            && connection.as_mut().poll(context).is_ready()
        {
            self.connection = None;
        }
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => Some(Ok(data)),
                    // Trailers say nothing to us.
                    Err(_trailers) => continue,
                },
                Some(Err(error)) => Some(Err(error)),
                None => None,
            });
        }
    }

    /// The whole answer.
    pub(super) async fn whole(mut self) -> Result<RawAnswer, ClientError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                return Err(self.client.protocol("the answer is larger than 64 MiB"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(RawAnswer { status: self.status, content_type: self.content_type, body: body.into() })
    }
}

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answering").field("status", &self.status).finish_non_exhaustive()
    }
}

/// The cause at the bottom, which says more than "error sending request".
pub(super) fn innermost<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> &'e dyn std::error::Error {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost
}
