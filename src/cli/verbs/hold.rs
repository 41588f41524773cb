//! `hold` and `release`: no start and no restart, by nobody and nothing, for a while.

use clap::Args;
use jiff::{Timestamp, ZonedDateTime};

use crate::{
    cli::{
        Context,
        exit::{Exit, Failure},
        ui::clean,
        words,
    },
    wire::{ComponentState, Hold, HoldReport, time},
};

#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Components
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// When it ends by itself: +2h, 14:30, or 2026-11-23T14:30:00Z [default: when it is released]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// Shown to whoever looks at the component, or tries to start it
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub async fn perform(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let until = match &arguments.until {
        None => None,
        Some(text) => {
            // Here, where the operator's time zone is.
            let time = time::parse_coming(text, &ZonedDateTime::now());
            let time = time.map_err(|why| Failure::new(Exit::Usage, format!("--until {why}")))?;
            Some(time.to_string())
        }
    };
    let client = context.place.client()?;
    for id in &arguments.ids {
        let report = client.hold(id, until.as_deref(), arguments.reason.as_deref()).await?;
        context.ui.line(held(&report, Timestamp::now()));
        warn(context, &report);
    }
    Ok(())
}

pub async fn release(context: &Context, ids: &[String]) -> Result<(), Failure> {
    let client = context.place.client()?;
    for id in ids {
        let report = client.release(id).await?;
        context.ui.line(released(&report));
        warn(context, &report);
    }
    Ok(())
}

fn warn(context: &Context, report: &HoldReport) {
    if let Some(warning) = &report.warning {
        context.ui.error(format_args!("{}: {}", clean(&report.id), clean(warning)));
    }
}

fn held(report: &HoldReport, now: Timestamp) -> String {
    let id = clean(&report.id);
    let Some(hold) = &report.hold else {
        // Its time came between the request and the answer.
        return format!("{id} is {} and is not held any more", report.state);
    };
    let goes_on = match report.state {
        ComponentState::Running | ComponentState::Starting => {
            "it goes on running, and is neither restarted nor started again before"
        }
        ComponentState::Stopped
        | ComponentState::Waiting
        | ComponentState::Stopping
        | ComponentState::Backoff
        | ComponentState::Exited
        | ComponentState::Failed
        | ComponentState::Unkillable => "nothing starts it before",
    };
    format!("{id} is {} and {}; {goes_on}", report.state, in_words(hold, now))
}

fn released(report: &HoldReport) -> String {
    let id = clean(&report.id);
    match &report.before {
        None => format!("{id} was not held; it is {}", report.state),
        Some(before) => format!(
            "{id} is released and {} (it was held by {}{})",
            report.state,
            clean(&before.by),
            before.reason.as_deref().map(|why| format!(": {}", clean(why))).unwrap_or_default()
        ),
    }
}

/// `held by root until 2026-11-23T14:30:00Z (1h 59m): disk swap`
pub(in crate::cli) fn in_words(hold: &Hold, now: Timestamp) -> String {
    let until = match hold.until.as_deref().map(|until| (until, until.parse::<Timestamp>())) {
        None => " until it is released".to_owned(),
        Some((until, Ok(time))) => {
            let left = words::span(time.duration_since(now).as_secs_f64());
            format!(" until {until} (for {left})")
        }
        Some((until, Err(_))) => format!(" until {}", clean(until)),
    };
    let reason = hold.reason.as_deref().map(|why| format!(": {}", clean(why))).unwrap_or_default();
    format!("held by {}{until}{reason}", clean(&hold.by))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples::now;

    fn report(hold: Option<Hold>, before: Option<Hold>) -> HoldReport {
        let state = ComponentState::Running;
        HoldReport { id: "ps".to_owned(), hold, before, state, warning: None }
    }

    fn hold() -> Hold {
        Hold {
            by: "root (cli)".to_owned(),
            reason: Some("disk swap".to_owned()),
            since: "2026-11-22T14:00:00Z".to_owned(),
            until: Some("2026-11-22T16:02:07Z".to_owned()),
        }
    }

    #[test]
    fn a_hold_is_told_with_what_it_means() {
        assert_eq!(
            held(&report(Some(hold()), None), now()),
            "ps is running and held by root (cli) until 2026-11-22T16:02:07Z (for 2h 00m): disk \
             swap; it goes on running, and is neither restarted nor started again before"
        );
        assert_eq!(
            released(&report(None, Some(hold()))),
            "ps is released and running (it was held by root (cli): disk swap)"
        );
        assert_eq!(released(&report(None, None)), "ps was not held; it is running");
    }
}
