//! `logs`: what components wrote, searched, merged, and as it comes.

use std::{collections::BTreeMap, time::Duration};

use clap::{Args, ValueEnum};
use jiff::{Timestamp, ZonedDateTime};

use crate::{
    cli::{Context, exit::Failure, log_files, log_text::Writer},
    client::{Client, ClientError, ComponentLog, LogQuery, Records},
    wire::{self, LogStream, ProblemCode},
};

/// Lines of each component where nothing says how many.
const USUAL: u32 = 100;

/// Between two looks whether somebody still reads what is written.
const LOOK: Duration = Duration::from_secs(1);

/// For a successor to be there.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Components [default: all]
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// Go on with what comes
    #[arg(short, long)]
    pub follow: bool,
    /// Of each component the newest N lines that fit, or "all" [default: 100; all with --since,
    /// --until or --grep]
    #[arg(short = 'n', long, value_name = "N", value_parser = lines)]
    lines: Option<Lines>,
    /// From this time on: -10m (s, m, h, d), 14:02, "2026-11-22 14:02", RFC 3339
    #[arg(long, value_name = "T", value_parser = time, allow_hyphen_values = true)]
    pub since: Option<Timestamp>,
    /// Until this time
    #[arg(long, value_name = "T", value_parser = time, allow_hyphen_values = true)]
    pub until: Option<Timestamp>,
    /// Only lines that match this regular expression
    #[arg(long, value_name = "RE", value_parser = expression, allow_hyphen_values = true)]
    pub grep: Option<regex::bytes::Regex>,
    /// Only standard output, or only standard error
    #[arg(long, value_name = "STREAM", value_enum)]
    stream: Option<Stream>,
    /// When each line was written, before it (to a second where the file does not say)
    #[arg(short, long, conflicts_with = "json")]
    pub timestamps: bool,
    /// An object a line, as GET /v1/logs has them
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lines {
    All,
    Newest(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stream {
    Out,
    Err,
}

impl Arguments {
    /// How many of each component, where that is bounded.
    pub fn tail(&self) -> Option<u32> {
        let searches = self.since.is_some() || self.until.is_some() || self.grep.is_some();
        match self.lines {
            Some(Lines::All) => None,
            Some(Lines::Newest(count)) => Some(count),
            None if searches => None,
            None => Some(USUAL),
        }
    }

    pub fn stream(&self) -> Option<LogStream> {
        self.stream.map(|stream| match stream {
            Stream::Out => LogStream::Out,
            Stream::Err => LogStream::Err,
        })
    }

    /// Whether more is to come.
    fn goes_on(&self) -> bool {
        self.follow && self.until.is_none_or(|until| Timestamp::now() < until)
    }

    fn query(&self) -> LogQuery {
        LogQuery {
            ids: self.ids.clone(),
            after: Vec::new(),
            tail: self.tail(),
            // In full: "14:02" is meant in the zone of whoever types it.
            since: self.since.map(wire::time::format),
            until: self.until.map(wire::time::format),
            grep: self.grep.as_ref().map(ToString::to_string),
            stream: self.stream(),
            follow: self.follow,
        }
    }
}

pub async fn perform(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let client = context.place.client()?;
    let mut writer = Writer::new(context, arguments);
    let mut query = arguments.query();
    // How far each component was read.
    let mut places = BTreeMap::new();
    let mut records = match client.logs(&query).await {
        Err(ClientError::NotRunning { .. }) if !context.place.is_elsewhere() => {
            return log_files::show(context, arguments, &mut writer);
        }
        records => records?,
    };
    while !context.ui.reader_gone() {
        match tokio::time::timeout(LOOK, records.next()).await {
            // Nothing came: whether somebody reads is asked again.
            Err(_elapsed) => {}
            Ok(Ok(Some(batch))) => {
                for entry in &batch {
                    writer.add(&entry.id, &entry.record);
                    places.insert(entry.id.clone(), entry.record.seq);
                }
                writer.flush();
            }
            Ok(Ok(None) | Err(ClientError::Unreachable { .. })) if arguments.goes_on() => {
                query.after = places.clone().into_iter().collect();
                query.tail = None;
                if let Some(more) = again(&client, &query).await {
                    records = more;
                } else {
                    context.ui.note("the Supervisor has ended");
                    break;
                }
            }
            Ok(Ok(None)) => break,
            Ok(Err(error)) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The stream from where it broke off, if a successor goes on with it: another version, or the
/// engine after one that died.
async fn again(client: &Client, query: &LogQuery) -> Option<Records<ComponentLog>> {
    for _ in 0..TRIES {
        match client.logs(query).await {
            Ok(records) => return Some(records),
            Err(ClientError::Problem(problem)) if problem.code != ProblemCode::Upgrading => {
                return None;
            }
            Err(ClientError::Problem(_) | ClientError::Unreachable { .. }) => {}
            Err(_) => return None,
        }
        tokio::time::sleep(PAUSE).await;
    }
    None
}

fn lines(text: &str) -> Result<Lines, String> {
    match text.parse() {
        Ok(count) => Ok(Lines::Newest(count)),
        Err(_) if text == "all" => Ok(Lines::All),
        Err(_) => Err("write a number, or all".to_owned()),
    }
}

fn time(text: &str) -> Result<Timestamp, String> {
    wire::time::parse(text, &ZonedDateTime::now()).map_err(|error| error.to_string())
}

fn expression(text: &str) -> Result<regex::bytes::Regex, String> {
    regex::bytes::Regex::new(text).map_err(|error| error.to_string())
}
