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

pub fn render(model: &Model, scroll: Scroll, skin: Skin, area: Rect, buf: &mut Buffer) {
    let events = &model.seen().events;
    if events.is_empty() {
        put(buf, area, area.x + 1, "no events yet", skin.dim());
        return;
    }
    let last = events.len().saturating_sub(usize::from(area.height));
    let top = scroll.top.unwrap_or(last).min(last);
    for (row, (host, event)) in area.rows().zip(events.range(top..)) {
        let line = line(model, *host, event, true, skin);
        buf.set_line(row.x, row.y, &line, row.width);
    }
}

pub fn line(
    model: &Model,
    host: Option<HostIndex>,
    event: &EventRecord,
    named: bool,
    skin: Skin,
) -> Line<'static> {
    let at = format::local(&event.at, &model.settings.zone, "%m-%d %H:%M:%S");
    let style = skin.severity(event.kind.severity());
    let mut spans = vec![Span::styled(format!(" {at} "), skin.dim())];
    if named {
        if let (true, Some(host)) =
            (model.many_hosts(), host.and_then(|host| model.facts.host(host)))
        {
            spans.push(Span::raw(format::pad(&host.name, 12)));
            spans.push(Span::raw(" "));
        }
        let who = event.component.as_deref().unwrap_or("-");
        spans.push(Span::raw(format!("{} ", format::pad(who, 14))));
    }
    // What this console told has no number of the engine's.
    let own = event.seq == 0;
    let kind = if own { "console" } else { event.kind.as_str() };
    spans.push(Span::styled(format!("{kind:<10} "), style));
    spans.push(Span::raw(sanitize::plain(&event.text)));
    if let Some(origin) = event.origin.as_ref().filter(|_| !own) {
        spans.push(Span::styled(format!("  by {}", sanitize::plain(origin)), skin.dim()));
    }
    Line::from(spans)
}
