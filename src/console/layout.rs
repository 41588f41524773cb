//! Where things stand for a size of the terminal. Views draw into it, moves measure by it.

use ratatui::layout::Rect;

use super::model::{LogView, Model, Pane, Screen};

/// Smaller than this there is only a line that says so.
pub const SMALLEST: (u16, u16) = (30, 6);
/// Smaller than this there is the table alone.
pub const WITH_LOG: (u16, u16) = (60, 16);
/// From this on details and charts stand at the right.
pub const WITH_SIDE: (u16, u16) = (140, 36);
const SIDE_WIDTH: u16 = 44;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    pub header: Rect,
    /// The hints of a first run, two lines.
    pub strip: Option<Rect>,
    /// Everything between header and footer.
    pub body: Rect,
    /// The table with its heading.
    pub table: Rect,
    /// The log pane with its title.
    pub log: Option<Rect>,
    pub side: Option<Rect>,
    pub footer: Rect,
}

/// None: the terminal is too small.
pub fn of(model: &Model) -> Option<Layout> {
    let (width, height) = model.size;
    if width < SMALLEST.0 || height < SMALLEST.1 {
        return None;
    }
    let row = |y, height| Rect { x: 0, y, width, height };
    let header = row(0, 1);
    let footer = row(height - 1, 1);
    let strip = (model.first_run && height >= 12).then(|| row(1, 2));
    let top = 1 + strip.map_or(0, |strip| strip.height);
    let body = row(top, height - 1 - top);
    let mut layout = Layout { header, strip, body, table: body, log: None, side: None, footer };
    if width < WITH_LOG.0 || height < WITH_LOG.1 {
        return Some(layout);
    }
    if model.zoomed {
        if model.focus == Pane::Log {
            layout.log = Some(body);
            layout.table = Rect { height: 0, ..body };
        }
        return Some(layout);
    }
    let mut left = body;
    if width >= WITH_SIDE.0 && height >= WITH_SIDE.1 {
        left.width -= SIDE_WIDTH + 1;
        let x = left.x + left.width + 1;
        layout.side = Some(Rect { x, width: SIDE_WIDTH, ..body });
    }
    // The table takes what it needs, but leaves the log two fifths.
    let rows = u16::try_from(model.table.shown.len()).unwrap_or(u16::MAX).saturating_add(1);
    let log_least = (body.height * 2 / 5).max(5);
    let table_height = rows.clamp(4, body.height - log_least);
    layout.table = Rect { height: table_height, ..left };
    let below = Rect { y: left.y + table_height, height: body.height - table_height, ..left };
    layout.log = Some(below);
    Some(layout)
}

/// Rows of the table, without its heading.
pub fn table_rows(model: &Model) -> usize {
    of(model).map_or(0, |layout| usize::from(layout.table.height.saturating_sub(1)))
}

/// Height and width of a log's lines on its own screen.
pub fn log_screen(model: &Model, view: &LogView) -> (usize, usize) {
    let (width, height) = model.size;
    if view.plain {
        return (usize::from(height), usize::from(width));
    }
    let body = of(model).map_or(0, |layout| usize::from(layout.body.height));
    (body.saturating_sub(1), usize::from(width))
}

/// Height and width of the lines in the pane below the table.
pub fn log_pane(model: &Model) -> (usize, usize) {
    let pane = of(model).and_then(|layout| layout.log);
    pane.map_or((0, 0), |pane| {
        (usize::from(pane.height.saturating_sub(1)), usize::from(pane.width))
    })
}

/// Lines of a page on the current screen.
pub fn page(model: &Model) -> usize {
    match model.screen() {
        Screen::Components if model.focus == Pane::Log => log_pane(model).0,
        Screen::Components => table_rows(model),
        Screen::Logs(view) => log_screen(model, view).0,
        Screen::Details(_) | Screen::SupervisorLog { .. } | Screen::Events(_) | Screen::Help(_) => {
            of(model).map_or(0, |layout| usize::from(layout.body.height))
        }
    }
}
