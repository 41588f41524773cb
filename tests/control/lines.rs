//! Answers that go on and on, line by line.

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
};

use crate::served::{BOUND, Served, head};

/// A stream that is read line by line, chunk sizes passed over.
pub struct Lines(BufReader<UnixStream>);

impl Lines {
    pub async fn ask(served: &Served, path: &str, headers: &[&str]) -> Self {
        let mut all = vec!["Host: localhost"];
        all.extend(headers);
        let mut stream = served.unix().await;
        stream.write_all(head("GET", path, &all).as_bytes()).await.expect("asked");
        Self(BufReader::new(stream))
    }

    /// The next line of this beginning, without it; none: the stream has ended.
    pub async fn next(&mut self, beginning: &str) -> Option<String> {
        let mut line = String::new();
        loop {
            line.clear();
            let read = tokio::time::timeout(BOUND, self.0.read_line(&mut line)).await;
            if read.expect("something comes in time").expect("a connection") == 0 {
                return None;
            }
            if let Some(rest) = line.strip_prefix(beginning) {
                return Some(rest.trim_end().to_owned());
            }
        }
    }

    /// The next message of a stream of updates.
    pub async fn message(&mut self) -> Value {
        let text = self.next("data: ").await.expect("a message");
        serde_json::from_str(&text).expect("JSON")
    }

    pub async fn event(&mut self) -> Value {
        let text = self.next("{\"seq\"").await.expect("an event");
        serde_json::from_str(&format!("{{\"seq\"{text}")).expect("JSON")
    }

    /// The next entry of a log.
    pub async fn entry(&mut self) -> Value {
        let text = self.next("{").await.expect("an entry");
        serde_json::from_str(&format!("{{{text}")).expect("JSON")
    }
}
