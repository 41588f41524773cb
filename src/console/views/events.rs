//! What happened, to whom, and who asked for it; the latest at the end.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{Skin, put};
use crate::{
    console::{
        feed::HostIndex,
        format,
        model::{Model, Scroll},
        sanitize,
    },
    wire::EventRecord,
};

/// From this width on an event has its day and its kind.
const WIDE: usize = 60;

pub fn render(model: &Model, scroll: Scroll, skin: Skin, area: Rect, buf: &mut Buffer) {
    let events = &model.seen().events;
    if events.is_empty() {
        put(buf, area, area.x + 1, "no events yet", skin.dim());
        return;
    }
    let last = events.len().saturating_sub(usize::from(area.height));
    let top = scroll.top.unwrap_or(last).min(last);
    for (row, (host, event)) in area.rows().zip(events.range(top..)) {
        let line = line(model, *host, event, true, skin, usize::from(area.width));
        buf.set_line(row.x, row.y, &line, row.width);
    }
}

pub fn line(
    model: &Model,
    host: Option<HostIndex>,
    event: &EventRecord,
    named: bool,
    skin: Skin,
    width: usize,
) -> Line<'static> {
    // In a narrow terminal what happened is more than on which day, and than the word for it.
    let wide = width >= WIDE;
    let form = if wide { "%m-%d %H:%M:%S" } else { "%H:%M:%S" };
    let at = format::local(&event.at, &model.settings.zone, form);
    let style = skin.severity(event.kind.severity());
    let mut spans = vec![Span::styled(format!(" {at} "), skin.dim())];
    if named {
        if let (true, Some(host)) =
            (model.many_hosts(), host.and_then(|host| model.facts.host(host)))
        {
            spans.push(Span::raw(format::pad(&host.name, if wide { 12 } else { 6 })));
            spans.push(Span::raw(" "));
        }
        let who = event.component.as_deref().unwrap_or("-");
        spans.push(Span::raw(format!("{} ", format::pad(who, if wide { 14 } else { 8 }))));
    }
    // What this console told has no number of the engine's.
    let own = event.seq == 0;
    let kind = if own { "console" } else { event.kind.as_str() };
    let text = sanitize::plain(&event.text);
    if wide {
        spans.push(Span::styled(format!("{kind:<10} "), style));
        spans.push(Span::raw(text));
    } else {
        spans.push(Span::styled(text, style));
    }
    if let Some(origin) = event.origin.as_ref().filter(|_| !own) {
        spans.push(Span::styled(format!("  by {}", sanitize::plain(origin)), skin.dim()));
    }
    Line::from(spans)
}
