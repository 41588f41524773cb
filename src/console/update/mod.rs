//! What changes the model: keys, news, time. Pure, in virtual time; what has to happen outside
//! is handed back as [`Effect`]s.

mod act;
mod command;
mod confirm;
mod hold;
mod keys;
mod logs;
mod news;
mod palette;
mod settle;

use super::{
    feed::{Incoming, Request},
    key::Key,
    model::{Model, Now, Urgency},
};
use crate::wire::{Severity, TraceRecord};

#[derive(Debug, Clone)]
pub enum Message {
    Key(Key),
    /// Text that was pasted: it reaches a field that is being typed into, nothing else.
    Paste(String),
    /// A mouse button on a cell, or its wheel.
    Click {
        column: u16,
        row: u16,
    },
    Wheel {
        down: bool,
    },
    Resize {
        width: u16,
        height: u16,
    },
    News(Incoming),
    /// Time has passed.
    Tick,
    /// An effect has ended.
    Done {
        what: String,
        error: Option<String>,
    },
    /// The terminal is full: input was thrown away as stray.
    StrayInput {
        bytes: usize,
    },
}

/// What the loop does for the model.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Ask(Request),
    /// To the terminal's clipboard (OSC 52).
    Copy(String),
    Save {
        file: String,
        text: String,
    },
    Mouse(bool),
    /// Draw every cell anew.
    Redraw,
    SupervisorLog(LogMove),
    /// To the store of the Supervisor's log; `host` where there are several.
    Keep {
        host: Option<String>,
        records: Vec<TraceRecord>,
    },
    Leave(Leave),
}

/// Moves in the Supervisor's log, whose position tui-logger keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogMove {
    Up,
    Down,
    PageUp,
    PageDown,
    /// Back to the end.
    End,
    Show,
    Hide,
    CaptureMore,
    CaptureLess,
}

/// How an operator leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    Quit,
    Detach,
    StopAll,
}

pub fn update(model: &mut Model, message: Message, now: Now) -> Vec<Effect> {
    model.now = now;
    let mut effects = Vec::new();
    let mut sort_now = false;
    match message {
        Message::Key(key) => {
            model.toasts.retain(|toast| toast.severity != Severity::Error);
            model.wants(Urgency::Now);
            sort_now = keys::key(model, key, &mut effects);
        }
        Message::Paste(text) => keys::paste(model, &text),
        Message::Click { column, row } => keys::click(model, column, row),
        Message::Wheel { down } => act::wheel(model, down, &mut effects),
        Message::Resize { width, height } => {
            model.size = (width, height);
            model.wants(Urgency::Now);
        }
        Message::News(incoming) => news::take(model, incoming, &mut effects),
        Message::Tick => model.wants(Urgency::Numbers),
        Message::Done { what, error: None } => model.toast(Severity::Info, what),
        Message::Done { what, error: Some(why) } => {
            model.toast(Severity::Error, format!("{what}: {why}"));
        }
        Message::StrayInput { bytes } => {
            let text = format!("{bytes} characters at once were taken for stray input, not keys");
            model.toast(Severity::Warning, text);
        }
    }
    settle::settle(model, sort_now, &mut effects);
    effects
}
