//! `events`: what happened, to whom, and who asked for it.

use std::collections::VecDeque;

use clap::Args;
use jiff::{Timestamp, ZonedDateTime, tz::TimeZone};

use crate::{
    cli::{
        Context,
        exit::{Exit, Failure},
        loading,
        ui::{Tone, clean, paint},
    },
    client::{ClientError, EventQuery},
    events,
    wire::{self, EventRecord, Severity},
};

/// Events that are shown where nothing else is asked for.
const USUAL: u32 = 50;

#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Only events of this component
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// Go on with what happens, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// The newest N [default: 50; all with --since]
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<u32>,
    /// From this time on: -10m (also s, h, d), 14:02, "2026-11-22 14:02", RFC 3339
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    since: Option<String>,
    /// The objects of GET /v1/events, one a line
    #[arg(long)]
    json: bool,
}

pub async fn perform(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let since = since(arguments)?;
    let tail = arguments.lines.or_else(|| since.is_none().then_some(USUAL));
    let query = EventQuery {
        since: since.map(|since| since.to_string()),
        component: arguments.id.clone(),
        tail,
        follow: arguments.follow,
    };
    let client = context.place.client()?;
    let mut records = match client.events(&query).await {
        Ok(records) => records,
        Err(error @ ClientError::NotRunning { .. })
            if !context.place.is_elsewhere() && !arguments.follow =>
        {
            context.ui.note(format_args!("{error}; these are the events that it left"));
            return left_behind(context, arguments, since, tail);
        }
        Err(error) => return Err(error.into()),
    };
    let zone = TimeZone::system();
    while let Some(events) = records.next().await? {
        for event in &events {
            show(context, arguments, event, &zone)?;
        }
        if context.ui.reader_gone() {
            break;
        }
    }
    Ok(())
}

fn since(arguments: &Arguments) -> Result<Option<Timestamp>, Failure> {
    let Some(text) = &arguments.since else { return Ok(None) };
    let since = wire::time::parse(text, &ZonedDateTime::now());
    let wrong = |error| Failure::new(Exit::Usage, format!("cannot use --since: {error}"));
    since.map(Some).map_err(wrong)
}

/// What stands in the files, where no Supervisor runs to be asked.
fn left_behind(
    context: &Context,
    arguments: &Arguments,
    since: Option<Timestamp>,
    tail: Option<u32>,
) -> Result<(), Failure> {
    let loaded = loading::load(&context.place)?;
    let query = events::Query { since, component: arguments.id.clone(), after: None };
    let mut newest = VecDeque::new();
    events::read_at(&loaded.registry.config.log, &query, |event| {
        newest.push_back(event);
        if tail.is_some_and(|tail| newest.len() as u64 > u64::from(tail)) {
            newest.pop_front();
        }
        true
    })
    .map_err(|error| Failure::failed(format!("cannot read the log of events: {error}")))?;
    let zone = TimeZone::system();
    newest.iter().try_for_each(|event| show(context, arguments, event, &zone))
}

fn show(
    context: &Context,
    arguments: &Arguments,
    event: &EventRecord,
    zone: &TimeZone,
) -> Result<(), Failure> {
    if arguments.json {
        let json = serde_json::to_string(event)
            .map_err(|error| Failure::failed(format!("cannot write an event: {error}")))?;
        context.ui.line(json);
    } else {
        context.ui.line(line(event, zone, context.ui.out.colour));
    }
    Ok(())
}

/// `2026-11-27 14:02:03.123 ps crashed   exit 1 after 12 s - root (cli)`
fn line(event: &EventRecord, zone: &TimeZone, colour: bool) -> String {
    let at = match event.at.parse::<Timestamp>() {
        Ok(at) => at.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
        Err(_) => clean(&event.at).into_owned(),
    };
    let tone = match event.kind.severity() {
        Severity::Info => Tone::Plain,
        Severity::Warning => Tone::Busy,
        Severity::Error => Tone::Bad,
    };
    let id = clean(event.component.as_deref().unwrap_or("-"));
    let kind = format!("{:<10}", event.kind);
    let mut text = format!(
        "{} {id:<12} {} {}",
        paint(Tone::Dim, &at, colour),
        paint(tone, &kind, colour),
        clean(&event.text)
    );
    if let Some(origin) = &event.origin {
        text.push_str(&paint(Tone::Dim, &format!(" - {}", clean(origin)), colour));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::EventKind;

    #[test]
    fn a_line_says_when_to_whom_what_and_by_whom() {
        let mut event = EventRecord {
            seq: 7,
            at: "2026-11-27T14:02:03.123Z".to_owned(),
            component: Some("ps".to_owned()),
            run: Some(3),
            kind: EventKind::Command,
            text: "restart asked".to_owned(),
            origin: Some("root (cli)".to_owned()),
        };
        let told = line(&event, &TimeZone::UTC, false);
        assert_eq!(
            told,
            "2026-11-27 14:02:03.123 ps           command    restart asked - root (cli)"
        );
        event.text = "\u{1b}[2J".to_owned();
        assert!(!line(&event, &TimeZone::UTC, true).contains("\u{1b}[2J"));
    }
}
