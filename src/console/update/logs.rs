//! Actions on a log screen.

use std::fmt::Write as _;

use jiff::{Timestamp, ToSpan, civil::Time};

use super::Effect;
use crate::{
    console::{
        action::Action,
        layout,
        model::{Field, LogView, Model, Overlay, Pattern, Purpose, Screen},
    },
    wire::Severity,
};

pub(super) fn act(model: &mut Model, action: Action) {
    let Screen::Logs(view) = model.screen() else { return };
    let (height, width) = layout::log_screen(model, view);
    let now = model.now.wall;
    let minutes = |count: i64| now.as_millisecond() - count * 60_000;
    let Some(view) = log(model) else { return };
    let mut field = None;
    let mut told = None;
    match action {
        Action::Follow | Action::WindowTail => {
            if view.follows() && action == Action::Follow {
                view.pause(height, width);
            } else {
                view.follow();
            }
        }
        Action::WindowHead => view.go_to(0),
        Action::Window1m => view.go_to(minutes(1)),
        Action::Window5m => view.go_to(minutes(5)),
        Action::Window15m => view.go_to(minutes(15)),
        Action::Window30m => view.go_to(minutes(30)),
        Action::Window1h => view.go_to(minutes(60)),
        Action::Search => field = Some((Purpose::Search { back: false }, String::new())),
        Action::SearchBack => field = Some((Purpose::Search { back: true }, String::new())),
        Action::Keep => {
            let text = view.keep.as_ref().map(|keep| keep.text.clone());
            field = Some((Purpose::Keep, text.unwrap_or_default()));
        }
        Action::TimeJump => field = Some((Purpose::TimeJump, String::new())),
        Action::SaveLog => {
            let names: Vec<&str> = view.keys.iter().map(|key| &*key.id).take(3).collect();
            field = Some((Purpose::SaveLog, format!("{}.log", names.join("+"))));
        }
        Action::NextMatch | Action::PreviousMatch => {
            let back = (action == Action::PreviousMatch) != view.backwards;
            match view.search.clone() {
                Some(pattern) => {
                    if !view.find(back, height, width, |line| pattern.matches(line)) {
                        let what = format!("\"{}\" is not found", pattern.text);
                        told = Some(nowhere(&what, view, back));
                    }
                }
                None => told = Some("nothing to search for yet: / searches".to_owned()),
            }
        }
        Action::NextError | Action::PreviousError => {
            let back = action == Action::PreviousError || view.follows();
            if !view.find(back, height, width, |line| line.error) {
                told = Some(nowhere("no error", view, back));
            }
        }
        Action::Wrap => {
            view.wrap = !view.wrap;
            view.left = 0;
        }
        Action::Stamps => view.stamps = !view.stamps,
        Action::Left => view.left = view.left.saturating_sub(width / 2),
        Action::Right if !view.wrap => view.left = (view.left + width / 2).min(4096),
        Action::PlainCopy => {
            view.plain = !view.plain;
            if view.plain {
                view.pause(height, width);
            }
        }
        _ => {}
    }
    if let Some((purpose, text)) = field {
        model.overlay = Some(Overlay::Field(Field::new(purpose, &text)));
    }
    if let Some(text) = told {
        model.toast(Severity::Info, text);
    }
}

/// The log screen that is open; the search fields belong to it.
fn log(model: &mut Model) -> Option<&mut LogView> {
    match model.screen_mut() {
        Screen::Logs(view) => Some(view),
        _ => None,
    }
}

pub(super) fn search(model: &mut Model, text: &str, back: bool) -> Result<(), String> {
    let Screen::Logs(view) = model.screen() else { return Ok(()) };
    let (height, width) = layout::log_screen(model, view);
    let Some(view) = log(model) else { return Ok(()) };
    // An empty search repeats the last one, as in less.
    if !text.is_empty() {
        view.search = Some(Pattern::new(text)?);
    }
    view.backwards = back;
    let Some(pattern) = view.search.clone() else { return Ok(()) };
    // Searched from the end, there is nothing further down: look above.
    let up = back || view.follows();
    if !view.find(up, height, width, |line| pattern.matches(line)) {
        let text = nowhere(&format!("\"{}\" is not found", pattern.text), view, up);
        model.toast(Severity::Info, text);
    }
    Ok(())
}

/// What was not found, and where that was looked for: what is held is not all there is.
fn nowhere(what: &str, view: &LogView, above: bool) -> String {
    let count = view.lines().len();
    match (above, view.begins, view.joined) {
        (true, true, _) => format!("{what} above, up to the first line that is kept"),
        (true, false, _) => {
            format!("{what} above in the {count} lines here - g goes on to older ones")
        }
        (false, _, true) => format!("{what} below"),
        (false, _, false) => {
            format!("{what} below in the {count} lines here - PgDn goes on to newer ones")
        }
    }
}

pub(super) fn keep(model: &mut Model, text: &str) -> Result<(), String> {
    let pattern = if text.is_empty() { None } else { Some(Pattern::new(text)?) };
    if let Some(view) = log(model) {
        view.keep_only(pattern);
    }
    Ok(())
}

/// To a time: `14:02`, `14:02:31`, `-10m`, `last-exit`.
pub(super) fn jump(model: &mut Model, text: &str) -> Result<(), String> {
    let now = model.now.wall;
    let zone = model.settings.zone.clone();
    // The ends that the table knows, for those that are further back than the lines here.
    let targets = model.targets();
    let ended = targets.iter().filter_map(|key| {
        let exit = model.facts.rows.get(key)?.status.last_exit.as_ref()?;
        exit.at.parse::<Timestamp>().ok()
    });
    let ended = ended.max();
    let Some(view) = log(model) else { return Ok(()) };
    if text == "last-exit" {
        match (view.last_exit(), ended) {
            (Some(exit), _) => view.to_line(exit),
            // A second before, so that the last words are in view.
            (None, Some(at)) => view.go_to(at.as_millisecond() - 1000),
            (None, None) => return Err("no end of it is known".to_owned()),
        }
        return Ok(());
    }
    let at = time(text, now, &zone).ok_or_else(|| {
        format!("\"{text}\" is no time: expected 14:02, 14:02:31, -10m, -2h or last-exit")
    })?;
    view.go_to(at.as_millisecond());
    Ok(())
}

fn time(text: &str, now: Timestamp, zone: &jiff::tz::TimeZone) -> Option<Timestamp> {
    if let Some(ago) = text.strip_prefix('-') {
        let number = ago.trim_end_matches(['s', 'm', 'h', 'd']);
        let count: i64 = number.parse().ok().filter(|count| *count >= 0)?;
        let seconds = match &ago[number.len()..] {
            "s" => 1,
            "m" | "" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        return now.checked_sub(count.checked_mul(seconds)?.seconds()).ok();
    }
    let mut parts = text.split(':').map(str::parse::<i8>);
    let hour = parts.next()?.ok()?;
    let minute = parts.next()?.ok()?;
    let second = parts.next().transpose().ok()?.unwrap_or(0);
    let time = Time::new(hour, minute, second, 0).ok()?;
    let today = now.to_zoned_datetime(zone.clone()).date();
    let at = |date: jiff::civil::Date| {
        let zoned = date.to_datetime(time).to_zoned_datetime(zone.clone()).ok()?;
        Some(zoned.timestamp())
    };
    let at_today = at(today)?;
    // A time that has not come yet was yesterday.
    if at_today > now { at(today.yesterday().ok()?) } else { Some(at_today) }
}

/// Saves the lines that the screen shows (kept ones only), without colours.
pub(super) fn save(model: &mut Model, file: &str, effects: &mut Vec<Effect>) -> Result<(), String> {
    if file.is_empty() {
        return Err("a file name is needed".to_owned());
    }
    let Some(view) = log(model) else {
        return Err("there is no log on the screen".to_owned());
    };
    let mut text = String::new();
    for line in view.lines().iter().filter(|line| line.kept) {
        let at = Timestamp::from_millisecond(line.id.at).unwrap_or_default();
        let name = view.keys.get(usize::from(line.id.source)).map_or("", |key| &*key.id);
        let _never_fails = writeln!(text, "{at:.3} {name} {}", line.plain());
    }
    effects.push(Effect::Save { file: file.to_owned(), text });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_understood_as_they_are_meant() {
        let now: Timestamp = "2026-11-23T14:30:00Z".parse().expect("a time");
        let zone = jiff::tz::TimeZone::UTC;
        for (text, wanted) in [
            ("14:02", "2026-11-23T14:02:00Z"),
            ("14:02:31", "2026-11-23T14:02:31Z"),
            ("23:00", "2026-11-22T23:00:00Z"),
            ("-10m", "2026-11-23T14:20:00Z"),
            ("-10", "2026-11-23T14:20:00Z"),
            ("-2h", "2026-11-23T12:30:00Z"),
        ] {
            assert_eq!(time(text, now, &zone).map(|at| at.to_string()).as_deref(), Some(wanted));
        }
        for wrong in ["", "25:00", "14", "-", "-xm", "noon", "--5m", "-99999999999999999d"] {
            assert_eq!(time(wrong, now, &zone), None, "{wrong}");
        }
    }
}
