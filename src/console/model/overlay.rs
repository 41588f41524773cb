//! What lies over a screen and takes the keys.

use tui_input::{Input, InputRequest};

use super::{Confirm, RowKey};
use crate::{
    console::{
        action::Action,
        key::{Code, Key},
    },
    model::Moment,
};

#[derive(Debug)]
pub enum Overlay {
    Confirm(Confirm),
    Field(Field),
    Palette(Palette),
    SortMenu {
        selected: usize,
    },
    /// Detach, stop all, or stay.
    Quit {
        opened: Moment,
    },
}

/// A line to type in the footer.
#[derive(Debug)]
pub struct Field {
    pub purpose: Purpose,
    pub input: Input,
    /// What was in force when it was opened: Esc brings it back.
    pub before: String,
    /// The components that it is about, where it is about some.
    pub about: Vec<RowKey>,
    /// Why what is typed cannot be used.
    pub complaint: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Filter,
    Search { back: bool },
    Keep,
    TimeJump,
    SaveLog,
    Hold,
}

#[derive(Debug)]
pub struct Palette {
    pub input: Input,
    pub items: Vec<PaletteItem>,
    pub selected: usize,
    /// How far back in the history; 0: what is typed.
    pub recalled: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaletteItem {
    pub action: Action,
    pub score: u32,
}

impl Field {
    pub fn new(purpose: Purpose, text: &str) -> Self {
        let input = Input::new(text.to_owned());
        Self { purpose, input, before: text.to_owned(), about: Vec::new(), complaint: None }
    }

    pub fn label(&self) -> String {
        let label = match self.purpose {
            Purpose::Filter => "filter: ",
            Purpose::Search { back: false } => "search down: ",
            Purpose::Search { back: true } => "search up: ",
            Purpose::Keep => "show only: ",
            Purpose::TimeJump => "go to time (14:02, -10m, last-exit): ",
            Purpose::SaveLog => "save to file: ",
            Purpose::Hold => {
                let who = match self.about.as_slice() {
                    [one] => one.id.to_string(),
                    many => format!("{} components", many.len()),
                };
                return format!("hold {who} (2h or 14:30, then why): ");
            }
        };
        label.to_owned()
    }
}

/// Edits a line as shells do; tells whether the key was for it.
pub fn edit(input: &mut Input, key: Key) -> bool {
    let request = match key.code {
        Code::Char('a') if key.ctrl => InputRequest::GoToStart,
        Code::Char('e') if key.ctrl => InputRequest::GoToEnd,
        Code::Char('w') if key.ctrl => InputRequest::DeletePrevWord,
        Code::Char('u') if key.ctrl => InputRequest::DeleteFromStart,
        Code::Char('k') if key.ctrl => InputRequest::DeleteTillEnd,
        Code::Char('h') if key.ctrl => InputRequest::DeletePrevChar,
        Code::Left => InputRequest::GoToPrevChar,
        Code::Right => InputRequest::GoToNextChar,
        Code::Home => InputRequest::GoToStart,
        Code::End => InputRequest::GoToEnd,
        Code::Backspace => InputRequest::DeletePrevChar,
        Code::Delete => InputRequest::DeleteNextChar,
        _ => match key.typed() {
            // A field is one line of a screen, not a document.
            Some(character) if input.value().len() < 512 => InputRequest::InsertChar(character),
            _ => return false,
        },
    };
    input.handle(request);
    true
}
