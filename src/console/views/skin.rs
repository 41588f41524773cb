//! Colours and glyphs. Nothing is told by colour alone.
//!
//! No coloured text is readable on every palette, so names and numbers keep the terminal's own
//! foreground, nothing has a background, and blue, bright black and white are never used.

use ratatui::style::{Color, Modifier, Style};

use crate::{
    console::model::Row,
    wire::{ComponentState, Health, Severity},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skin {
    pub theme: Theme,
    /// The terminal shows ASCII alone.
    pub ascii: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Theme {
    #[default]
    Dark,
    Light,
    /// `NO_COLOR`: bold, dim, underline and reverse alone.
    Mono,
}

impl Skin {
    pub const DARK: Self = Self { theme: Theme::Dark, ascii: false };

    pub fn ok(self) -> Style {
        self.colour(Color::Green, Color::Green, Modifier::empty())
    }

    pub fn info(self) -> Style {
        self.colour(Color::Cyan, Color::Blue, Modifier::empty())
    }

    pub fn warn(self) -> Style {
        self.colour(Color::Yellow, Color::Magenta, Modifier::BOLD)
    }

    pub fn error(self) -> Style {
        let style = self.colour(Color::Red, Color::Red, Modifier::UNDERLINED);
        style.add_modifier(Modifier::BOLD)
    }

    pub fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    fn colour(self, dark: Color, light: Color, mono: Modifier) -> Style {
        match self.theme {
            Theme::Dark => Style::new().fg(dark),
            Theme::Light => Style::new().fg(light),
            Theme::Mono => Style::new().add_modifier(mono),
        }
    }

    pub fn severity(self, severity: Severity) -> Style {
        match severity {
            Severity::Info => Style::new(),
            Severity::Warning => self.warn(),
            Severity::Error => self.error(),
        }
    }

    /// The glyph of a row's state and its style; `stale`: what is shown is old.
    pub fn state(self, row: &Row, stale: bool) -> (&'static str, Style) {
        let pick = |utf8, ascii| if self.ascii { ascii } else { utf8 };
        if stale {
            return ("?", self.warn());
        }
        let status = &row.status;
        if !status.enabled && status.state == ComponentState::Stopped {
            return (pick("⊘", "x"), self.dim());
        }
        if status.state == ComponentState::Running && status.health == Health::Failing {
            return (pick("●", "*"), self.warn());
        }
        self.glyph(status.state)
    }

    /// The glyph of a state and its style.
    pub fn glyph(self, state: ComponentState) -> (&'static str, Style) {
        let pick = |utf8, ascii| if self.ascii { ascii } else { utf8 };
        match state {
            ComponentState::Running => (pick("●", "*"), self.ok()),
            ComponentState::Starting => (pick("◐", ">"), self.info()),
            ComponentState::Stopping => (pick("◑", "<"), self.info()),
            ComponentState::Waiting => (pick("◌", ":"), self.dim()),
            ComponentState::Stopped => (pick("○", "-"), self.dim()),
            ComponentState::Exited => (pick("✓", "."), self.dim()),
            ComponentState::Backoff => (pick("↻", "~"), self.warn()),
            ComponentState::Failed | ComponentState::Unkillable => (pick("✗", "!"), self.error()),
        }
    }

    pub fn health(self, health: Health) -> (&'static str, Style) {
        match health {
            Health::None => ("-", self.dim()),
            Health::Unknown => ("unknown", self.dim()),
            Health::Ok => ("ok", self.ok()),
            Health::Failing => ("fail", self.error()),
        }
    }

    pub fn ellipsis(self) -> &'static str {
        if self.ascii { "+" } else { "…" }
    }

    pub fn line(self) -> &'static str {
        if self.ascii { "-" } else { "─" }
    }

    pub fn dot(self) -> &'static str {
        if self.ascii { "-" } else { "·" }
    }

    pub fn crumb(self) -> &'static str {
        if self.ascii { ">" } else { "›" }
    }

    pub fn bar(self) -> &'static str {
        if self.ascii { "|" } else { "│" }
    }

    /// The line beside a chart, where a number stands and elsewhere.
    pub fn scale(self, labelled: bool) -> &'static str {
        match (self.ascii, labelled) {
            (true, true) => "+",
            (true, false) => "|",
            (false, true) => "┤",
            (false, false) => "│",
        }
    }

    /// Eight heights of a cell, the lowest first.
    pub fn heights(self) -> [&'static str; 8] {
        if self.ascii {
            ["_", "_", ".", ".", ":", ":", "#", "#"]
        } else {
            ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
        }
    }
}
