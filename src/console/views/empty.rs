//! What stands there when there is nothing yet: an empty registry, and the hints of a first run.

use ratatui::{buffer::Buffer, layout::Rect, style::Style};

use super::{Skin, put};
use crate::console::model::{LinkState, Model};

const EXAMPLE: &str = r#"<supervisor>
  <servers>
    <server id="hello">
      <executable>/bin/sleep</executable>
      <arguments><argument>3600</argument></arguments>
    </server>
  </servers>
</supervisor>"#;

pub fn render(model: &Model, skin: Skin, area: Rect, buf: &mut Buffer) {
    let mut lines: Vec<(String, Style)> = Vec::new();
    let live = model.facts.hosts.iter().any(|host| host.link == LinkState::Live);
    if live {
        lines.push(("The registry has no components yet.".to_owned(), skin.strong()));
        lines.push((format!("It is {}", registry(model)), Style::new()));
        lines.push(("A smallest one, then `s7supervisor reload`:".to_owned(), Style::new()));
        lines.push((String::new(), Style::new()));
        lines.extend(EXAMPLE.lines().map(|line| (line.to_owned(), skin.info())));
    } else {
        for host in &model.facts.hosts {
            let text = match &host.link {
                LinkState::Live => continue,
                LinkState::Connecting { .. } => format!("{}: connecting", host.name),
                LinkState::Lost { why, .. } => format!("{}: cannot connect: {why}", host.name),
                LinkState::VersionMismatch { ours, theirs, .. } => {
                    format!("{}: runs version {theirs}, this console is {ours}", host.name)
                }
                LinkState::Refused { why, .. } => format!("{}: {why}", host.name),
            };
            lines.push((text, Style::new()));
        }
    }
    let start = area.y + 1.min(area.height);
    for (y, (text, style)) in (start..area.bottom()).zip(lines) {
        put(buf, Rect { y, height: 1, ..area }, area.x + 3, &text, style);
    }
}

fn registry(model: &Model) -> String {
    let told = model.facts.hosts.iter().find_map(|host| host.supervisor.as_ref());
    told.map_or_else(|| model.settings.registry.clone(), |engine| engine.registry.clone())
}

/// Two lines for who is here for the first time.
pub fn first_run(model: &Model, skin: Skin, area: Rect, buf: &mut Buffer) {
    let lines = [
        "New here? Arrows choose a component, Enter opens it, l shows its logs,",
        if model.reads_only() {
            "? lists everything, q leaves. Esc removes these lines."
        } else {
            "r r restarts it, ? lists everything, q leaves. Esc removes these lines."
        },
    ];
    for (row, line) in area.rows().zip(lines) {
        put(buf, row, row.x + 1, line, skin.info());
    }
}
