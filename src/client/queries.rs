//! The calls that read what was: streams, logs, events, history.

use std::time::Duration;

use http_body_util::Full;
use hyper::{Method, body::Bytes, header};

use super::{
    Client, ClientError, ComponentLog, Records, Updates,
    answer::Answering,
    call::{escaped, request},
    transport,
};
use crate::wire::{ComponentDetails, EventRecord, History, LogStream, TraceRecord};

/// Which entries of which logs. Times as the API takes them: RFC 3339, `-10m`, `14:02`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Components; none: all.
    pub ids: Vec<String>,
    /// Of these only what comes after this number.
    pub after: Vec<(String, u64)>,
    /// At most so many of the newest entries that are kept.
    pub tail: Option<u32>,
    pub since: Option<String>,
    pub until: Option<String>,
    /// Only lines that match this expression.
    pub grep: Option<String>,
    pub stream: Option<LogStream>,
    /// Go on with what comes.
    pub follow: bool,
}

/// Which events of the Supervisor's own log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TraceQuery {
    pub after: Option<u64>,
    pub tail: Option<u32>,
    /// Go on with what comes.
    pub follow: bool,
}

/// Which events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    pub since: Option<String>,
    pub component: Option<String>,
    pub tail: Option<u32>,
    /// Go on with what comes.
    pub follow: bool,
}

impl Client {
    /// What keeps a console true: a snapshot, then what changes. With the number of the last
    /// message that is known, only what changed since, where the Supervisor still has it.
    pub async fn updates(&self, after: Option<u64>) -> Result<Updates, ClientError> {
        let mut request = request(Method::GET, "/v1/updates");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        Updates::new(self, self.open(request, "text/event-stream").await?)
    }

    /// Entries of logs, in the order of their time.
    pub async fn logs(&self, query: &LogQuery) -> Result<Records<ComponentLog>, ClientError> {
        self.records(&query.path()).await
    }

    /// What happened, to whom, and who asked for it.
    pub async fn events(&self, query: &EventQuery) -> Result<Records<EventRecord>, ClientError> {
        self.records(&query.path()).await
    }

    /// The Supervisor's own trace log.
    pub async fn supervisor_log(
        &self,
        query: TraceQuery,
    ) -> Result<Records<TraceRecord>, ClientError> {
        let mut path = Path::new("/v1/supervisor/logs");
        path.add_some("after", query.after);
        path.add_some("tail", query.tail);
        path.add_some("follow", query.follow.then_some(true));
        self.records(&path.text).await
    }

    /// CPU, memory and state over the time up to now, in about so many steps.
    pub async fn history(
        &self,
        id: &str,
        range: Duration,
        points: u32,
    ) -> Result<History, ClientError> {
        let step = range.div_f64(f64::from(points.max(1))).as_secs().max(1);
        let (id, range) = (escaped(id), range.as_secs());
        self.get(&format!("/v1/components/{id}/history?from=-{range}s&step={step}")).await
    }

    /// How a component is launched, and its processes.
    pub async fn details(&self, id: &str) -> Result<ComponentDetails, ClientError> {
        self.get(&format!("/v1/components/{}/details", escaped(id))).await
    }

    async fn records<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<Records<T>, ClientError> {
        Records::new(self, self.open(request(Method::GET, path), "application/x-ndjson").await?)
    }

    async fn open(
        &self,
        request: hyper::http::request::Builder,
        accept: &'static str,
    ) -> Result<Answering, ClientError> {
        let request = request
            .header(header::ACCEPT, accept)
            .body(Full::new(Bytes::new()))
            .map_err(|error| self.protocol(&format!("cannot ask that: {error}")))?;
        transport::open(self, request, self.timeout()).await
    }
}

impl LogQuery {
    fn path(&self) -> String {
        let mut path = Path::new("/v1/logs");
        for id in &self.ids {
            path.add("id", id);
        }
        for (id, seq) in &self.after {
            path.add("after", &format!("{id}:{seq}"));
        }
        path.add_some("tail", self.tail);
        path.add_some("since", self.since.as_ref());
        path.add_some("until", self.until.as_ref());
        path.add_some("grep", self.grep.as_ref());
        path.add_some(
            "stream",
            self.stream.map(|stream| match stream {
                LogStream::Out => "out",
                LogStream::Err => "err",
            }),
        );
        path.add_some("follow", self.follow.then_some(true));
        path.text
    }
}

impl EventQuery {
    fn path(&self) -> String {
        let mut path = Path::new("/v1/events");
        path.add_some("since", self.since.as_ref());
        path.add_some("component", self.component.as_ref());
        path.add_some("tail", self.tail);
        path.add_some("follow", self.follow.then_some(true));
        path.text
    }
}

/// A path with its query.
struct Path {
    text: String,
    separator: char,
}

impl Path {
    fn new(path: &str) -> Self {
        Self { text: path.to_owned(), separator: '?' }
    }

    fn add(&mut self, name: &str, value: &str) {
        self.text.push(self.separator);
        self.separator = '&';
        self.text.push_str(name);
        self.text.push('=');
        self.text.push_str(&escaped(value));
    }

    fn add_some(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.add(name, &value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_what_is_wished_and_nothing_else() {
        assert_eq!(LogQuery::default().path(), "/v1/logs");
        let query = LogQuery {
            ids: vec!["is".to_owned(), "a&b".to_owned()],
            after: vec![("is".to_owned(), 7)],
            tail: Some(20),
            grep: Some("x+ y".to_owned()),
            stream: Some(LogStream::Err),
            follow: true,
            ..LogQuery::default()
        };
        assert_eq!(
            query.path(),
            "/v1/logs?id=is&id=a%26b&after=is%3A7&tail=20&grep=x%2B%20y&stream=err&follow=true"
        );
        let query = EventQuery { since: Some("-10m".to_owned()), ..EventQuery::default() };
        assert_eq!(query.path(), "/v1/events?since=-10m");
    }
}
