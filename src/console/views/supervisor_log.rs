//! The Supervisor's own log, as tui-logger has captured it.

use ratatui::{buffer::Buffer, layout::Rect, style::Style, widgets::Widget};
use tui_logger::{TuiLoggerSmartWidget, TuiLoggerWidget, TuiWidgetEvent, TuiWidgetState};

use super::{Stage, rule};
use crate::console::{model::Model, update::LogMove};

/// Where one is in it; tui-logger keeps that itself.
pub struct Position(TuiWidgetState);

impl std::fmt::Debug for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Position")
    }
}

impl Default for Position {
    fn default() -> Self {
        Self(TuiWidgetState::new())
    }
}

impl Position {
    pub fn go(&self, by: LogMove) {
        self.0.transition(match by {
            LogMove::Up => TuiWidgetEvent::UpKey,
            LogMove::Down => TuiWidgetEvent::DownKey,
            LogMove::PageUp => TuiWidgetEvent::PrevPageKey,
            LogMove::PageDown => TuiWidgetEvent::NextPageKey,
            LogMove::End => TuiWidgetEvent::EscapeKey,
            LogMove::Show => TuiWidgetEvent::RightKey,
            LogMove::Hide => TuiWidgetEvent::LeftKey,
            LogMove::CaptureMore => TuiWidgetEvent::PlusKey,
            LogMove::CaptureLess => TuiWidgetEvent::MinusKey,
        });
    }
}

pub fn render(model: &Model, targets: bool, stage: &Stage, area: Rect, buf: &mut Buffer) {
    let skin = stage.skin;
    let title = if model.many_hosts() { "the Supervisors' logs" } else { "the Supervisor's log" };
    let hint = if targets { "t log, arrows choose" } else { "t targets, PgUp PgDn, G end" };
    rule(buf, skin, area, title, (hint, skin.dim()), true);
    let inner =
        Rect { y: area.y + 1.min(area.height), height: area.height.saturating_sub(1), ..area };
    // tui-logger divides by the room that its borders leave.
    if inner.width < 12 || inner.height < 4 {
        return;
    }
    if targets {
        TuiLoggerSmartWidget::default()
            .style_error(skin.error())
            .style_warn(skin.warn())
            .style_info(Style::new())
            .style_debug(skin.dim())
            .style_trace(skin.dim())
            .output_separator(' ')
            // Time, level and target stand in the text, as they are in the file.
            .output_timestamp(None)
            .output_level(None)
            .output_target(false)
            .output_file(false)
            .output_line(false)
            .title_target(" targets ")
            .title_log(" log ")
            .state(&stage.supervisor_log.0)
            .render(inner, buf);
    } else {
        TuiLoggerWidget::default()
            .style_error(skin.error())
            .style_warn(skin.warn())
            .style_info(Style::new())
            .style_debug(skin.dim())
            .style_trace(skin.dim())
            .output_separator(' ')
            // Time, level and target stand in the text, as they are in the file.
            .output_timestamp(None)
            .output_level(None)
            .output_target(false)
            .output_file(false)
            .output_line(false)
            .state(&stage.supervisor_log.0)
            .render(inner, buf);
    }
}
